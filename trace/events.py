"""Records as events: what an access was to, with names and fields, and what followed from it."""

from __future__ import annotations

import errno
import json
import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from vmcoredd.chip import T5, T6, Chip, Location, Register, pci
from vmcoredd.chip.instances import block_of, instance_of
from vmcoredd.chip.layout import sizeof
from vmcoredd.chip.pci import Bar
from vmcoredd.trace.errors import TraceFormatError
from vmcoredd.trace.mailbox import Mailboxes
from vmcoredd.trace.records import (
    ACCESSES,
    CONFIG_SPACE,
    INTERRUPTS,
    MALFORMED,
    WINDOW,
    WRITABLE,
    Kind,
    Record,
    Source,
)

COMMAND, REPLY, MOVE = "command", "reply", "window"
"""The kinds of events that are in no record: they follow from several accesses, or from one."""
KINDS = (
    *(kind.name.lower().replace("_", "-") for kind in Kind if kind is not Kind.DATA),
    *(COMMAND, REPLY, MOVE),
)
"""All kinds of events."""
MEMORY, CONFIG, HOST, QUEUES, FIRMWARE, EMULATOR = (
    *("memory", "config", "host memory", "doorbells", "firmware", "emulator"),
)
"""The blocks of what is no register."""
HOLE = re.compile(r"\{(?:(queue|what)(?::(#x|#010x))?|error)\}")
"""What a text about trouble leaves open; a header is not trusted with other formats."""
_NAMES = dict(zip(list(Kind)[1:], KINDS, strict=False))
_SOURCES = {source: source.name.lower() for source in Source}


@dataclass(slots=True)
class Event:
    """What happened once, or `times` in a row."""

    time: int
    """ns since the trace began."""
    spent: int
    """ns that it took."""
    kind: str
    """One of KINDS."""
    source: str
    block: str
    name: str
    """The register with its element, the memory, the command, the queue, ..."""
    space: str = ""
    """bar0, config, ...; empty of what is no access."""
    offset: int | None = None
    """In `space`; of memory and DMA the address."""
    length: int = 0
    """Bytes."""
    value: int | None = None
    """What was written or read, if it has at most 8 bytes."""
    before: int | None = None
    """What the register stored before."""
    after: int | None = None
    fields: Mapping[str, int] = field(default_factory=dict)
    """The register's fields in `value`."""
    changes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """The fields that the register stores differently after a write: before and after."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What else there is to say: a command's fields, a queue, ..."""
    data: bytes = b""
    """What was written or read; of DMA and frames the first bytes."""
    error: str = ""
    """The errno's name if it was refused."""
    nested: bool = False
    """It happened during the access before it."""
    times: int = 1

    @property
    def end(self) -> int:
        """When it was done."""
        return self.time + self.spent


@dataclass(frozen=True, slots=True)
class _Word:
    """A word of a BAR or of configuration space: its names."""

    name: str
    block: str
    register: Register | None = None


class Decoder:
    """Makes events of a trace's records; `header` is that of the trace.

    Raises TraceFormatError if the header lacks what every trace has.
    """

    def __init__(self, header: Mapping[str, Any]) -> None:
        try:
            self.chip: Chip = {chip.name: chip for chip in (T5, T6)}[header["chip"]]
            self._memories = [(str(n), int(b), int(s)) for n, b, s in header["memories"]]
            self._began = int(header["started"]["monotonic_ns"])
            self._troubles = {int(k): str(v) for k, v in header.get("troubles", {}).items()}
            msix = header.get("msix") or {}
            self._pba = int(msix.get("pba", 0))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise TraceFormatError(f"a header that no recorder writes: {error!r}") from error
        self._words: dict[tuple[int, int], _Word] = {}
        self._mailboxes = Mailboxes(self.chip)
        self._window = self.chip.r.PCIE_MEM_ACCESS_OFFSET
        self._busy_until = 0

    def events(self, records: Iterable[Record]) -> Iterator[Event]:
        """Yields the events, in order of their beginning."""
        for record in records:
            yield from self.of(record)

    def of(self, record: Record) -> Iterator[Event]:
        """Yields the events that follow from one record."""
        event = self.event(record)
        event.nested = event.time < self._busy_until
        if not event.nested and record.kind in ACCESSES:
            self._busy_until = event.end
        yield event
        if record.kind in ACCESSES and record.space == Bar.REGISTERS and not record.error:
            yield from self._consequences(record, event)

    # Records

    def event(self, record: Record) -> Event:
        """Returns the event that a record is, without what follows from it."""
        made = Event(
            time=_bounded(record.time - self._began),
            spent=_bounded(record.spent),
            kind=_NAMES[Kind(record.kind)],
            source=_SOURCES.get(Source(record.source), "") if record.source < len(Source) else "",
            block=EMULATOR,
            name="",
            length=record.length,
            error=errno.errorcode.get(record.error, str(record.error)) if record.error else "",
        )
        if record.kind in ACCESSES:
            self._access(made, record)
        else:
            _OTHERS[Kind(record.kind)](self, made, record)
        return made

    def _access(self, made: Event, record: Record) -> None:
        made.data = record.content
        made.space = "config" if record.space == CONFIG_SPACE else f"bar{record.space}"
        made.offset = record.address
        if record.has_value:
            made.value = record.value
        if record.detail & WINDOW:
            self._memory(made, record)
            return
        word = self._word(record.space, record.address)
        made.name, made.block = word.name, word.block
        if record.length > 8 or record.detail & MALFORMED:
            return
        made.before, made.after = record.before, record.after
        if word.register is not None and record.length == 4:
            made.fields = word.register.decode(record.value)
            if record.kind == Kind.WRITE and record.before != record.after:
                old, new = word.register.decode(record.before), word.register.decode(record.after)
                made.changes = {n: (old[n], new[n]) for n in old if old[n] != new[n]}

    def _memory(self, made: Event, record: Record) -> None:
        """An access through a window: what it shows counts, not where it is."""
        made.block, made.offset = MEMORY, record.before
        made.name, inside = self.memory_at(record.before)
        made.details = {"at": inside, "through": record.address}

    def memory_at(self, address: int) -> tuple[str, int]:
        """Returns the name of the memory at an adapter's address, and the offset in it."""
        for name, base, size in self._memories:
            if base <= address < base + size:
                return name.upper(), address - base
        return "no memory", address

    def _word(self, space: int, offset: int) -> _Word:
        key = (space, offset)
        if key not in self._words:
            self._words[key] = self._name(space, offset)
        return self._words[key]

    def _name(self, space: int, offset: int) -> _Word:
        if space == CONFIG_SPACE:
            return _Word(_config_name(offset), CONFIG)
        if space == Bar.DOORBELLS:
            return _Word(f"BAR2+{offset:#x}", QUEUES)
        if space == Bar.MSIX:
            return _Word(_msix_name(offset, self._pba), "MSI-X")
        found = self.chip.r.at(offset) if space == Bar.REGISTERS else None
        if found is None:
            return _Word(f"BAR{space}+{offset:#x}", "undescribed")
        return _Word(self._register_name(found), block_of(found.register), found.register)

    def _register_name(self, found: Location) -> str:
        """Returns a register's name; where several have it, with the instance: `PF4.CIM_PF_...`."""
        register, element = found
        alone = len(self.chip.r.instances(register.name)) == 1
        instance = "" if alone else instance_of(register, element).replace(" ", "")
        return f"{instance}.{found}" if instance else str(found)

    def _doorbell(self, made: Event, record: Record) -> None:
        made.block, made.value = QUEUES, record.value
        made.name, made.details = f"queue {record.detail}", {"moves": record.length}
        made.length = 4

    def _dma(self, made: Event, record: Record) -> None:
        made.block, made.offset, made.data = HOST, record.address, record.data
        made.name, made.details = f"queue {record.detail}", {"queue": record.detail}

    def _interrupt(self, made: Event, record: Record) -> None:
        made.block, how = "interrupts", INTERRUPTS.get(record.space, "")
        made.name = f"{how} vector {record.detail}"
        made.details = {"how": how, "vector": record.detail, "delivered": bool(record.value)}

    def _frame(self, made: Event, record: Record) -> None:
        made.block = made.name = f"port {record.detail}"
        made.data = record.data

    def _trouble(self, made: Event, record: Record) -> None:
        made.block, made.value = QUEUES, record.value
        made.details = {"queue": record.detail}
        text = self._troubles.get(record.space, "trouble {queue}: {what:#x} {error}")
        holes = {"queue": record.detail, "what": record.value, "error": made.error}
        made.name = HOLE.sub(lambda hole: format(holes[hole[1] or "error"], hole[2] or ""), text)

    def _mapped(self, made: Event, record: Record) -> None:
        made.block, made.offset = HOST, record.address
        made.name = f"{record.address:#x} .. {record.address + max(record.value, 1) - 1:#x}"
        made.details = {"bytes": record.value, "writable": bool(record.detail & WRITABLE)}

    def _lost(self, made: Event, record: Record) -> None:
        made.times, made.name = record.value, "events for which the ring had no room"

    def _note(self, made: Event, record: Record) -> None:
        made.name = record.data.decode(errors="replace")

    def _control(self, made: Event, record: Record) -> None:
        made.name = words_of_request(record)

    # What follows from accesses

    def _consequences(self, record: Record, event: Event) -> Iterator[Event]:
        first = self._window
        if record.kind == Kind.WRITE and record.length == 4 and not record.detail & WINDOW:
            moved, rest = divmod(record.address - int(first), first.stride or 4)
            if not rest and 0 <= moved < first.count:
                yield self._moved(moved, record, event)
        for message in self._mailboxes.of(record):
            yield Event(
                time=event.time,
                spent=_bounded(message.spent) or event.spent,
                kind=REPLY if message.is_reply else COMMAND,
                source=_SOURCES[Source.FIRMWARE] if message.is_reply else event.source,
                block=FIRMWARE,
                name=message.name,
                length=len(message.data),
                details=message.details,
                data=message.data,
                nested=event.nested,
            )

    def _moved(self, number: int, record: Record, event: Event) -> Event:
        address = record.value & ~_WINDOW_FUNCTION
        memory, inside = self.memory_at(address)
        return Event(
            time=event.time,
            spent=event.spent,
            kind=MOVE,
            source=event.source,
            block=MEMORY,
            name=f"window {number} shows {memory}+{inside:#x}",
            offset=address,
            details={"window": number, "memory": memory, "at": inside},
            nested=event.nested,
        )


_WINDOW_FUNCTION = 7
"""The bits of PCIE_MEM_ACCESS_OFFSET that hold a function's number (t4_regs.h, PFNUM)."""

_OTHERS = {
    Kind.DOORBELL: Decoder._doorbell,
    Kind.GTS: Decoder._doorbell,
    Kind.DMA_READ: Decoder._dma,
    Kind.DMA_WRITE: Decoder._dma,
    Kind.INTERRUPT: Decoder._interrupt,
    Kind.FRAME_SENT: Decoder._frame,
    Kind.FRAME_RECEIVED: Decoder._frame,
    Kind.TROUBLE: Decoder._trouble,
    Kind.RESET: Decoder._note,
    Kind.ATTACHED: Decoder._note,
    Kind.DETACHED: Decoder._note,
    Kind.FAULT: Decoder._note,
    Kind.CONTROL: Decoder._control,
    Kind.LOST: Decoder._lost,
    Kind.MAPPED: Decoder._mapped,
    Kind.UNMAPPED: Decoder._mapped,
}


def request_of(record: Record) -> dict[str, Any] | None:
    """Returns the request to the control socket that a CONTROL record has; None if it has none."""
    try:
        found = json.loads(record.data)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("do"), str) else None


def words_of_request(record: Record) -> str:
    """Returns the request of a CONTROL record as a command has it: `link down 0`."""
    request = request_of(record)
    if request is None:
        return record.data.decode(errors="replace")
    words = [str(request.pop("do"))]
    for key, value in request.items():
        words += [key, *map(str, value if isinstance(value, list) else [value])]
    return " ".join(words)


def _bounded(nanoseconds: int) -> int:
    """Returns a time that makes sense: a file may hold any."""
    return min(max(nanoseconds, 0), _TIME_MOST)


_TIME_MOST = 1 << 62
"""ns: a hundred years. The sum of two fits 64 bits."""


def _config_name(offset: int) -> str:
    """Returns the name of a byte of configuration space: a field, or its place in a capability."""
    if offset < sizeof(pci.ConfigHeader):
        places = list(pci.ConfigHeader.places())
        name, at, *_ = max((p for p in places if p[1] <= offset), key=lambda place: place[1])
        return name if at == offset else f"{name}+{offset - at}"
    found = {at: cap.name for cap, at in pci.CAP_AT.items()}
    found |= {at: cap.name for cap, at in pci.EXT_CAP_AT.items()}
    start = max((at for at in found if at <= offset), default=0)
    return f"{found[start]}+{offset - start:#x}" if start else f"config+{offset:#x}"


def _msix_name(offset: int, pba: int) -> str:
    """Returns the name of a word of the MSI-X table, whose entries have four words (PCI 3.0)."""
    if pba and offset >= pba:
        return f"PBA[{(offset - pba) // 8}]"
    entry, word = divmod(offset // 4, 4)
    return f"TABLE[{entry}].{('address', 'address_high', 'data', 'control')[word]}"


def words_of(decoder: Decoder, event: Event) -> dict[str, int]:
    """Returns the described registers in a run of BAR0, with what was written or read."""
    if event.space != "bar0" or event.block == MEMORY or event.offset is None:
        return {}
    values = struct.unpack(f"<{len(event.data) // 4}I", event.data[: len(event.data) // 4 * 4])
    words = (
        (decoder.chip.r.at(offset), value)
        for offset, value in zip(
            range(event.offset, event.offset + 4 * len(values), 4), values, strict=True
        )
    )
    return {str(found): value for found, value in words if found is not None}
