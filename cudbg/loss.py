"""Which bytes of an entity were read after the adapter was lost: they are made of all ones.

The order of the bytes is often that of the reads. Where it is not, and most words are as they were
read, `read_order` tells it.

An adapter that is lost stays lost: if an entity that was collected later holds an answer, ones at
the end are doubtful at most, since messages and memories may hold them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import U32_MASK, WORD_BYTES
from vmcoredd.cudbg.container import PIECE_BYTES
from vmcoredd.cudbg.decoded import Bytes
from vmcoredd.cudbg.entity import Entity, Stage
from vmcoredd.cudbg.silent import ONES, ZERO, depends_on_reads, made_of, read_order

Later: TypeAlias = Iterable[tuple[Entity, Bytes | None]]
"""The entities that were collected after one, with their bytes; None if their collection failed."""

_LEAST = 64
"""Bytes made of all ones that cannot be chance if nothing answered later; in a small entity, a
quarter of what is read for it."""
_LEAST_ALONE = PIECE_BYTES
"""As many cannot be chance in a memory, or where no later entity tells."""
_DOUBTED_LEAST = 3 * WORD_BYTES
"""Bytes that are doubted, at the end; the last two words of TP_LA may be ones."""
_HEAD_BYTES = 1 << 12
"""Bytes of a later entity that are looked at."""
_TELLS_NOTHING = ("PCIE_CONFIG", "VPD_DATA", "MEMINFO")
"""Entities that do not tell whether the registers answered: configuration space may when these do
not; and regions that all have the same base are sorted by each kernel in its own way."""
_SEARCHED_MOST = 1 << 20
"""Bytes of an entity that are looked at."""
_ORDERED_MOST = 1 << 16
"""Bytes of an entity whose order of reads is found out; larger ones are in order."""


def is_searched(entity: Entity, blob: Bytes) -> bool:
    """Returns whether all bytes are looked at: not a memory's, which are unpacked on demand."""
    return entity.stage != Stage.MEMORIES and len(blob) <= _SEARCHED_MOST


def may_be_made(byte: int, data: bytes) -> bool:
    """Returns whether `data` may be what a collector makes of reads of `byte`: a quick test, as
    `made_of` takes some milliseconds."""
    if byte == ZERO:
        return 10 * data.count(0) >= 9 * len(data)
    return ONES in data.rstrip(b"\0")[-16:]


class Loss(NamedTuple):
    """What was read last of an entity and is made of ones."""

    spans: Sequence[range] = ()
    """Its bytes, ascending; without those that the driver knows by itself."""
    least: int = 1
    """How many bytes cannot be chance if nothing answered later."""
    is_certain: bool = False
    """Whether they are no values."""

    @property
    def size(self) -> int:
        """The number of bytes."""
        return sum(map(len, self.spans))

    @property
    def is_doubtful(self) -> bool:
        """Whether they may be no values."""
        return not self.is_certain and self.size >= min(self.least, _DOUBTED_LEAST)


def loss_of(entity: Entity, blob: Bytes, later: Later, chip: Chip) -> Loss:
    """Returns what was lost of an entity; `later` is looked at only if it ends with ones."""
    if entity.entry_bytes or entity.stage == Stage.DRIVER:
        return Loss()
    loss = _made_of_ones(entity, blob, chip)
    return loss._replace(is_certain=loss.size >= loss.least and _is_certain(loss, later, chip))


def _is_certain(loss: Loss, later: Later, chip: Chip) -> bool:
    """Returns whether no later entity holds an answer, and one is of ones or failed."""
    told = False
    for entity, blob in later:
        answered = None if blob is None else _answered(entity, blob, chip)
        if answered:
            return False
        told = told or blob is None or answered is False
    return told or loss.size >= _LEAST_ALONE


def _answered(entity: Entity, blob: Bytes, chip: Chip) -> bool | None:
    """Returns whether the adapter answered, by an entity's first bytes; None if they do not
    tell."""
    head = bytes(blob[0 : min(len(blob), _HEAD_BYTES)])
    if entity.stage == Stage.DRIVER or entity.name in _TELLS_NOTHING or not any(head):
        return None
    return head != (made_of(ONES, entity, head, chip) or b"\xff" * len(head))


def _made_of_ones(entity: Entity, blob: Bytes, chip: Chip) -> Loss:
    """Returns what is at the end, or last in the order of the reads if that is more."""
    if not is_searched(entity, blob):
        end = range(_ones_from(blob), len(blob))
        return Loss([end] if len(end) >= _LEAST else [], _LEAST_ALONE)
    data = bytes(blob[0 : len(blob)])
    at_end, by_order = _at_end(entity, data, chip), _by_order(entity, data, chip)
    return by_order if by_order.size >= at_end.size else at_end


def _at_end(entity: Entity, data: bytes, chip: Chip) -> Loss:
    if not may_be_made(ONES, data):
        return Loss()
    expected = made_of(ONES, entity, data, chip)
    if expected is None:
        start = _same_from(data, b"\xff" * len(data))
        return Loss([range(start, len(data))], min(_LEAST, len(data) // 4 or 1))
    words = memoryview(expected).cast("I")
    read = [i for i, word in enumerate(words) if word and depends_on_reads(entity.name, i, chip)]
    start = _same_from(data, expected)
    found = _spans([i for i in read if (i + 1) * WORD_BYTES > start])
    spans = [range(max(start, span.start), span.stop) for span in found]
    return Loss(spans, min(_LEAST, len(read) * WORD_BYTES // 4 or 1))


def _by_order(entity: Entity, data: bytes, chip: Chip) -> Loss:
    if len(data) > _ORDERED_MOST or b"\xff" * WORD_BYTES not in data:
        return Loss()
    words = memoryview(data[: len(data) // WORD_BYTES * WORD_BYTES]).cast("I")
    places = [i for i in read_order(entity.name, chip) if i < len(words)]
    last = sorted(_ones_read_last(words, places))
    return Loss(list(_spans(last)), min(_LEAST, len(places) * WORD_BYTES // 4 or 1))


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
