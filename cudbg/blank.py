"""Bytes of an entity that were not measured, or that say that nothing is there.

    blank.decoded(entity, blob, others, later, chip)     # what Dump.decode returns

An adapter that does not answer reads as all ones: raw words are ffffffff then. What a collector
computes from such words is found by running it on an adapter that reads nothing else; what it makes
of zeros, in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import WORD_BYTES
from vmcoredd.cudbg.container import PIECE_BYTES
from vmcoredd.cudbg.decoded import Bytes, Decoded, Text
from vmcoredd.cudbg.entity import Entity, Stage, entities
from vmcoredd.cudbg.loss import Later, Loss, is_searched, loss_of, may_be_made
from vmcoredd.cudbg.remains import Remains
from vmcoredd.cudbg.silent import ONES, ZERO, made_of
from vmcoredd.plural import counted

NOT_MEASURED = "NOT MEASURED"
ALL_REGISTERS_ZERO = "EVERY REGISTER IS 0"
EXPLAINS_NOTHING = "which explains it, was not measured: it is taken as not in the dump."
"""What is said of another entity; all bytes of this one may be measured."""
_LIKE_SILENCE = "as reads are when the adapter does not answer"
_AS_MADE = (
    "This is what the driver makes of reads of all ones, as of an adapter that does not answer."
)
_RUN = b"\xff" * 64
"""Shorter runs in the middle of an entity may be values."""
_NAMED_MOST = 8
_ONES_LEAST = 64
"""Of so many bytes at least one is ff where an adapter does not answer: a collector keeps few bits
of some registers."""


def decoded(
    entity: Entity, blob: Bytes, others: Mapping[str, Bytes], later: Later, chip: Chip
) -> Decoded:
    """Decodes an entity; says first what of its bytes was not measured.

    Bytes that are all made of ones, or all zero where that is no measurement, have no other parts.
    Of `others`, those that were not measured explain nothing.
    """
    if is_searched(entity, blob):
        blob = memoryview(bytes(blob[0 : len(blob)]))  # unpacked once
    if said := why_blank(entity, blob, chip):
        return _with([said], Decoded([]))
    silent = [name for name, other in others.items() if _is_silent_entity(name, other, chip)]
    others = {name: other for name, other in others.items() if name not in silent}
    loss = loss_of(entity, blob, later, chip)
    if loss.is_certain:
        found = _without(loss, entity, blob, others, chip)
    else:
        doubts = [part for part in _doubts(entity, blob, loss, chip) if part is not None]
        found = _with(doubts, entity.decode_with(blob, others, chip))
    return _with(_of_explanations(silent), found)


def decoded_remains(
    entity: Entity, remains: Remains, others: Mapping[str, Bytes], chip: Chip
) -> Decoded:
    """As `decoded`, of what is left of an entity."""
    if remains.held and all(_is_all(data, ONES) for _, data in remains.parts):
        line = f"{counted(remains.held, 'byte is', 'bytes are')} left of it: all ff,"
        return _with([Text(NOT_MEASURED, [f"{line} {_of_silence(entity)}."])], Decoded([]))
    return entity.decode_remains(remains, others, chip)


def _with(said: Sequence[Text], content: Decoded) -> Decoded:
    """Puts `said` before a content. The result is incomplete if the content is, or if one of the
    parts says NOT_MEASURED."""
    parts = [*said, *content.parts]
    texts = [part for part in parts if isinstance(part, Text) and part.title == NOT_MEASURED]
    first = next((line for text in texts for line in text.lines), "")
    return Decoded(parts, content.incomplete or (f"not measured: {first}" if first else ""))


def _is_silent_entity(name: str, blob: Bytes, chip: Chip) -> bool:
    said = why_blank(entities()[name], blob, chip)
    return said is not None and said.title == NOT_MEASURED


def _of_explanations(silent: Sequence[str]) -> list[Text]:
    return [Text(NOT_MEASURED, [f"{name}, {EXPLAINS_NOTHING}"]) for name in silent]


def why_blank(entity: Entity, blob: Bytes, chip: Chip) -> Text | None:
    """Returns what to say of an entity instead of values; None if it has values."""
    if _is_all(blob, ONES):
        return Text(
            NOT_MEASURED, [f"All {counted(len(blob), 'byte')} are ff, {_of_silence(entity)}."]
        )
    if _is_all(blob, ZERO):
        return _zeros(entity, blob)
    head = bytes(blob[0 : min(len(blob), PIECE_BYTES)])
    if _ONES_LEAST * head.count(ONES) >= len(head) and _is_as_made(ONES, entity, blob, chip):
        return Text(NOT_MEASURED, [_AS_MADE])
    return None


def not_measured(entity: Entity, blob: Bytes, later: Later, chip: Chip) -> str:
    """Returns what of an entity's bytes was not measured, without decoding them; empty if all of it
    was."""
    said = why_blank(entity, blob, chip)
    if said is None and (loss := loss_of(entity, blob, later, chip)).is_certain:
        said = _of_loss(loss, len(blob))
    lines = () if said is None or said.title != NOT_MEASURED else said.lines
    return f"not measured: {' '.join(lines)}" if lines else ""


def nothing_in(content: Decoded) -> str:
    """Returns why a decoded entity has no values, if it was not measured; empty if it was."""
    for part in content.parts[:1]:
        if isinstance(part, Text) and part.title == NOT_MEASURED and len(content.parts) == 1:
            return f"not measured: {' '.join(part.lines)}"
    return ""


def _of_silence(entity: Entity) -> str:
    return "which no driver writes" if entity.stage == Stage.DRIVER else _LIKE_SILENCE


def _zeros(entity: Entity, blob: Bytes) -> Text | None:
    kind, _, meaning = entity.all_zero.partition(": ")
    count = len(blob) // (entity.entry_bytes or WORD_BYTES)
    return Text(kind, [meaning.format(count=f"{count:,}")]) if meaning else None


def is_all_ones(blob: Bytes) -> bool:
    """Returns whether there are bytes, and all are ones, as where nothing answers."""
    return _is_all(blob, 0xFF)


def _is_all(blob: Bytes, byte: int) -> bool:
    """Returns whether there are bytes, and all are the same; unpacks no more than needed."""
    for at in range(0, len(blob), PIECE_BYTES):
        piece = bytes(blob[at : at + PIECE_BYTES])
        if piece.count(byte) != len(piece):
            return False
    return len(blob) > 0


# What is made of an adapter whose reads are all the same


def _is_as_made(byte: int, entity: Entity, blob: Bytes, chip: Chip) -> bool:
    if not is_searched(entity, blob) or not may_be_made(byte, bytes(blob[0 : len(blob)])):
        return False
    data = bytes(blob[0 : len(blob)])
    return data == made_of(byte, entity, data, chip)


# An adapter that was lost while it was read


def _without(
    loss: Loss, entity: Entity, blob: Bytes, others: Mapping[str, Bytes], chip: Chip
) -> Decoded:
    """Decodes the bytes that were read before the adapter was lost."""
    said, spans = _of_loss(loss, len(blob)), loss.spans
    if entity.stage == Stage.MEMORIES:
        return _with([said], entity.decode_with(blob, others, chip))
    starts, ends = (0, *(span.stop for span in spans)), (*(span.start for span in spans), len(blob))
    parts = [(a, blob[a:b]) for a, b in zip(starts, ends, strict=True) if a < b]
    gaps = range(spans[0].stop, spans[-1].start)
    parts = [(at, part) for at, part in parts if at not in gaps or any(bytes(part))]
    left = entity.decode_remains(Remains(entity.name, parts, len(blob)), others, chip)
    said = Text(said.title, [*said.lines, "What depends on them is left out."])
    return _with([said], Decoded(left.parts[1:]))


def _of_loss(loss: Loss, size: int) -> Text:
    first, last = loss.spans[0].start, loss.spans[-1].stop
    at = f"from {first:#x} on" if len(loss.spans) == 1 else f"between {first:#x} and {last:#x}"
    line = f"The last {counted(loss.size, 'byte')} that were read of {size:,}, {at}, are made of"
    return Text(NOT_MEASURED, [f"{line} all ones, {_LIKE_SILENCE}."])


# Doubts beside values


def is_silent(entry: Any) -> bool:
    """Returns whether every byte of an entry (bytes, or a structure) is ff: it was not measured."""
    return not bytes(entry).strip(b"\xff")


def _doubts(entity: Entity, blob: Bytes, loss: Loss, chip: Chip) -> Iterator[Text | None]:
    if not entity.entry_bytes and _is_as_made(ZERO, entity, blob, chip):
        yield Text(ALL_REGISTERS_ZERO, ["It is what the driver makes of reads that are all 0."])
    data = bytes(blob[0 : len(blob)]) if is_searched(entity, blob) else b""
    if entity.entry_bytes:
        yield _silent_entries(entity, data)
    elif runs := loss.spans if loss.is_doubtful else list(_runs(data)):
        yield _silent_runs(runs)


def _silent_entries(entity: Entity, data: bytes) -> Text | None:
    size, reads = entity.entry_bytes, entity.entry_reads
    starts, ones = range(entity.entries_from, len(data), size), b"\xff" * (size - reads)
    if ones not in data:
        return None
    found = [i for i, at in enumerate(starts) if data[at + reads : at + size] == ones]
    if not found:
        return None
    what = "what is read last of them" if reads else "every byte"
    line = f"Left out of {counted(len(starts), 'entry')}: {len(found):,}, of which {what} is ff,"
    return Text(
        NOT_MEASURED, [f"{line} {_of_silence(entity)}.", f"Their numbers: {_numbers(found)}"]
    )


def _numbers(found: Sequence[int]) -> str:
    """Returns ascending numbers in short: `3-5 9`."""
    spans: list[list[int]] = []
    for i in found:
        if spans and spans[-1][1] == i - 1:
            spans[-1][1] = i
        else:
            spans.append([i, i])
    shown = " ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in spans[:_NAMED_MOST])
    return shown + (" and more" if len(spans) > _NAMED_MOST else "")


def _silent_runs(runs: Sequence[range]) -> Text:
    line = f"What is shown of these bytes is all ones, {_LIKE_SILENCE}:"
    shown = [
        f"{counted(len(run), 'byte')} from byte {run.start:#x} on" for run in runs[:_NAMED_MOST]
    ]
    more = [f"and {len(runs) - _NAMED_MOST:,} more runs"] if len(runs) > _NAMED_MOST else []
    return Text("PERHAPS NOT MEASURED", [line, *chain(shown, more)])


def _runs(data: bytes) -> Iterator[range]:
    """Yields each run of ones that is long enough."""
    at = data.find(_RUN)
    while at >= 0:
        end = len(data) - len(data[at:].lstrip(b"\xff"))
        yield range(at, end)
        at = data.find(_RUN, end)
