"""The floor: a lower bound on the time of a dump over a socket that keeps the kernel's order.

It is the sum of the unavoidable messages at the cost of a pipelined message, the bytes at the rate
of bulk reads, and the dependent waits at the cost of a round trip, all measured on the same socket.
Reading a run of registers is one message, each write is one. The user-space driver writes a
run of registers with one message, so the sum over its actual messages is a stricter bound, which is
reported too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from vmcoredd.bench.dumps import buffer
from vmcoredd.bench.load import Link
from vmcoredd.driver import Adapter
from vmcoredd.driver.transports import Socket
from vmcoredd.hw.io import Counts, Io, Number, Op, Put, Read, Rows, Space, Write, number, table_of


@dataclass
class Unavoidable:
    """The messages, bytes and waits that a dump needs."""

    reads: int = 0
    """Read messages: a run of registers is one."""
    writes: int = 0
    """Posted writes of one register."""
    write_runs: int = 0
    """Posted writes if a run of registers is one message."""
    read_bytes: int = 0
    waits: int = 0
    """How often the collector needs values before it can continue."""

    def floor(self, link: Link) -> float:
        """Returns seconds on that link, with one message per register written."""
        return self._seconds(link, self.writes)

    def sent(self, link: Link) -> float:
        """Returns seconds on that link for the messages that the driver sends."""
        return self._seconds(link, self.write_runs)

    def _seconds(self, link: Link, writes: int) -> float:
        messages = self.reads * link.read + writes * link.write
        return messages + self.read_bytes * link.byte + self.waits * link.round_trip


class Counting:
    """A `hw.io.Space` that counts the needs of programs and passes them to another space."""

    def __init__(self, space: Space, found: Unavoidable) -> None:
        self._space, self._found = space, found

    def read(self, offset: int, width: int = 4) -> int:
        """As `Space.read`."""
        self._add(reads=1, read_bytes=width, waits=1)
        return self._space.read(offset, width)

    def write(self, offset: int, value: int, width: int = 4) -> None:
        """As `Space.write`."""
        self._add(writes=1, write_runs=1)
        self._space.write(offset, value, width)

    def read_run(self, offset: int, count: int, width: int = 4) -> bytes:
        """As `Space.read_run`."""
        self._add(reads=1, read_bytes=count * width, waits=1)
        return self._space.read_run(offset, count, width)

    def run(self, ops: Sequence[Op], rows: Rows = 1, out: memoryview | None = None) -> memoryview:
        """As `Space.run`."""
        n, table = table_of(rows)
        reads = [op for op in ops if not isinstance(op, Write | Put)]
        self._add(waits=1 if n and reads else 0)
        for op in ops:
            if isinstance(op, Write):
                counts = [number(op.count, row, table) for row in range(n)]
                self._add(writes=sum(counts), write_runs=sum(map(bool, counts)))
        for op in reads:
            self._add_reads(op, n, table)
        return self._space.run(ops, rows, out)

    def _add_reads(self, op: Op, n: int, table: Sequence[Sequence[int]]) -> None:
        count: Number = getattr(op, "count", 1)
        again = isinstance(op, Read) and op.again
        counts = [number(count, row, table) for row in range(n)]
        self._add(
            reads=sum(counts) if again else sum(map(bool, counts)),
            read_bytes=sum(counts) * getattr(op, "width", 4),
        )

    def _add(self, **counts: int) -> None:
        for name, count in counts.items():
            setattr(self._found, name, getattr(self._found, name) + count)


class CountingIo(Counting):
    """A `hw.io.Io` that counts, configuration space included."""

    def __init__(self, io: Io, found: Unavoidable) -> None:
        super().__init__(io, found)
        self._io = io
        self.config: Space = Counting(io.config, found)

    @property
    def counts(self) -> Counts:
        """As `Io.counts`."""
        return self._io.counts

    def check_alive(self) -> None:
        """As `Io.check_alive`; not counted, since it reads nothing of a good adapter."""
        self._io.check_alive()


def unavoidable(path: Path) -> Unavoidable:
    """Dumps the adapter at `path` and returns the dump's needs, without the probe's."""
    found = Unavoidable()
    transport = Socket(path)
    with Adapter(transport, CountingIo(transport.io(), found)) as opened:
        probing = replace(found)
        opened.collect(buffer(), compress="none")
    return Unavoidable(
        *(after - before for after, before in zip(astuple(found), astuple(probing), strict=True))
    )
