"""Registers that are reached through others: programs that several entities share."""

from __future__ import annotations

import errno
from collections.abc import Iterable

from chip import Chip
from cudbg.io import Check, Column, Io, Op, Poll, Read, Write

Group = tuple[int, int]
"""The address of a first word, and how many words."""


def cim_read(io: Io, chip: Chip, groups: Iterable[Group], out: memoryview) -> None:
    """Words of the CIM's own address space, one group after the other (t4_cim_read() for each).

    DeviceError -EBUSY if the host access port is busy when a group begins, -EAGAIN if it does not
    get ready. Four accesses for the first word of a group, three for each further one.
    """
    ctrl, data = chip.r.CIM_HOST_ACC_CTRL, chip.r.CIM_HOST_ACC_DATA
    busy = ctrl.mask("HOSTBUSY")
    rows = [(address + 4 * word, word == 0) for address, count in groups for word in range(count)]
    ops: list[Op] = [
        Check(ctrl, busy, 0, error=-errno.EBUSY, count=Column(1)),
        Write(ctrl, Column(0)),
        Poll(ctrl, busy, 0, attempts=5, delay_us=2),
        Read(data),
    ]
    io.run(ops, rows, out)


def indexed_read(io: Io, index: int, data: int, groups: Iterable[Group], out: memoryview) -> None:
    """Words behind an index and a data register (t4_read_indirect() for each group)."""
    rows = [first + word for first, count in groups for word in range(count)]
    io.run([Write(index, Column(0)), Read(data)], rows, out)
