"""Traffic scheduling classes."""

from __future__ import annotations

from vmcoredd.chip.firmware.codes import Op
from vmcoredd.chip.firmware.message import FwCommand, header
from vmcoredd.chip.layout import reserved, u8, u16, u32

SC_PARAMS = 1
"""Sched.sc: the operands are those of SchedParams (enum fw_sched_sc)."""


class Sched(FwCommand):
    """Scheduler set-up; `sc` says which layout the operands have."""

    OPCODE = Op.SCHED
    _fields_ = (
        *header(),
        ("sc", u8),
        ("type", u8),
        ("minmaxen", u8),
        ("r3", u8 * 5),
        ("nclasses", u8 * 4),
        *reserved(12),
    )

    @classmethod
    def variant(cls, data: bytes) -> type[FwCommand]:
        return SchedParams if cls.from_bytes(data).sc == SC_PARAMS else cls


class SchedParams(FwCommand):
    """Rates of one class of one channel; `min` and `max` in `unit` and `rate`."""

    OPCODE = Op.SCHED
    _fields_ = (
        *header(),
        ("sc", u8),
        ("type", u8),
        ("level", u8),
        ("mode", u8),
        ("unit", u8),
        ("rate", u8),
        ("ch", u8),
        ("cl", u8),
        ("min", u32),
        ("max", u32),
        ("weight", u16),
        ("pktsize", u16),
        ("burstsize", u16),
        *reserved(2),
    )
