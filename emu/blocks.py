"""The block of each word of BAR0, by number, so that the core counts accesses to each."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

from vmcoredd.chip import Chip
from vmcoredd.chip.instances import block_of, instance_of
from vmcoredd.chip.layout import WORD_BYTES
from vmcoredd.chip.register import BAR0
from vmcoredd.emu._cffi import lib

OTHERS = ("undescribed", "config", "doorbells", "MSI-X", "memory")
"""The names of the numbers up to BLOCK_FIRST (core.h)."""


@cache
def blocks(chip: Chip, count: int) -> tuple[tuple[str, ...], bytes]:
    """Returns the blocks' names by their numbers, and the number of each of `count` words.

    Each memory and port has its own: `EDC1`, `MPS port 0`; the functions share theirs. A word
    that no table names is in a block if those before and behind it are.
    """
    numbers = {name: number for number, name in enumerate(OTHERS)}
    assert len(numbers) == lib.BLOCK_FIRST
    words = bytearray(count)
    for register in chip.r:
        if register.space != BAR0:
            continue
        for element in range(register.count):
            name = _name(block_of(register), instance_of(register, element))
            number = numbers.setdefault(name, len(numbers))
            words[(int(register) + element * register.stride) // WORD_BYTES] = number
    assert len(numbers) <= lib.BLOCKS
    _fill_gaps(words)
    return tuple(numbers), bytes(words)


def _fill_gaps(words: bytearray) -> None:
    named = [index for index, number in enumerate(words) if number]
    for before, behind in pairwise(named):
        if words[before] == words[behind]:
            words[before:behind] = words[before : before + 1] * (behind - before)


def _name(block: str, instance: str) -> str:
    if instance.startswith(block):
        return instance
    return f"{block} {instance}" if instance.startswith("port") else block
