"""Which events are wanted: by block, register, kind and entity."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from vmcoredd.trace.events import MOVE, Event

Key = tuple[str, str, str, int | None]
"""What tells an access from others: kind, space, name, and the value if it is written."""
Touched = Collection[Key]
"""The accesses that the collection of an entity makes."""


@dataclass(frozen=True)
class Wanted:
    """The events to show: those that match one pattern of each kind that is given, in any case."""

    blocks: Collection[str] = ()
    names: Collection[str] = ()
    """Of registers, memories, commands and so on; without instance or element, of all."""
    kinds: Collection[str] = ()
    touched: Touched | None = None

    def events(self, events: Iterable[Event]) -> Iterator[Event]:
        """Yields those that are wanted; what was lost is always."""
        return (event for event in events if event.kind == "lost" or self.has(event))

    def has(self, event: Event) -> bool:
        """Returns whether an event is wanted."""
        return (
            _matches(self.kinds, event.kind)
            and _matches(self.blocks, event.block)
            and _matches(self.names, event.name, *_shorter(event.name))
            and (self.touched is None or key_of(event) in self.touched)
        )


def _shorter(name: str) -> tuple[str, ...]:
    """A name without its element, and without its instance as well."""
    array = name.partition("[")[0]
    return array, array.rpartition(".")[2]


def key_of(event: Event) -> Key:
    """Returns the key of an event. A written value distinguishes what shares an index register."""
    value = event.value if event.kind == "write" else None
    return event.kind, event.space, event.name if event.kind != MOVE else "", value


def _matches(patterns: Collection[str], *texts: str) -> bool:
    if not patterns:
        return True
    return any(
        fnmatchcase(text.casefold(), pattern.casefold()) for pattern in patterns for text in texts
    )
