"""Programs, as the reference runs them: what they read, write, keep, and how they fail."""

from __future__ import annotations

import errno

import pytest
from ramspace import RamSpace

from vmcoredd.chip.layout import u32s, u64s
from vmcoredd.hw.errors import DeadDevice, DeviceError, errno_name
from vmcoredd.hw.io import Cell, Check, Each, Op, Poll, Put, Read, Write, kept_bytes


def test_a_program_runs_for_each_row_of_its_table() -> None:
    space = RamSpace()
    space.on_write[0x100] = lambda index: space.words.update({0x104: 3 * index})
    assert u32s(space.run([Write(0x100, Cell()), Read(0x104)], [5, 7])) == (15, 21)
    assert u32s(space.run([Write(0x100, Each(2, 4)), Read(0x104)], rows=2)) == (6, 18)


def test_a_read_takes_ascending_offsets_or_one_register_again() -> None:
    space = RamSpace({0: 1, 4: 2, 8: 3})
    assert u32s(space.run([Read(0, count=3)])) == (1, 2, 3)
    assert u32s(space.run([Read(4, count=3, again=True)])) == (2, 2, 2)
    assert u64s(space.run([Read(0, width=8)])) == (2 << 32 | 1,)
    assert bytes(space.run([Read(0, keep=False)])) == b""


def test_put_stores_a_number_without_an_access() -> None:
    space = RamSpace()
    assert u32s(space.run([Put(Cell(1, plus=1))], [(0, 8), (0, 0xFFFFFFFF)])) == (9, 0)
    assert space.log == []


def test_a_write_goes_to_count_registers_and_a_count_of_0_skips() -> None:
    space = RamSpace()
    space.run([Write(0x10, 7, count=Cell(0)), Check(0x20, 1, 1, -errno.EIO, count=0)], [2, 0])
    assert space.log == [("w", 0x10, 7), ("w", 0x14, 7)]


def test_a_poll_stops_at_the_first_match() -> None:
    space, values = RamSpace(), iter((1, 1, 0))
    space.on_read[0] = lambda: next(values)
    assert u32s(space.run([Poll(0, 1, 0, attempts=5, keep=True)])) == (0,)
    assert len(space.log) == 3


def test_a_failed_program_keeps_complete_rows_and_counts_them() -> None:
    space = RamSpace({0x10: 1})
    ops: list[Op] = [Check(Cell(), 1, 1, -errno.EBUSY), Read(Cell())]
    out = memoryview(bytearray(8))
    with pytest.raises(DeviceError, match=r"register 0x14 is 0x0: -EBUSY") as caught:
        space.run(ops, [0x10, 0x14], out)
    assert (caught.value.code, caught.value.rows, caught.value.used) == (-errno.EBUSY, 1, 4)
    assert u32s(out) == (1, 0)


def test_a_poll_without_an_error_goes_on() -> None:
    assert bytes(RamSpace().run([Poll(0, 1, 1, attempts=2, error=0)])) == b""


def test_a_program_that_keeps_more_than_the_buffer_is_refused() -> None:
    with pytest.raises(ValueError, match="the program keeps 8 bytes, there is room for 4"):
        RamSpace().run([Read(0, count=2)], out=memoryview(bytearray(4)))


def test_kept_bytes_are_those_that_a_program_returns() -> None:
    ops: list[Op] = [
        Read(0, count=Cell(0), width=8),
        Put(1),
        Poll(0, 0, 0, 1, keep=True),
        Check(0, 0, 0, -errno.EIO, keep=True, count=Cell(1)),
        Read(0, keep=False),
        Write(0, 1),
    ]
    table = [(1, 0), (3, 1)]
    assert kept_bytes(ops, table) == len(RamSpace().run(ops, table)) == 8 + 8 + 24 + 8 + 4


def test_errors_carry_the_kernels_name() -> None:
    assert errno_name(-errno.EAGAIN) == "-EAGAIN (Resource temporarily unavailable)"
    assert errno_name(-9999) == "-9999"
    assert str(DeadDevice(-errno.EIO, "BAR0")).startswith("the device is gone (BAR0: -EIO")
    assert str(DeadDevice(-errno.EBADF, "x")).startswith("the device cannot be reached (x: -EBADF")
