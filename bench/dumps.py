"""One dump of an adapter, timed: the driver's way, and the in-tree driver's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path

from pyvfio_user.connection import Counters

from vmcoredd import cudbg
from vmcoredd.bench.measure import timed
from vmcoredd.chip.memory import MemoryId
from vmcoredd.cudbg.collection import Report
from vmcoredd.driver import Adapter
from vmcoredd.driver.transports import Socket
from vmcoredd.hw.io import Counts, Io
from vmcoredd.hw.window import Window

SAMPLE = ("RSS_VF_CONF", "TP_INDIRECT", "PM_INDIRECT", "UP_CIM_INDIRECT", "CIM_QCFG", "RSS")
"""Entities that stand for all registers, where one access at a time is sampled."""
SAMPLE_BYTES = 8 << 10
"""Of EDC0, which stands for all memories."""


@dataclass(frozen=True)
class Made:
    """A dump that was made over a socket."""

    seconds: float
    report: Report
    counts: Counts
    """Accesses as the kernel makes them."""
    sent: Counters
    """What went over the socket."""


@contextmanager
def adapter(path: Path, *, spin: float = 0.0, pipelined: bool = True) -> Iterator[Adapter]:
    """The adapter at `path`, probed."""
    transport = Socket(path, spin=spin)
    with Adapter(transport, transport.io(pipelined=pipelined)) as opened:
        yield opened


def buffer() -> memoryview:
    """Room for a dump, zeroed."""
    return memoryview(bytearray(cudbg.DUMP_SIZE))


def dump(
    path: Path,
    *,
    spin: float = 0.0,
    compress: str = "none",
    pipelined: bool = True,
    into: memoryview | None = None,
) -> Made:
    """Probes and dumps the adapter at `path`; only the dump is timed and counted."""
    transport = Socket(path, spin=spin)
    with Adapter(transport, transport.io(pipelined=pipelined)) as opened:
        transport.client.flush()  # what probing posted is not the dump's
        counts, before = opened.io.counts, transport.client.counters
        report = opened.collect(buffer() if into is None else into, compress=compress)
        after = transport.client.counters
        sent = Counters(*(b - a for a, b in zip(astuple(before), astuple(after), strict=True)))
        return Made(report.seconds, report, opened.io.counts - counts, sent)


def reads(counts: Counts) -> int:
    """Reads are what one access at a time waits for; writes are posted."""
    return counts.r32 + counts.r64


def sampled_read(path: Path) -> float:
    """Seconds for each read, one access at a time, in a sample of a dump: registers by `SAMPLE`,
    memory by the beginning of EDC0."""
    with adapter(path, pipelined=False) as opened:
        before = opened.io.counts
        seconds = opened.collect(buffer(), compress="none", entities=SAMPLE).seconds
        seconds += _window(opened.io, opened)
        return seconds / reads(opened.io.counts - before)


def _window(io: Io, opened: Adapter) -> float:
    window = Window(io, opened.chip, opened.probed.device)
    out = memoryview(bytearray(SAMPLE_BYTES))
    return timed(lambda: window.read(MemoryId.EDC0, 0, out, 8))
