"""Which bytes of an entity were read after the adapter was lost: they are made of all ones.

The order of the bytes is often that of the reads. Where it is not, and each word is one that was
read, `read_order` tells it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import U32_MASK, WORD_BYTES
from vmcoredd.cudbg.container import PIECE_BYTES
from vmcoredd.cudbg.decoded import Bytes
from vmcoredd.cudbg.entity import Entity, Stage
from vmcoredd.cudbg.flat import ONES, ZERO, made_of, read_order

_LEAST = 64
"""Bytes made of all ones of which it is said that they are no values; in a small entity, a quarter
of what is read for it."""
_DOUBTED_LEAST = 3 * WORD_BYTES
"""Bytes that are doubted, at the end; the last two words of TP_LA may be ones."""
_SEARCHED_MOST = 1 << 20
"""Bytes of an entity that are looked at."""
_ORDERED_MOST = 1 << 16
"""Bytes of an entity whose order of reads is found out; larger ones are in order."""


def is_searched(entity: Entity, blob: Bytes) -> bool:
    """Whether all bytes are looked at: not those of a memory, which are unpacked on demand."""
    return entity.stage != Stage.MEMORIES and len(blob) <= _SEARCHED_MOST


def may_be_made(byte: int, data: bytes) -> bool:
    """Whether it is worth to find out: it takes some milliseconds."""
    if byte == ZERO:
        return 10 * data.count(0) >= 9 * len(data)
    return ONES in data.rstrip(b"\0")[-16:]


class _Loss(NamedTuple):
    """What was read last and is made of ones."""

    spans: list[range]
    made: int = 0
    """Bytes in the spans that are made of ones: a gap between registers is not."""
    least: int = 1
    """How many of them are no chance."""


def lost(entity: Entity, blob: Bytes, chip: Chip) -> list[range]:
    """Returns the spans of bytes that are no values, ascending."""
    loss = _loss(entity, blob, chip)
    return loss.spans if loss.made >= loss.least else []


def lost_at_end(entity: Entity, blob: Bytes, chip: Chip) -> list[range]:
    """Returns the spans that are too short for `lost`, but doubtful."""
    loss = _loss(entity, blob, chip)
    return loss.spans if _DOUBTED_LEAST <= loss.made < loss.least else []


def _loss(entity: Entity, blob: Bytes, chip: Chip) -> _Loss:
    """Returns what is at the end, or last in the order of the reads if that is more."""
    if entity.entry_bytes or entity.stage == Stage.DRIVER:
        return _Loss([])
    if not is_searched(entity, blob):
        end = range(_ones_from(blob), len(blob))
        return _Loss([end], len(end), _LEAST)
    data = bytes(blob[0 : len(blob)])
    at_end, by_order = _at_end(entity, data, chip), _by_order(entity, data, chip)
    return by_order if by_order.made >= at_end.made else at_end


def _at_end(entity: Entity, data: bytes, chip: Chip) -> _Loss:
    if not may_be_made(ONES, data):
        return _Loss([])
    expected = made_of(ONES, entity, data, chip) or b"\xff" * len(data)
    start = _same_from(data, expected)
    whole = len(expected) - expected.count(0)
    made = len(expected) - start - expected.count(0, start)
    return _Loss([range(start, len(data))], made, min(_LEAST, whole // 4 or 1))


def _by_order(entity: Entity, data: bytes, chip: Chip) -> _Loss:
    if len(data) > _ORDERED_MOST or data.count(b"\xff" * WORD_BYTES) * WORD_BYTES < _DOUBTED_LEAST:
        return _Loss([])
    words = memoryview(data[: len(data) // WORD_BYTES * WORD_BYTES]).cast("I")
    places = [i for i in read_order(entity.name, chip) if i < len(words)]
    last = sorted(_ones_read_last(words, places))
    least = min(_LEAST, len(places) * WORD_BYTES // 4 or 1)
    return _Loss(list(_spans(last)), len(last) * WORD_BYTES, least)


def _ones_read_last(words: Sequence[int], places: Sequence[int]) -> list[int]:
    """Returns the places of the words that were read last, as far as they are all ones."""
    for count, place in enumerate(reversed(places)):
        if words[place] != U32_MASK:
            return list(places[len(places) - count :])
    return list(places)


def _spans(places: Sequence[int]) -> Iterator[range]:
    """Yields the bytes of words at ascending places."""
    start = before = -2
    for place in places:
        if place != before + 1:
            if start >= 0:
                yield range(start * WORD_BYTES, (before + 1) * WORD_BYTES)
            start = place
        before = place
    if start >= 0:
        yield range(start * WORD_BYTES, (before + 1) * WORD_BYTES)


def _same_from(data: bytes, expected: bytes) -> int:
    """Returns the first byte from which on both are the same: that of a word, or of a half, if
    halves were computed each from a word."""
    start = len(data)
    for step in (1 << 12, 1 << 6, WORD_BYTES, WORD_BYTES // 2):
        if step < WORD_BYTES and expected[start : start + WORD_BYTES] == b"\xff" * WORD_BYTES:
            break
        while start >= step and data[start - step : start] == expected[start - step : start]:
            start -= step
    return start


def _ones_from(blob: Bytes) -> int:
    """Returns the first byte from which on a memory is ones; unpacks no more of its end than
    needed."""
    end = len(blob)
    while end:
        start = (end - 1) // PIECE_BYTES * PIECE_BYTES
        if left := len(bytes(blob[start:end]).rstrip(b"\xff")):
            return start + left
        end = start
    return 0
