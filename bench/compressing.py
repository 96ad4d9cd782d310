"""Compression with nothing to wait for: the data of a dump that is there already."""

from __future__ import annotations

from collections.abc import Sequence

from vmcoredd import cudbg
from vmcoredd.bench.dumps import buffer
from vmcoredd.cudbg.collection import GROUP_BYTES
from vmcoredd.cudbg.dump_writer import Compressing, DumpWriter

MEMORIES = ("EDC0", "EDC1", "MC0", "MC1", "HMA")
"""Entities that come last, and are most of what there is to compress."""


def compression_alone(raw: memoryview, names: Sequence[str] | None = None) -> int:
    """Compresses these entities (or all) of an uncompressed dump; returns the resulting size."""
    made = cudbg.Dump(raw)
    writer = DumpWriter(buffer(), cudbg.DUMP_SIZE, made.header.chip_ver, compress=True)
    sink = Compressing(writer)
    for entity in made.entities:
        if not entity.good or (names is not None and entity.name not in names):
            continue
        sink.begin(entity.number)
        _commit(sink, made.raw(entity.name))
        sink.end(0, 0, 0)
    sink.finish()
    return writer.offset


def _commit(sink: Compressing, data: bytes | memoryview) -> None:
    for start in range(0, len(data), GROUP_BYTES):
        part = data[start : start + GROUP_BYTES]
        area = sink.area(len(part))
        area[:] = part
        sink.commit(area)
