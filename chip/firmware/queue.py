"""Queues: ingress queues with free lists, three kinds of egress queues, and traffic classes."""

from __future__ import annotations

from enum import IntEnum

from vmcoredd.chip.firmware.codes import Op
from vmcoredd.chip.firmware.message import ALLOC, OF_FUNCTION, FwCommand, header
from vmcoredd.chip.layout import FieldSpec, reserved, u8, u16, u32, u64, word

_HEADER = header(OF_FUNCTION, f"{ALLOC} modify:29:1 eqstart:28:1 eqstop:27:1")


def _free_list(n: int) -> list[FieldSpec]:
    """Returns the fields of free list 0 or 1; list 0 shares its first word with flags of the
    ingress queue."""
    queue = (
        "iqns:31:1 iqro:30:1 iqflintiqhsen:28:2 iqflintcongen:27:1 iqflintiscsic:26:1 iqtype:24:2"
    )
    fl = (
        "cngchmap:20:4 cachelock:15:1 dbp:14:1 datans:13:1 dataro:12:1 congcif:11:1 onchip:10:1"
        " statuspgns:9:1 statuspgro:8:1 fetchns:7:1 fetchro:6:1 hostfcmode:4:2 cprio:3:1 paden:2:1"
        " packen:1:1 congen:0:1"
    )
    fetch = "dcaen:15:1 dcacpu:10:5 fbmin:7:3 fbmax:4:3 cidxfthresho:3:1 cidxfthresh:0:3"
    return [
        *word(f"{'' if n else queue} {_numbered(n, fl)}"),
        *word(_numbered(n, fetch), u16),
        (f"fl{n}size", u16),
        (f"fl{n}addr", u64),
    ]


def _numbered(n: int, fields: str) -> str:
    return " ".join(f"fl{n}{field}" for field in fields.split())


class Iq(FwCommand):
    """An ingress queue and up to two free lists. The reply has their ids."""

    OPCODE = Op.IQ
    _fields_ = (
        *header(OF_FUNCTION, f"{ALLOC} modify:29:1 iqstart:28:1 iqstop:27:1"),
        ("physiqid", u16),
        ("iqid", u16),
        ("fl0id", u16),
        ("fl1id", u16),
        *word(
            "type:29:3 iqasynch:28:1 viid:16:12 iqandst:15:1 iqanus:14:1 iqanud:12:2"
            " iqandstindex:0:12"
        ),
        *word(
            "iqdroprss:15:1 iqgtsmode:14:1 iqpciech:12:2 iqdcaen:11:1 iqdcacpu:6:5"
            " iqintcntthresh:4:2 iqo:3:1 iqcprio:2:1 iqesize:0:2",
            u16,
        ),
        ("iqsize", u16),
        ("iqaddr", u64),
        *_free_list(0),
        *_free_list(1),
    )


_EQ_FETCH = word(
    "fetchszm:26:1 statuspgns:25:1 statuspgro:24:1 fetchns:23:1 fetchro:22:1 hostfcmode:20:2"
    " cprio:19:1 onchip:18:1 pciechn:16:2 iqid:0:16"
)
_EQ_SIZE = word(
    "dcaen:31:1 dcacpu:26:5 fbmin:23:3 fbmax:20:3 cidxfthresho:19:1 cidxfthresh:16:3 eqsize:0:16"
)


class EqEth(FwCommand):
    """An egress queue for Ethernet frames."""

    OPCODE = Op.EQ_ETH
    _fields_ = (
        *_HEADER,
        *word("eqid:0:20"),
        *word("physeqid:0:20"),
        *_EQ_FETCH,
        *_EQ_SIZE,
        ("eqaddr", u64),
        *word("autoequiqe:31:1 autoequeqe:30:1 viid:16:12"),
        *word("timeren:3:1 timerix:0:3"),
        *reserved(8),
    )


class EqCtrl(FwCommand):
    """An egress queue for control messages."""

    OPCODE = Op.EQ_CTRL
    _fields_ = (
        *_HEADER,
        *word("cmpliqid:20:12 eqid:0:20"),
        *word("physeqid:0:20"),
        *_EQ_FETCH,
        *_EQ_SIZE,
        ("eqaddr", u64),
    )


class EqOfld(FwCommand):
    """An egress queue for offloaded connections."""

    OPCODE = Op.EQ_OFLD
    _fields_ = (
        *_HEADER,
        *word("eqid:0:20"),
        *word("physeqid:0:20"),
        *_EQ_FETCH,
        *_EQ_SIZE,
        ("eqaddr", u64),
    )


SCHED_CLS_NONE = 0xFFFF_FFFF
"""The value of Dmaq.EQ_SCHEDCLASS_ETH that takes a queue out of its class (sched.h)."""


class SchedLevel(IntEnum):
    """SchedParams.level (cxgb4.h, SCHED_CLASS_LEVEL_*)."""

    CLASS_RATE = 0
    CHANNEL_RATE = 2


class SchedMode(IntEnum):
    """SchedParams.mode (cxgb4.h, SCHED_CLASS_MODE_*): whose rate it is."""

    CLASS = 0
    FLOW = 1


class SchedUnit(IntEnum):
    """SchedParams.unit (cxgb4.h, SCHED_CLASS_RATEUNIT_*)."""

    BITS = 0


class SchedRate(IntEnum):
    """SchedParams.rate (cxgb4.h, SCHED_CLASS_RATEMODE_*)."""

    ABSOLUTE = 1


SC_PARAMS = 1
"""The value of Sched.sc for the layout of SchedParams (enum fw_sched_sc)."""


class Sched(FwCommand):
    """Set up a traffic scheduler; `sc` selects the layout of the operands."""

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
