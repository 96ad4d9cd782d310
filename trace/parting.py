"""Where two drivers part: what they do to a card, step by step, from two traces.

A step is an access to BAR0, a word that is polled however often, a mailbox command, or its reply.
Commands are compared by their fields, but for addresses in the host's memory and its time, which
differ from boot to boot. What is not the driver's own, or comes when traffic or a timer wants it,
is left out, and counted: configuration space and MSI-X (the kernel's PCI core), doorbells, and the
registers that a driver's timer looks at.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import NamedTuple

from vmcoredd.chip import Chip, Register
from vmcoredd.chip.pci import Bar
from vmcoredd.chip.register import BAR0
from vmcoredd.chip.volatile import HOSTS_OWN, is_timed
from vmcoredd.plural import counted
from vmcoredd.trace.archive import Reader
from vmcoredd.trace.comparing import Step, Words, is_drivers, steps
from vmcoredd.trace.events import COMMAND, REPLY, Decoder, Event
from vmcoredd.trace.records import CONFIG_SPACE, WINDOW, Kind, Record

MOST = 20_000
"""Steps of a trace that are aligned, behind the first that differs and before the last."""
DOORBELLS = ("SGE_PF_KDOORBELL", "SGE_PF_GTS")
OTHER_SPACES = {
    int(Bar.DOORBELLS): "doorbells",
    int(Bar.MSIX): "MSI-X",
    CONFIG_SPACE: "configuration space",
}
HOST = "the host's"
"""Stands for an address or a time."""


class Action(NamedTuple):
    """A step of a driver. Those that do the same have the same `key`."""

    key: Hashable
    event: Event
    record: Record | None = None
    """Of an access; a command and a reply are several."""
    turns: int = 1
    """How often a polled word was read."""
    is_poll: bool = False


@dataclass
class Course:
    """What a driver does in a trace."""

    chip: Chip
    actions: list[Action]
    left_out: Counter[str]
    """Accesses that are not compared, by what they are to."""
    damage: str
    """Why the trace is incomplete."""


def course(trace: Reader) -> Course:
    """Returns what the driver of a trace does. Raises TraceFormatError."""
    decoder, left_out = Decoder(trace.header), Counter[str]()
    chosen = _chosen(decoder.chip, trace.records(), left_out)
    actions = list(_actions(decoder, steps(Words(decoder.chip), chosen)))
    lost = trace.end["lost"] if trace.end else 0
    missing = f"{counted(lost, 'event is', 'events are')} missing" if lost else ""
    return Course(decoder.chip, actions, left_out, trace.damage or missing)


def _chosen(chip: Chip, records: Iterable[Record], left_out: Counter[str]) -> Iterator[Record]:
    uncompared = dict.fromkeys(_places(chip, lambda r: r.name in DOORBELLS), "doorbells")
    uncompared |= dict.fromkeys(_places(chip, is_timed), "the driver's timer")
    for record in filter(is_drivers, records):
        what = OTHER_SPACES.get(record.space)
        if record.space == Bar.REGISTERS and not record.detail & WINDOW:
            what = uncompared.get(record.address)
        if what is None:
            yield record
        else:
            left_out[what] += 1


def _places(chip: Chip, wanted: Callable[[Register], bool]) -> Iterator[int]:
    """Yields the offsets of registers in BAR0, with all their elements."""
    for register in filter(wanted, chip.r):
        if register.space == BAR0:
            yield from (int(register) + at * register.stride for at in range(register.count))


def _actions(decoder: Decoder, found: Iterable[Step]) -> Iterator[Action]:
    """Yields actions; accesses to a mailbox's data are those that its next message consists of."""
    mailboxes = {*_places(decoder.chip, lambda r: r.name == "CIM_PF_MAILBOX_DATA")}
    held: list[Action] = []
    for step in found:
        event, *others = decoder.of(step.record)
        event.nested = False  # of polls the last reads come, out of their order in time
        one = Action(step.key, event, step.record, step.turns, step.is_poll)
        if step.record.address in mailboxes:
            held.append(one)
            continue
        messages = [Action(_key_of(each), each) for each in others if each.kind in (COMMAND, REPLY)]
        yield from messages or [*held, one]
        held.clear()
    yield from held


def _key_of(message: Event) -> Hashable:
    """What a command asks for. A reply is an answer: what it says is no step of the driver."""
    fields = told(message) if message.kind == COMMAND else ""
    return message.kind, message.name, message.details["pf"], fields


def told(message: Event) -> str:
    """Returns what a command or a reply says, without addresses and time of the host."""
    said = {n: HOST if n in HOSTS_OWN else v for n, v in message.details.items()}
    return json.dumps(said, sort_keys=True)


class Place(NamedTuple):
    """Actions of one trace that are in the place of those of another: first and end of each."""

    a: tuple[int, int]
    b: tuple[int, int]


@dataclass
class Comparison:
    """How two courses differ."""

    common: int = 0
    """Actions before the first difference."""
    places: list[Place] = field(default_factory=list)
    """Where they differ; the first is where they part."""
    aligned: bool = True
    """Whether it was looked where they meet again; else all behind the first is one place."""
    answers: list[tuple[int, int]] = field(default_factory=list)
    """Actions of both that are the same, but were answered differently."""
    moved: Counter[str] = field(default_factory=Counter)
    """Registers that change by themselves and did, by how often."""


def compare(a: Course, b: Course) -> Comparison:
    """Compares what two drivers do to cards of one chip."""
    words = Words(a.chip)
    one, other = ([action.key for action in each.actions] for each in (a, b))
    found = Comparison(_common(one, other))
    tail = _common(one[found.common :][::-1], other[found.common :][::-1])
    ends = len(one) - tail, len(other) - tail
    found.places, found.aligned = _places_of(one, other, found.common, ends)
    for at, to in _pairs(found.places, len(one)):
        _compare_answers(found, words, (at, a.actions[at]), (to, b.actions[to]))
    return found


def _common(one: Sequence[Hashable], other: Sequence[Hashable]) -> int:
    """Returns how many are the same at the beginning."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (x, y) in pairs if x != y), min(len(one), len(other)))


def _places_of(
    one: Sequence[Hashable], other: Sequence[Hashable], first: int, ends: tuple[int, int]
) -> tuple[list[Place], bool]:
    left, right = one[first : ends[0]], other[first : ends[1]]
    if not left and not right:
        return [], True
    if max(len(left), len(right)) > MOST:
        return [Place((first, ends[0]), (first, ends[1]))], False
    return [
        Place((first + a0, first + a1), (first + b0, first + b1))
        for tag, a0, a1, b0, b1 in SequenceMatcher(None, left, right).get_opcodes()
        if tag != "equal"
    ], True


def _pairs(places: Sequence[Place], count: int) -> Iterator[tuple[int, int]]:
    """Yields the indices of actions that both have."""
    at = to = 0
    for place in (*places, Place((count, count), (0, 0))):
        while at < place.a[0]:
            yield at, to
            at, to = at + 1, to + 1
        at, to = place.a[1], place.b[1]


def _compare_answers(
    found: Comparison, words: Words, one: tuple[int, Action], other: tuple[int, Action]
) -> None:
    (at, left), (to, right) = one, other
    if left.record is None or right.record is None:
        if told(left.event) != told(right.event):
            found.answers.append((at, to))
    elif left.record.kind == Kind.READ and not left.is_poll:
        differs, moved = words.differing(left.record, right.record.content)
        found.moved.update(moved)
        if differs:
            found.answers.append((at, to))
