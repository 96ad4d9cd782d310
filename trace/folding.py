"""Runs and loops of events as one: neighbouring words, polls, an index and its data row by row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vmcoredd.trace.events import COMMAND, MEMORY, REPLY, Event

LONGEST = 8
"""Steps of a loop at most."""
_ALONE = (COMMAND, REPLY, "control", "lost", "fault")
"""Kinds of events of which each is shown."""

Key = tuple[object, ...]


@dataclass(slots=True)
class Run:
    """Events of one kind in a row: at ascending addresses, or again and again at the same one."""

    first: Event
    last: Event
    times: int = 1
    bytes: int = 0
    ascending: bool = False

    @property
    def key(self) -> Key:
        """What the steps of a loop have in common from one round to the next."""
        one = self.first
        if one.kind in _ALONE:
            return (id(self),)
        which = one.name.partition("[")[0] if one.fields or one.block == "config" else one.block
        return one.kind, one.source, which, one.error, self.times > 1

    def takes(self, event: Event) -> bool:
        """Adds an event that goes on with the run; False if it does not."""
        last = self.last
        if not _alike(last, event):
            return False
        again = event.offset == last.offset and event.name == last.name
        follows = last.offset is not None and event.offset == last.offset + last.length
        if self.times > 1 and (follows if self.ascending else again) is False:
            return False
        if not (again or follows):
            return False
        self.ascending = follows
        self.last, self.times, self.bytes = event, self.times + 1, self.bytes + event.length
        return True


def _alike(one: Event, other: Event) -> bool:
    """Whether both may be in a run: in one memory, or in registers of whatever blocks."""
    return bool(
        one.kind == other.kind
        and one.kind not in _ALONE
        and one.space == other.space
        and one.source == other.source
        and one.error == other.error
        and one.nested == other.nested
        and (one.block == other.block or (one.space and MEMORY not in (one.block, other.block)))
    )


@dataclass(slots=True)
class Loop:
    """Steps that are repeated: the first round, the last one, and how many there were."""

    first: list[Step]
    last: list[Step]
    times: int

    @property
    def key(self) -> Key:
        """See `Run.key`."""
        return tuple(step.key for step in self.first)


Step = Run | Loop


def folded(events: Iterable[Event]) -> Iterator[Step]:
    """Yields the events in order, runs and loops as one; some are held back until it is clear that
    they are in none."""
    return loops(loops(runs(events)))


def runs(events: Iterable[Event]) -> Iterator[Run]:
    """Yields each event, or the run that it belongs to."""
    current: Run | None = None
    for event in events:
        if current is not None:
            if current.takes(event):
                continue
            yield current
        current = Run(event, event, 1, event.length)
    if current is not None:
        yield current


def loops(steps: Iterable[Step]) -> Iterator[Step]:
    """Yields each step, or the loop that it belongs to."""
    before: list[Step] = []
    keys: list[Key] = []
    rounds: _Rounds | None = None
    for step in steps:
        key = step.key
        if rounds is not None:
            if rounds.takes(step, key):
                continue
            yield rounds.loop
            before, keys, rounds = *rounds.rest, None
        before.append(step)
        keys.append(key)
        if size := _repeated(keys):
            yield from before[: -2 * size]
            rounds = _Rounds(before[-2 * size : -size], before[-size:], keys[-size:])
            before, keys = [], []
        elif len(before) > 2 * LONGEST:
            yield before.pop(0)
            keys.pop(0)
    if rounds is not None:
        yield rounds.loop
        before = rounds.rest[0]
    yield from before


def _repeated(keys: list[Key]) -> int:
    """Returns how many of the last keys are the same as those before them; 0: none."""
    for size in range(1, min(LONGEST, len(keys) // 2) + 1):
        if keys[-size:] == keys[-2 * size : -size]:
            return size
    return 0


class _Rounds:
    """A loop that may go on."""

    def __init__(self, first: list[Step], second: list[Step], keys: list[Key]) -> None:
        self.loop = Loop(first, second, 2)
        self._keys, self._now = keys, list[Step]()

    def takes(self, step: Step, key: Key) -> bool:
        """Adds the next step; False if it is another one."""
        if key != self._keys[len(self._now)]:
            return False
        self._now.append(step)
        if len(self._now) == len(self._keys):
            self.loop.last, self._now = self._now, []
            self.loop.times += 1
        return True

    @property
    def rest(self) -> tuple[list[Step], list[Key]]:
        """The steps of a round that was not completed."""
        return self._now, self._keys[: len(self._now)]
