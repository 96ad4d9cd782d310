"""The base of all mailbox commands: their first two words, and the search for a command's class."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, ClassVar, Self

from vmcoredd.chip.firmware.codes import Op
from vmcoredd.chip.layout import BigStruct, FieldSpec, LayoutError, sizeof, word

MAILBOX_BYTES = 64
"""Bytes of a mailbox: eight 64-bit words (t4_hw.h, MBOX_LEN)."""


class MailboxOwner(IntEnum):
    """CIM_PF_MAILBOX_CTRL.MBOwner (t4_regs.h, MBOX_OWNER_*)."""

    NONE = 0
    FW = 1
    DRV = 2


_COMMANDS: dict[int, type[FwCommand]] = {}


def header(first: str = "", second: str = "") -> list[FieldSpec]:
    """Returns the two words that start every command, with the command's own fields in both.

    `first` may name bits 19..0 of word 0, `second` bits 31..16 of word 1.
    """
    op = "op:24:8 request:23:1 read:22:1 write:21:1 exec:20:1"
    return [*word(f"{op} {first}"), *word(f"{second} retval:8:8 len16:0:8")]


OF_FUNCTION = "pfn:8:3 vfn:0:8"
"""The function of a command: physical, and virtual (0: the physical function itself)."""
OF_VI = "viid:0:12"
"""The virtual interface of a command."""
ALLOC = "alloc:31:1 free:30:1"


class FwCommand(BigStruct):
    """A mailbox command, request or reply; 16 to 64 bytes, a multiple of 16.

    A subclass that names its `OPCODE` is found by `command_of()`. One command can have several
    layouts (LDST, PORT, ...): the one declared first selects another in `variant()`.
    """

    OPCODE: ClassVar[Op]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "OPCODE" in cls.__dict__:
            _COMMANDS.setdefault(cls.OPCODE, cls)

    def __init__(self, **values: Any) -> None:
        """Makes a request (REQUEST, opcode and length set) with these fields; all others are 0."""
        super().__init__()
        defaults = {"op": self.OPCODE, "request": 1, "len16": sizeof(type(self)) // 16}
        for name, value in {**defaults, **values}.items():
            setattr(self, name, value)

    @classmethod
    def variant(cls, data: bytes) -> type[FwCommand]:
        """Returns the class of `data`, a command of this opcode, if there are several."""
        return cls

    def reply(self, retval: int = 0, **values: Any) -> Self:
        """Returns the reply: a copy without REQUEST, with `retval` and these fields set."""
        answer = type(self).from_bytes(bytes(self))
        for name, value in {"request": 0, "retval": retval, **values}.items():
            setattr(answer, name, value)
        return answer


class Header(BigStruct):
    """The first two words of any command, known or unknown."""

    _fields_ = tuple(header("low:0:20", "high:16:16"))


def command_of(data: bytes) -> FwCommand | None:
    """Returns the command in a mailbox, in its own class; None if the opcode (data[0]) is unknown.

    Raises LayoutError if `data` is shorter than the command.
    """
    if len(data) < sizeof(Header):
        raise LayoutError("mailbox command", sizeof(Header), len(data))
    kind = _COMMANDS.get(data[0])
    return kind.variant(data).from_bytes(data) if kind else None
