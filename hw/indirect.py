"""Indirect registers: behind an address and a data register, or behind the CIM's host access.

Several entities share two ways to run a program, which are here too: one read per row, and rows
until one fails.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence

from vmcoredd.chip import Chip
from vmcoredd.chip.cim import HOST_POLL_DELAY_US, HOST_POLLS
from vmcoredd.chip.layout import u32s
from vmcoredd.hw.errors import DeadDevice, DeviceError
from vmcoredd.hw.io import Cell, Check, Io, Number, Op, Poll, Read, Write

Group = tuple[int, int]
"""The address of the first word, and the number of words."""


def read_each(io: Io, registers: Sequence[int]) -> tuple[int, ...]:
    """Returns the 32-bit registers at these offsets, in this order."""
    return u32s(io.run([Read(Cell())], registers))


def run_rows(io: Io, ops: Sequence[Op], rows: Sequence[int], out: memoryview) -> int:
    """Runs rows until a poll or check fails; returns the number of complete rows.

    `out` holds what the completed rows kept.
    """
    try:
        io.run(ops, rows, out)
    except DeadDevice:
        raise
    except DeviceError as error:
        return error.rows
    return len(rows)


def cim_read(io: Io, chip: Chip, groups: Iterable[Group], out: memoryview) -> None:
    """Reads words of the CIM's address space into `out` (t4_cim_read() for each group).

    Four accesses for the first word of a group, three for each other word. Raises DeviceError
    -EBUSY if the host access is busy when a group begins, -EAGAIN if an access does not end.
    """
    rows = [(address + 4 * word, word == 0) for address, count in groups for word in range(count)]
    ops: list[Op] = [
        _ready(chip, count=Cell(1)),
        *_access(chip, Cell(0)),
        Read(chip.r.CIM_HOST_ACC_DATA),
    ]
    io.run(ops, rows, out)


def cim_read_ops(chip: Chip, address: Number) -> list[Op]:
    """Returns the operations that read and keep one word of the CIM's address space."""
    return [_ready(chip), *_access(chip, address), Read(chip.r.CIM_HOST_ACC_DATA)]


def cim_check_ops(chip: Chip, address: Number, mask: int, error: int) -> list[Op]:
    """Returns operations that read a word and fail with `error` if it has a bit of `mask`."""
    data = chip.r.CIM_HOST_ACC_DATA
    return [_ready(chip), *_access(chip, address), Check(data, mask, 0, error)]


def cim_write_ops(chip: Chip, address: int, value: Number) -> list[Op]:
    """Returns the operations that write one word of the CIM's address space (t4_cim_write())."""
    write = chip.r.CIM_HOST_ACC_CTRL.of(HostWrite=1)
    data = Write(chip.r.CIM_HOST_ACC_DATA, value)
    return [_ready(chip), data, *_access(chip, address | write)]


def _ready(chip: Chip, count: Number = 1) -> Check:
    ctrl = chip.r.CIM_HOST_ACC_CTRL
    return Check(ctrl, ctrl.mask("HostBusy"), 0, error=-errno.EBUSY, count=count)


def _access(chip: Chip, request: Number) -> list[Op]:
    """Starts an access and polls until it ends."""
    ctrl = chip.r.CIM_HOST_ACC_CTRL
    return [
        Write(ctrl, request),
        Poll(ctrl, ctrl.mask("HostBusy"), 0, attempts=HOST_POLLS, delay_us=HOST_POLL_DELAY_US),
    ]


def indexed_read(io: Io, address: int, data: int, groups: Iterable[Group], out: memoryview) -> None:
    """Reads words behind an address and a data register (t4_read_indirect() for each group)."""
    rows = [first + word for first, count in groups for word in range(count)]
    io.run([Write(address, Cell(0)), Read(data)], rows, out)
