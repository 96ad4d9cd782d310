"""Undoing a fault: what it changed is put back, as far as that is still as the fault left it.

So the work of a driver, and what it has cleared, stays. What is history stays too: the device log,
the firmware's clock, counts that have moved on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from vmcoredd.chip import Chip
from vmcoredd.emu.memory import Memfd
from vmcoredd.emu.snapshot import Snapshot

BLOCK = 64 << 10
"""Bytes that are compared at once."""
ABSENT = object()
"""The value of a key that a dict does not have."""


class Word(NamedTuple):
    """A word that a fault changed; `place` is its index."""

    place: int
    before: int
    after: int


@dataclass(frozen=True)
class Difference:
    """What a fault changed: words of tables, BARs and memories by their place in a snapshot, the
    state of commands, and the state of models by theirs, each before and after it."""

    tables: Mapping[int, Sequence[Word]]
    bars: Mapping[int, Sequence[Word]]
    memories: Mapping[int, Sequence[Word]]
    commands: tuple[bytes, bytes]
    models: Mapping[int, tuple[Any, Any]]


def difference(before: Snapshot, after: Snapshot) -> Difference:
    """Returns what differs between two snapshots of one card."""
    pairs = enumerate(zip(before.models, after.models, strict=True))
    return Difference(
        _each(_words(one, other) for one, other in zip(before.tables, after.tables, strict=True)),
        _each(_in_files(one, other) for one, other in zip(before.bars, after.bars, strict=True)),
        _each(
            _in_files(one, other)
            for one, other in zip(before.memories, after.memories, strict=True)
        ),
        (before.commands, after.commands),
        {place: pair for place, pair in pairs if pair[0] != pair[1]},
    )


def _each(found: Iterator[Iterator[Word]]) -> dict[int, list[Word]]:
    listed = enumerate(map(list, found))
    return {place: words for place, words in listed if words}


def _words(before: bytes, after: bytes, first: int = 0) -> Iterator[Word]:
    if before == after:
        return
    pairs = zip(memoryview(before).cast("I"), memoryview(after).cast("I"), strict=True)
    for index, (one, other) in enumerate(pairs, first):
        if one != other:
            yield Word(index, one, other)


def _in_files(before: Memfd, after: Memfd) -> Iterator[Word]:
    """Compares what is no hole in at least one of the two."""
    extents = [*before.extents(), *after.extents()]
    starts = {
        block
        for start, length in extents
        for block in range(start // BLOCK * BLOCK, start + length, BLOCK)
    }
    for start in sorted(starts):
        span = slice(start, start + BLOCK)
        yield from _words(bytes(before.view[span]), bytes(after.view[span]), start // 4)


def put_back(words: memoryview, changed: Sequence[Word], bitwise: Sequence[bool]) -> None:
    """Puts words back; of those that are `bitwise`, each bit for itself."""
    for one, by_bits in zip(changed, bitwise, strict=True):
        now = words[one.place]
        if now == one.after:
            words[one.place] = one.before
        elif by_bits:
            words[one.place] = bits(one.before, one.after, now)


def bits(before: int, after: int, now: int) -> int:
    """Returns `now` with each bit that was changed, and is as it was left, as before."""
    ours = (before ^ after) & ~(now ^ after)
    return now & ~ours | before & ours


def merged_words(before: bytes, after: bytes, now: bytes) -> bytes:
    """Returns `now` with each word that was changed, and is as it was left, as before."""
    changed = list(_words(before, after))
    words = bytearray(now)
    put_back(memoryview(words).cast("I"), changed, [False] * len(changed))
    return bytes(words)


def has_fields(chip: Chip, space: str, offset: int) -> bool:
    """Returns whether the word at an offset has several fields, so that no number fills it."""
    location = chip.r.at(offset, space)
    return location is not None and len(location.register.fields) > 1


def merged(before: Any, after: Any, now: Any) -> Any:
    """Returns `now` with each part that was changed, and is as it was left, as before.

    A field of a dataclass that has `history` in its metadata stays as it is now.
    """
    if before == after:
        return now
    if type(before) is type(after) is type(now):
        if dataclasses.is_dataclass(now):
            return _merged_fields(before, after, now)
        if isinstance(now, dict):
            return _merged_dict(before, after, now)
        if isinstance(now, list | tuple) and len(before) == len(after) == len(now):
            items = [merged(*each) for each in zip(before, after, now, strict=True)]
            return type(now)(*items) if hasattr(now, "_fields") else type(now)(items)
    return before if now == after else now


def _merged_fields(before: Any, after: Any, now: Any) -> Any:
    names = [
        field.name
        for field in dataclasses.fields(now)
        if field.init and "history" not in field.metadata
    ]
    each = {
        name: merged(getattr(before, name), getattr(after, name), getattr(now, name))
        for name in names
    }
    return dataclasses.replace(now, **each)


def _merged_dict(before: dict[Any, Any], after: dict[Any, Any], now: dict[Any, Any]) -> Any:
    values = {
        key: merged(before.get(key, ABSENT), after.get(key, ABSENT), now.get(key, ABSENT))
        for key in {**now, **before}
    }
    return {key: value for key, value in values.items() if value is not ABSENT}
