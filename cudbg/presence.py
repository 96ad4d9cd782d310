"""Whether a card has an entity that its dump lacks with the status -24: "not found".

The driver gives that status both for a memory that the card does not have and for one that is
switched off. The chip and the memory arbiter's registers, which REG_DUMP holds, tell them apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from vmcoredd.chip import Chip
from vmcoredd.chip.layout import U32_MASK
from vmcoredd.chip.memory import MemoryId, MemoryType
from vmcoredd.cudbg.entity import Entity, entities

Register = Callable[[str], int | None]
"""Returns the value of the register of that name; None if it is not known."""


class NotFound(NamedTuple):
    """Whether the card has the entity (None: that cannot be known), and why it was not found."""

    has: bool | None
    words: str


HAS_NONE = NotFound(False, "this adapter has none")
UNCERTAIN = NotFound(None, "this adapter has none, or it is switched off")
MISSING = NotFound(True, "not found, or switched off")


def why_not_found(name: str, chip: Chip | None, register: Register) -> NotFound:
    """Returns why the dump of a card with this chip (None: an unknown one) has no entity `name`."""
    entity = entities().get(name)
    if entity is None or chip is None:
        return UNCERTAIN if entity is None or entity.optional or entity.chips else MISSING
    if entity.chips is not None and chip not in entity.chips:
        return HAS_NONE
    memory: MemoryId | None = getattr(entity, "memory", None)
    return MISSING if memory is None else _memory(entity, memory, chip, register)


def _memory(entity: Entity, memory: MemoryId, chip: Chip, register: Register) -> NotFound:
    kind = next((kind for kind in chip.memory.types if kind.number == memory), None)
    if kind is None:
        return HAS_NONE
    enable, size = (
        _field(chip, register, "MA_TARGET_MEM_ENABLE", kind.enable),
        _size(kind, chip, register),
    )
    if enable is None or size is None:
        return UNCERTAIN if entity.optional else MISSING
    if enable:
        return NotFound(True, "not found, though it is switched on")
    if not entity.optional:
        return NotFound(True, "switched off, though every adapter has it")
    if not size or (memory == MemoryId.HMA and _has_its_own(chip, register)):
        return HAS_NONE
    return NotFound(True, f"switched off, though {kind.bar} describes {size} MiB of it")


def _has_its_own(chip: Chip, register: Register) -> bool:
    """Returns whether the card has external memory, so that it needs none of the host's (HMA)."""
    return bool(_size(chip.memory.types[MemoryId.MC0], chip, register))


def _size(kind: MemoryType, chip: Chip, register: Register) -> int | None:
    """Returns the size of a memory in MiB, switched on or not. 0: the card has none (assumed)."""
    return _field(chip, register, kind.bar, kind.size)


def _field(chip: Chip, register: Register, name: str, field: str) -> int | None:
    word = register(name)
    if word is None or word == U32_MASK:  # the adapter was gone
        return None
    return chip.r[name].get(word, field)
