"""Programs that several entities share: most read registers that are reached through others."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import u32s
from vmcoredd.hw.errors import DeadDevice, DeviceError
from vmcoredd.hw.io import Cell, Check, Io, Number, Op, Poll, Read, Write

Group = tuple[int, int]
"""The address of a first word, and how many words."""


def read_each(io: Io, registers: Sequence[int]) -> tuple[int, ...]:
    """Registers from here and there, none waited for."""
    return u32s(io.run([Read(Cell())], registers))


def run_rows(io: Io, ops: Sequence[Op], rows: Sequence[int], out: memoryview) -> int:
    """Runs rows until a poll or check fails; returns how many completed.

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
    """Words of the CIM's own address space, one group after the other (t4_cim_read() for each).

    DeviceError -EBUSY if the host access port is busy when a group begins, -EAGAIN if it does not
    get ready. Four accesses for the first word of a group, three for each further one.
    """
    rows = [(address + 4 * word, word == 0) for address, count in groups for word in range(count)]
    ops: list[Op] = [
        _ready(chip, count=Cell(1)),
        *_access(chip, Cell(0)),
        Read(chip.r.CIM_HOST_ACC_DATA),
    ]
    io.run(ops, rows, out)


def cim_read_ops(chip: Chip, address: Number) -> list[Op]:
    """The operations of reading one word of the CIM's address space; it is kept."""
    return [_ready(chip), *_access(chip, address), Read(chip.r.CIM_HOST_ACC_DATA)]


def cim_check_ops(chip: Chip, address: Number, mask: int, error: int) -> list[Op]:
    """The same, but the word is not kept, and must have no bit of `mask`."""
    data = chip.r.CIM_HOST_ACC_DATA
    return [_ready(chip), *_access(chip, address), Check(data, mask, 0, error)]


def cim_write_ops(chip: Chip, address: int, value: Number) -> list[Op]:
    """The operations of writing one word of the CIM's address space (t4_cim_write())."""
    write = chip.r.CIM_HOST_ACC_CTRL.of(HostWrite=1)
    data = Write(chip.r.CIM_HOST_ACC_DATA, value)
    return [_ready(chip), data, *_access(chip, address | write)]


def _ready(chip: Chip, count: Number = 1) -> Check:
    ctrl = chip.r.CIM_HOST_ACC_CTRL
    return Check(ctrl, ctrl.mask("HostBusy"), 0, error=-errno.EBUSY, count=count)


def _access(chip: Chip, request: Number) -> list[Op]:
    """Starts an access and waits for it."""
    ctrl = chip.r.CIM_HOST_ACC_CTRL
    return [Write(ctrl, request), Poll(ctrl, ctrl.mask("HostBusy"), 0, attempts=5, delay_us=2)]


def indexed_read(io: Io, index: int, data: int, groups: Iterable[Group], out: memoryview) -> None:
    """Words behind an index and a data register (t4_read_indirect() for each group)."""
    rows = [first + word for first, count in groups for word in range(count)]
    io.run([Write(index, Cell(0)), Read(data)], rows, out)
