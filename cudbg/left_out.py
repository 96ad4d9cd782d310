"""The mark of an entity that was left out of a dump on purpose.

Its header stays. It has no data, and the status -35, "entity not requested" (CUDBG_STATUS_ENTITY_
NOT_REQUESTED of FreeBSD's cudbg.h), so that any reader takes it for an entity without data. Its
first two reserved words, which all drivers leave zero, tell why: the letters `SLIM`, then a `Why`.
"""

from __future__ import annotations

from enum import IntEnum, unique
from typing import TypeAlias

from vmcoredd.cudbg.container import BigEntityHeader, EntityHeader
from vmcoredd.cudbg.errors import Code

AnyEntityHeader: TypeAlias = EntityHeader | BigEntityHeader
MARK = int.from_bytes(b"SLIM", "little")


@unique
class Why(IntEnum):
    """Why an entity was left out."""

    CHOSEN = 1
    PRIVATE = 2
    DAMAGED = 3


_WORDS = {
    Why.CHOSEN: "not wanted",
    Why.PRIVATE: "private data in it cannot be told from other data",
    Why.DAMAGED: "it was damaged",
}


def leave_out(header: AnyEntityHeader, why: Why) -> None:
    """Marks an entity as left out."""
    header.size = header.num_pad = header.sys_err = header.sys_warn = 0
    header.hdr_flags = Code.NOT_REQUESTED
    header.reserved[0], header.reserved[1] = MARK, why


def why_left_out(header: AnyEntityHeader) -> str:
    """Returns why an entity was left out; empty if it was not."""
    if header.hdr_flags != Code.NOT_REQUESTED or header.reserved[0] != MARK:
        return ""
    why = header.reserved[1]
    return f"left out by slim: {_WORDS[Why(why)] if why in _WORDS else f'reason {why}'}"
