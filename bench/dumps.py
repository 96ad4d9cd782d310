"""Dumps of an adapter, timed: pipelined, one access at a time, by entity; and their compression."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path

from pyvfio_user.connection import Counters

from pyvfio_user import SPIN
from vmcoredd import cudbg
from vmcoredd.bench.machine import on_cpus, placements
from vmcoredd.bench.measure import Series, timed
from vmcoredd.bench.processes import CardServer, serving
from vmcoredd.chip.memory import MemoryId
from vmcoredd.cudbg.collection import GROUP_BYTES, Report
from vmcoredd.cudbg.dump_writer import Compressing, DumpWriter
from vmcoredd.driver import Adapter
from vmcoredd.driver.transports import Socket
from vmcoredd.hw.io import Counts, Io
from vmcoredd.hw.window import Window

SAMPLE = ("RSS_VF_CONF", "TP_INDIRECT", "PM_INDIRECT", "UP_CIM_INDIRECT", "CIM_QCFG", "RSS")
"""Entities that represent all registers in a sample of one access at a time."""
SAMPLE_BYTES = 8 << 10
"""Bytes of EDC0, which represent all memories in that sample."""
MEMORIES = ("EDC0", "EDC1", "MC0", "MC1", "HMA")
"""The entities collected last, which are most of the data to compress."""


@dataclass(frozen=True)
class Made:
    """A dump made over a socket."""

    seconds: float
    report: Report
    counts: Counts
    """The accesses, counted as the kernel makes them."""
    sent: Counters
    """The traffic on the socket."""


@contextmanager
def adapter(path: Path, *, spin: float = 0.0, pipelined: bool = True) -> Iterator[Adapter]:
    """Connects to and probes the adapter at `path`."""
    transport = Socket(path, spin=spin)
    with Adapter(transport, transport.io(pipelined=pipelined)) as opened:
        yield opened


def buffer() -> memoryview:
    """Returns a zeroed buffer of a dump's size."""
    return memoryview(bytearray(cudbg.DUMP_SIZE))


def dump(
    path: Path,
    *,
    spin: float = 0.0,
    compress: str = "none",
    pipelined: bool = True,
    into: memoryview | None = None,
) -> Made:
    """Probes and dumps the adapter at `path`; times and counts only the dump."""
    transport = Socket(path, spin=spin)
    with Adapter(transport, transport.io(pipelined=pipelined)) as opened:
        transport.client.flush()  # writes posted by the probe are not part of the dump
        counts, before = opened.io.counts, transport.client.counters
        report = opened.collect(buffer() if into is None else into, compress=compress)
        after = transport.client.counters
        sent = Counters(*(b - a for a, b in zip(astuple(before), astuple(after), strict=True)))
        return Made(report.seconds, report, opened.io.counts - counts, sent)


def reads(counts: Counts) -> int:
    """Returns the number of reads. One access at a time waits for reads, not for posted writes."""
    return counts.r32 + counts.r64


def sampled_read(path: Path) -> float:
    """Returns seconds per read, one access at a time, over a sample of a dump: the registers of
    `SAMPLE` and the first bytes of EDC0."""
    with adapter(path, pipelined=False) as opened:
        before = opened.io.counts
        seconds = opened.collect(buffer(), compress="none", entities=SAMPLE).seconds
        seconds += _window(opened.io, opened)
        return seconds / reads(opened.io.counts - before)


def _window(io: Io, opened: Adapter) -> float:
    window = Window(io, opened.chip, opened.probed.device)
    out = memoryview(bytearray(SAMPLE_BYTES))
    return timed(lambda: window.read(MemoryId.EDC0, 0, out, 8))


def entity_rates(rounds: int) -> dict[str, dict[str, Series]]:
    """Returns accesses per second by placement and entity, for entities with accesses."""
    found = {}
    for placement in placements():
        server = CardServer(spin=SPIN, cpus=placement.server)
        with serving(server) as path, on_cpus(placement.client):
            dump(path, spin=SPIN)
            reports = [dump(path, spin=SPIN).report for _ in range(rounds)]
        found[placement.name] = {
            same[0].name: Series(tuple(one.counts.total / one.seconds for one in same))
            for same in zip(*(report.entities for report in reports), strict=True)
            if same[0].counts.total
        }
    return found


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
