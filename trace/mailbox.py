"""The mailboxes, as accesses show them: which commands went in, which replies were taken out."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from vmcoredd.chip import Chip
from vmcoredd.chip.firmware import (
    MAILBOX_BYTES,
    Header,
    MailboxOwner,
    Params,
    command_of,
    op_name,
    param_name,
    retval_name,
)
from vmcoredd.chip.layout import WORD_BYTES, LayoutError
from vmcoredd.trace.records import Kind, Record


@dataclass(frozen=True)
class Message:
    """A command or a reply."""

    pf: int
    is_reply: bool
    name: str
    data: bytes
    """First byte first, as the firmware sees it."""
    details: dict[str, Any]
    """Its fields that are not 0, and of a reply its return value."""
    spent: int = 0
    """ns from the command to the reply."""


@dataclass
class _Mailbox:
    data: bytearray = field(default_factory=lambda: bytearray(MAILBOX_BYTES))
    sent: int = 0
    """When the command that has no reply yet was sent."""
    taken: bool = False
    """Whether data were read since."""


class Mailboxes:
    """Follows the accesses to all mailboxes of an adapter."""

    def __init__(self, chip: Chip) -> None:
        r = chip.r
        self._ctrl = r.CIM_PF_MAILBOX_CTRL
        self._controls = {self._ctrl[pf]: pf for pf in range(self._ctrl.count)}
        self._data = {
            int(one) + at: (pf, at)
            for pf, one in enumerate(r.instances("CIM_PF_MAILBOX_DATA"))
            for at in range(0, MAILBOX_BYTES, WORD_BYTES)
        }
        self._all = {pf: _Mailbox() for pf in self._controls.values()}

    def of(self, record: Record) -> Iterator[Message]:
        """Yields the messages that an access to BAR0 completes."""
        if found := self._data.get(record.address):
            self._moved(self._all[found[0]], record, found[1])
            return
        pf = self._controls.get(record.address, -1)
        if pf < 0 or record.kind != Kind.WRITE:
            return
        box = self._all[pf]
        if box.sent and box.taken:
            yield _reply(pf, box, record.time)
            box.sent = 0
        get = self._ctrl.get
        owner = get(record.value, "MBOwner")
        if get(record.value, "MBMsgValid") and owner == MailboxOwner.FW:
            box.sent, box.taken = record.time, False
            yield _message(pf, bytes(box.data), is_reply=False)

    def _moved(self, box: _Mailbox, record: Record, at: int) -> None:
        content = record.content[: MAILBOX_BYTES - at]
        box.data[at : at + len(content)] = content
        box.taken = box.taken or record.kind == Kind.READ


def _reply(pf: int, box: _Mailbox, now: int) -> Message:
    return _message(pf, bytes(box.data), is_reply=True, spent=now - box.sent)


def _message(pf: int, words: bytes, *, is_reply: bool, spent: int = 0) -> Message:
    data = _swapped(words)
    try:
        command = command_of(data)
    except LayoutError:  # not of 64 bytes
        command = None
    details: dict[str, Any] = {"pf": pf}
    if is_reply:
        details["retval"] = retval_name(Header.from_bytes(data).retval)
    if isinstance(command, Params):
        details["params"] = {param_name(one.mnem): one.val for one in command.asked}
    if command is not None:
        hidden = ("op", "retval", "request", "len16", "param")
        details |= {n: _plain(v) for n, v in command.items() if n not in hidden and _is_set(v)}
    return Message(pf, is_reply, op_name(data[0]), data, details, spent)


def _is_set(value: Any) -> bool:
    return any(bytes(value)) if isinstance(value, ctypes.Array) else bool(value)


def _plain(value: Any) -> Any:
    """Returns a field's value as JSON has it."""
    if isinstance(value, ctypes.Array):
        return bytes(value).hex()
    return value


def _swapped(words: bytes) -> bytes:
    """Returns the mailbox's 64-bit words, which the bus shows the other way round."""
    count = MAILBOX_BYTES // 8
    return struct.pack(f">{count}Q", *struct.unpack(f"<{count}Q", words))
