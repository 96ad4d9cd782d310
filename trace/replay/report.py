"""What a replay found: what was compared, and what differed, decoded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from vmcoredd.plural import counted, exact
from vmcoredd.trace.events import COMMAND, MEMORY, Decoder, Event
from vmcoredd.trace.mailbox import Mailboxes
from vmcoredd.trace.records import Kind, Record

KEPT = 1000
"""Differences that a report holds; all are counted."""
SHOWN_BYTES = 16


@dataclass(frozen=True)
class Difference:
    """One answer, access or DMA that is not as it was recorded."""

    index: int
    """Of the record in the trace, from 0."""
    time: int
    """ns since the trace began."""
    what: str
    """Such as `read PL_REV`, `dma-write 0x1000 (64 bytes)`."""
    recorded: str
    came: str
    after: str = ""
    """The last mailbox command before it."""

    def json(self) -> dict[str, Any]:
        """Returns the difference for programs."""
        told = {"what": self.what, "recorded": self.recorded, "came": self.came}
        return {"record": self.index, "time_ns": self.time, **told, "after": self.after}

    def lines(self) -> Iterator[str]:
        """Yields the difference for people."""
        after = f"  (after {self.after})" if self.after else ""
        yield f"{self.time / 1e9:12.6f}  {self.what}{after}"
        yield f"{'':14}recorded  {self.recorded}"
        yield f"{'':14}came      {self.came}"


@dataclass
class Part:
    """A trace up to a request that could not be applied, or to its end."""

    title: str
    accesses: int = 0
    differences: int = 0


@dataclass
class Report:
    """What was compared, and what differed."""

    parts: list[Part] = field(default_factory=lambda: [Part("")])
    differences: list[Difference] = field(default_factory=list)
    volatile: Counter[str] = field(default_factory=Counter)
    """Volatile registers that had another value, with how often."""
    polls: Counter[str] = field(default_factory=Counter)
    """Of polls: `waits`, the turns `recorded` and those `made`."""
    compared: Counter[str] = field(default_factory=Counter)
    """What was compared, by kind of event."""
    left_out: Counter[str] = field(default_factory=Counter)
    """What could not be compared or done, by reason."""

    @property
    def accesses(self) -> int:
        """The accesses that were made."""
        return sum(part.accesses for part in self.parts)

    @property
    def differing(self) -> int:
        """How many differences there were, also those that are not kept."""
        return sum(part.differences for part in self.parts)

    def add(self, difference: Difference) -> None:
        """Adds a difference."""
        self.parts[-1].differences += 1
        if len(self.differences) < KEPT:
            self.differences.append(difference)

    def lines(self) -> Iterator[str]:
        """Yields the report for people, without the differences."""
        others = [f"{counted(n, kind, f'{kind}s')}" for kind, n in sorted(self.compared.items())]
        yield ", ".join([counted(self.accesses, "access", "accesses"), *others]) + " compared"
        if waits := self.polls["waits"]:
            yield (
                f"{counted(waits, 'poll')}: {self.polls['recorded']:,} reads recorded, "
                f"{self.polls['made']:,} made"
            )
        if self.volatile:
            names = ", ".join(f"{name} ({n:,})" for name, n in self.volatile.most_common(5))
            more = ", ..." if len(self.volatile) > 5 else ""
            values = counted(self.volatile.total(), "value")
            yield f"{values} of volatile registers not compared: {names}{more}"
        for why, count in self.left_out.items():
            yield f"{why}: {count:,}"
        if len(self.parts) > 1:
            for part in self.parts:
                accesses = counted(part.accesses, "access", "accesses")
                differences = counted(part.differences, "difference")
                yield f"{part.title or 'from the start'}: {accesses}, {differences}"
        yield counted(self.differing, "difference") if self.differing else "equal"

    def json(self) -> dict[str, Any]:
        """Returns the report for programs; times are in ns."""
        return {
            "equal": not self.differing,
            "accesses": self.accesses,
            "differing": self.differing,
            "differences": [one.json() for one in self.differences],
            "parts": [vars(part) for part in self.parts],
            "volatile": _named("register", self.volatile),
            "polls": {name: self.polls[name] for name in ("waits", "recorded", "made")},
            "compared": _named("kind", self.compared),
            "left_out": _named("why", self.left_out),
        }


def _named(key: str, counts: Counter[str]) -> list[dict[str, Any]]:
    return [{key: name, "times": times} for name, times in counts.items()]


class Describer:
    """Says what records are, in the words of the decoder."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._mailboxes = Mailboxes(decoder.chip)
        self._command = ""

    def follow(self, record: Record) -> None:
        """Remembers the mailbox command that a BAR0 access sends."""
        for message in self._mailboxes.of(record):
            if not message.is_reply:
                self._command = f"{COMMAND} {message.name}"

    def difference(self, index: int, record: Record, came: bytes | str) -> Difference:
        """Returns the difference between a record and the bytes that came, or what happened."""
        event = self.event(record)
        if isinstance(came, str):
            recorded, other = self._value(event), came
        else:
            recorded, other = self._both(record, event, came)
        return Difference(index, event.time, self.name(event), recorded, other, self._command)

    def event(self, record: Record) -> Event:
        """Returns the event that a record is."""
        return self._decoder.event(record)

    def name(self, event: Event) -> str:
        """Returns what an event was to: `read PL_REV`."""
        long = f" ({exact(event.length, 'byte')})" if event.length > 4 else ""
        if event.block == MEMORY and event.space:
            return f"{event.kind} {event.name}+{event.details['at']:#x}{long}"
        where = f" at {event.offset:#x}" if not event.space and event.offset is not None else ""
        return f"{event.kind} {event.name}{where}{long}"

    def _value(self, event: Event) -> str:
        if event.error:
            return f"refused: {event.error}"
        if event.value is not None and event.space:
            fields = " ".join(f"{name}={value:#x}" for name, value in event.fields.items() if value)
            return f"{event.value:#0{2 * max(event.length, 4) + 2}x} {fields}".rstrip()
        return event.data[:SHOWN_BYTES].hex(" ") or event.name

    def _both(self, record: Record, event: Event, came: bytes) -> tuple[str, str]:
        if event.error:
            return self._value(event), came[:SHOWN_BYTES].hex(" ")
        if event.value is not None and event.space and len(came) == record.length <= 8:
            other = self.event(record._replace(value=int.from_bytes(came, "little")))
            differing = [n for n in event.fields if event.fields[n] != other.fields[n]]
            return tuple(  # type: ignore[return-value]
                f"{one.value:#0{2 * max(one.length, 4) + 2}x} "
                + " ".join(f"{name}={one.fields[name]:#x}" for name in differing)
                for one in (event, other)
            )
        at = first_difference(record.content, came)
        end = at + SHOWN_BYTES
        recorded, other_bytes = (one[at:end].hex(" ") for one in (record.content, came))
        where = f"{self._place(record, at)}: " if at or len(came) > SHOWN_BYTES else ""
        return where + recorded, where + other_bytes

    def _place(self, record: Record, at: int) -> str:
        """Returns where in an access something is: the register, else the offset."""
        if record.kind in (Kind.READ, Kind.WRITE) and not record.detail and record.space == 0:
            word = record._replace(address=record.address + at // 4 * 4, length=4, carried=0)
            return self.event(word).name
        return f"+{at:#x}"


def first_difference(one: bytes, other: bytes) -> int:
    """Returns where two pieces first differ."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))
