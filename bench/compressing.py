"""Compression with nothing to wait for: the data of a dump that is there already."""

from __future__ import annotations

from collections.abc import Sequence

from vmcoredd import cudbg
from vmcoredd.bench.dumps import buffer
from vmcoredd.cudbg.collection import GROUP_BYTES
from vmcoredd.cudbg.placing import Placer
from vmcoredd.cudbg.sinks import Compressing

MEMORIES = ("EDC0", "EDC1", "MC0", "MC1", "HMA")
"""Entities that come last, and are most of what there is to compress."""


def compression_alone(raw: memoryview, names: Sequence[str] = tuple(cudbg.NUMBERS)) -> int:
    """Compresses these entities of an uncompressed dump; returns how long the result is."""
    made = cudbg.Dump(raw)
    placer = Placer(buffer(), cudbg.DUMP_SIZE, made.header.chip_ver, compress=True)
    sink = Compressing(placer)
    for entity in made.entities:
        if not entity.good or entity.name not in names:
            continue
        sink.begin(entity.number)
        _commit(sink, made.raw(entity.name))
        sink.end(0, 0, 0)
    sink.finish()
    return placer.offset


def _commit(sink: Compressing, data: bytes | memoryview) -> None:
    for start in range(0, len(data), GROUP_BYTES):
        part = data[start : start + GROUP_BYTES]
        area = sink.area(len(part))
        area[:] = part
        sink.commit(area)
