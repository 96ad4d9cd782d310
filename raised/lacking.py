"""What a raised card lacks since the dump has it not: it is 0 there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from vmcoredd.chip import Chip
from vmcoredd.cudbg.container import DUMP_BYTES
from vmcoredd.cudbg.dump import Dump, DumpEntity
from vmcoredd.cudbg.entities.meminfo import meminfo_of
from vmcoredd.cudbg.entities.memories import AdapterMemory
from vmcoredd.cudbg.entity import Entity, entities
from vmcoredd.cudbg.errors import CudbgError
from vmcoredd.cudbg.remains import Remains
from vmcoredd.cudbg.status import Condition
from vmcoredd.emu import Card
from vmcoredd.plural import counted
from vmcoredd.raised.answered import Answered
from vmcoredd.raised.reading import bytes_of, left_of


class Lack(NamedTuple):
    """A part of the card that is 0."""

    what: str
    """The entity that would tell of it."""
    why: str

    def __str__(self) -> str:
        return f"{self.what}: {self.why}"

    def json(self) -> dict[str, str]:
        """Returns a plain dict."""
        return self._asdict()


def lacking(dump: Answered, card: Card) -> Iterator[Lack]:
    """Yields what the card lacks, in the order in which entities are collected."""
    there = {entity.name: entity for entity in dump.entities}
    for name, known in entities().items():
        if dump.chip in (known.chips or (dump.chip,)):
            yield from (Lack(name, why) for why in _whys(dump, card, known, there.get(name)))


def _whys(dump: Answered, card: Card, known: Entity, found: DumpEntity | None) -> Iterator[str]:
    sizes = {memory.type.number: memory.size for memory in card.memories}
    if found is None:
        if not isinstance(known, AdapterMemory) or known.memory in sizes:
            yield "not in the dump"
        return
    if found.condition == Condition.ABSENT:
        return
    if found.reason:
        yield found.reason
    left = left_of(dump, known.name) if found.good else None
    if found.good and dump.follows_loss(known.name):
        yield "read after the adapter was lost"
    elif found.good and left is None:
        yield "nothing of it is left, or its format is not known"
    if left is None:
        return
    if lost := left.size - left.held:
        yield f"{counted(lost, 'byte')} of it are lost"
    if isinstance(known, AdapterMemory):
        yield from _of_memory(dump, sizes.get(known.memory, 0), known, left)


def _of_memory(dump: Dump, size: int, known: AdapterMemory, left: Remains) -> Iterator[str]:
    if payload := _payload(dump, dump.chip, known):
        yield f"{counted(payload, 'byte')} of payload, which no dump has"
    if size > left.size:
        yield f"{counted(size - left.size, 'byte')} from {left.size:#x} on: not in the dump"
    if size < left.size:
        yield f"{counted(left.size - size, 'byte')} from {size:#x} on: no raised card has them"


def _payload(dump: Dump, chip: Chip, known: AdapterMemory) -> int:
    with suppress(CudbgError):
        if left := left_of(dump, "MEMINFO"):
            return min(known.not_read(meminfo_of(bytes_of(left)), chip), DUMP_BYTES)
    return 0
