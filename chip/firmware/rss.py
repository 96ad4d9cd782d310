"""Receive-side scaling (RSS): the table of queues, and the parts of a frame that are hashed."""

from __future__ import annotations

from enum import IntEnum

from vmcoredd.chip.firmware.codes import Op
from vmcoredd.chip.firmware.message import OF_VI, FwCommand, header
from vmcoredd.chip.layout import FieldSpec, reserved, u16, word

QUEUES_PER_COMMAND = 32


def _queues() -> list[FieldSpec]:
    """Returns words of three 10-bit queue ids, the first on top; the last word has two."""
    entries: list[FieldSpec] = []
    for first in range(0, QUEUES_PER_COMMAND, 3):
        here = range(first, min(first + 3, QUEUES_PER_COMMAND))
        entries += word(" ".join(f"iq{q}:{20 - 10 * (q - first)}:10" for q in here))
    return entries


class RssIndTbl(FwCommand):
    """Write up to 32 entries of a virtual interface's slice of the table, from `startidx` on."""

    OPCODE = Op.RSS_IND_TBL
    _fields_ = (
        *header(OF_VI),
        ("niqid", u16),
        ("startidx", u16),
        *reserved(4),
        *_queues(),
        *reserved(4),
    )

    @property
    def queues(self) -> list[int]:
        """The `niqid` queue ids in order."""
        return [getattr(self, f"iq{q}") for q in range(min(self.niqid, QUEUES_PER_COMMAND))]


class RssGlbMode(IntEnum):
    """RssGlbConfig.mode."""

    MANUAL = 0
    BASICVIRTUAL = 1


class RssGlbConfig(FwCommand):
    """Set what the adapter hashes."""

    OPCODE = Op.RSS_GLB_CONFIG
    _fields_ = (
        *header(),
        *word("mode:28:4"),
        *word(
            "synmapen:8:1 syn4tupenipv6:7:1 syn2tupenipv6:6:1 syn4tupenipv4:5:1 syn2tupenipv4:4:1"
            " ofdmapen:3:1 tnlmapen:2:1 tnlalllkp:1:1 hashtoeplitz:0:1"
        ),
        *reserved(16),
    )


class RssViConfig(FwCommand):
    """Set what a virtual interface hashes, and its default queue."""

    OPCODE = Op.RSS_VI_CONFIG
    _fields_ = (
        *header(OF_VI),
        *reserved(4),
        *word(
            "defaultq:16:10 ip6fourtupen:4:1 ip6twotupen:3:1 ip4fourtupen:2:1 ip4twotupen:1:1"
            " udpen:0:1"
        ),
        *reserved(16),
    )
