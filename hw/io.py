"""Register accesses: single ones, and programs.

A *program* is a short list of operations, executed for each row of a table:

    # TP_PIO registers 0x20..0x3b, through an index and a data register
    io.run([Write(r.TP_PIO_ADDR, Each(0x20)), Read(r.TP_PIO_DATA)], rows=28)

A transport may send many accesses before it has the first reply; the values read and the registers
left behind are the same as if it had waited for each access. An offset, value or count that differs
between rows is an `Each` (an arithmetic series) or a `Cell` (a column of the table).

The values of `Read`, of `Poll` and `Check` with `keep=True`, and of `Put` are stored one after the
other, little-endian, row by row.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, cast

from vmcoredd.chip.layout import U32_MASK
from vmcoredd.hw.errors import DeviceError


@dataclass(frozen=True, slots=True)
class Each:
    """The number `first + step * row`."""

    first: int
    step: int = 1


@dataclass(frozen=True, slots=True)
class Cell:
    """The number in column `index` of the row, `plus` a constant."""

    index: int = 0
    plus: int = 0


Number: TypeAlias = int | Each | Cell
"""A constant, or a number that differs between rows; 32 bits, wrapping."""


@dataclass(frozen=True, slots=True)
class Write:
    """Write the 4-byte `value` to `count` (at most 64) registers at ascending offsets."""

    offset: Number
    value: Number
    count: Number = 1


@dataclass(frozen=True, slots=True)
class Read:
    """Read `count` values of `width` (4 or 8) bytes at ascending offsets.

    With `again`, read the one register `count` times: for registers that advance when read.
    With `keep=False` the values are dropped: for reads that only flush a write.
    """

    offset: Number
    count: Number = 1
    width: int = 4
    keep: bool = True
    again: bool = False


@dataclass(frozen=True, slots=True)
class Poll:
    """Read until `value & mask == wanted`, at most `attempts` times, `delay_us` apart.

    After the last attempt the program fails with `error` (-errno), or continues if that is 0. The
    kernel does this in t4_wait_op_done_val(). With `keep`, the last value is stored.
    """

    offset: Number
    mask: int
    wanted: int
    attempts: int
    delay_us: int = 0
    error: int = -errno.EAGAIN
    keep: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """Read once; the program fails with `error` unless `value & mask == wanted`.

    A `count` of 0 skips it in this row.
    """

    offset: Number
    mask: int
    wanted: int
    error: int
    keep: bool = False
    count: Number = 1


@dataclass(frozen=True, slots=True)
class Put:
    """Store the 4-byte `value` without an access: a part of a record that is not read."""

    value: Number


Op: TypeAlias = Write | Read | Poll | Check | Put
Rows: TypeAlias = int | Sequence[int] | Sequence[Sequence[int]]
"""The number of rows, or the table: a number or a tuple of numbers per row."""


@dataclass
class Counts:
    """Counts of the accesses to BAR0 that the kernel's driver would have made, by width in bits."""

    r32: int = 0
    w32: int = 0
    r64: int = 0
    w64: int = 0
    timeouts: int = field(default=0, compare=False)
    """Polls of more than one attempt that failed; not accesses."""

    @property
    def total(self) -> int:
        """All of them."""
        return self.r32 + self.w32 + self.r64 + self.w64

    def __sub__(self, before: Counts) -> Counts:
        return Counts(
            self.r32 - before.r32,
            self.w32 - before.w32,
            self.r64 - before.r64,
            self.w64 - before.w64,
            self.timeouts - before.timeouts,
        )


class Space(Protocol):
    """Registers at offsets: BAR0, or configuration space.

    Failures raise `DeviceError` with the -errno that the kernel's driver returns, or `DeadDevice`
    if the transport itself failed.
    """

    def read(self, offset: int, width: int = 4) -> int:
        """Returns one register of 4 or 8 bytes."""

    def write(self, offset: int, value: int, width: int = 4) -> None:
        """Writes one register of 4 or 8 bytes; posted, as on PCIe."""

    def read_run(self, offset: int, count: int, width: int = 4) -> bytes:
        """Returns `count` registers at ascending offsets."""

    def run(self, ops: Sequence[Op], rows: Rows = 1, out: memoryview | None = None) -> memoryview:
        """Runs a program; returns the values it kept, as a part of `out` if that is given.

        Raises `DeviceError`; its `.rows` and `.used` count what completed before the failure.
        """


class Io(Space, Protocol):
    """One adapter: BAR0, and its configuration space."""

    @property
    def counts(self) -> Counts:
        """The accesses so far (a copy; another thread may read it to show progress)."""

    @property
    def config(self) -> Space:
        """PCI configuration space, in words."""

    def check_alive(self) -> None:
        """Raises `AdapterGone` if the last value read is all ones, and PL_WHOAMI is too.

        Reads PL_WHOAMI only after all ones, and does not count that. Since a bad link may spoil a
        read, an adapter is gone only if several reads agree. A poll that fails on all ones checks
        this at once, so that an adapter that is gone is not waited for.
        """


def table_of(rows: Rows) -> tuple[int, Sequence[Sequence[int]]]:
    """Returns the number of rows, and the table (empty if there is none)."""
    if isinstance(rows, int):
        return rows, ()
    if rows and isinstance(rows[0], int):
        return len(rows), [(cell,) for cell in cast(Sequence[int], rows)]
    return len(rows), cast(Sequence[Sequence[int]], rows)


def number(value: Number, row: int, table: Sequence[Sequence[int]]) -> int:
    """Returns `value` in this row."""
    if isinstance(value, Each):
        return (value.first + value.step * row) & U32_MASK
    if isinstance(value, Cell):
        return (table[row][value.index] + value.plus) & U32_MASK
    return value


def kept_bytes(ops: Sequence[Op], rows: Rows) -> int:
    """Returns the number of bytes that a program keeps."""
    n, table = table_of(rows)
    total = 0
    for op in ops:
        if isinstance(op, Read) and op.keep:
            total += op.width * _sum(op.count, n, table)
        elif isinstance(op, Check) and op.keep:
            total += 4 * _sum(op.count, n, table)
        elif isinstance(op, Put) or (isinstance(op, Poll) and op.keep):
            total += 4 * n
    return total


def _sum(count: Number, rows: int, table: Sequence[Sequence[int]]) -> int:
    if isinstance(count, int):
        return count * rows
    return sum(number(count, row, table) for row in range(rows))


class SingleIo:
    """Runs programs one access at a time, as the kernel does: the reference for faster transports.

    A subclass implements `read` and `write`, and for BAR0 `check_alive`.
    """

    timeouts: int = 0
    """See `Counts.timeouts`."""

    def read(self, offset: int, width: int = 4) -> int:
        """Returns one register of 4 or 8 bytes."""
        raise NotImplementedError

    def write(self, offset: int, value: int, width: int = 4) -> None:
        """Writes one register of 4 or 8 bytes."""
        raise NotImplementedError

    def check_alive(self) -> None:
        """See `Io.check_alive`."""

    def read_run(self, offset: int, count: int, width: int = 4) -> bytes:
        """Returns `count` registers at ascending offsets."""
        return bytes(self.run([Read(offset, count, width)]))

    def run(self, ops: Sequence[Op], rows: Rows = 1, out: memoryview | None = None) -> memoryview:
        """See `Space.run`."""
        n, table = table_of(rows)
        kept = bytearray()
        for row in range(n):
            done = len(kept)
            try:
                for op in ops:
                    kept += self._do(op, row, table)
            except DeviceError as error:
                error.rows, error.used = row, done
                _store(kept[:done], out)
                raise
        return _store(kept, out)

    def _do(self, op: Op, row: int, table: Sequence[Sequence[int]]) -> bytes:
        if isinstance(op, Put):
            return number(op.value, row, table).to_bytes(4, "little")
        offset = number(op.offset, row, table)
        if isinstance(op, Write):
            for i in range(number(op.count, row, table)):
                self.write(offset + 4 * i, number(op.value, row, table))
            return b""
        if isinstance(op, Read):
            step = 0 if op.again else op.width
            values = [
                self.read(offset + i * step, op.width).to_bytes(op.width, "little")
                for i in range(number(op.count, row, table))
            ]
            return b"".join(values) if op.keep else b""
        if isinstance(op, Check):
            if not number(op.count, row, table):
                return b""
            op = Poll(op.offset, op.mask, op.wanted, 1, 0, op.error, op.keep)
        return self._poll(op, offset)

    def _poll(self, op: Poll, offset: int) -> bytes:
        value = 0
        for attempt in range(op.attempts):
            if attempt and op.delay_us:
                time.sleep(op.delay_us / 1e6)
            before, value = value, self.read(offset)
            if value & op.mask == op.wanted:
                break
            if value == U32_MASK != before:
                self.check_alive()
        else:
            self.timeouts += op.attempts > 1
            if op.error:
                raise DeviceError(op.error, f"register {offset:#x} is {value:#x}")
        return value.to_bytes(4, "little") if op.keep else b""


def _store(kept: bytearray, out: memoryview | None) -> memoryview:
    if out is None:
        return memoryview(kept)
    if len(kept) > len(out):
        raise ValueError(f"the program keeps {len(kept)} bytes, there is room for {len(out)}")
    out[: len(kept)] = kept
    return out[: len(kept)]
