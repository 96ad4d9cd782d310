"""Single bits that flip, in a register or in adapter memory, without anything that reports it.

So this is not what radiation does to a memory, whose ECC would correct it and report that (the
faults `ecc-correctable-*`), but a word that was already wrong when its parity or ECC was computed.
What reads or writes the word next goes on with it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from vmcoredd.chip.memory import MEGABYTE
from vmcoredd.chip.register import Location, UnknownRegister
from vmcoredd.emu.errors import BadArgument
from vmcoredd.emu.memory import NAMES
from vmcoredd.emu.silicon.arguments import Takes, described, known
from vmcoredd.emu.silicon.model import Model, fault
from vmcoredd.emu.spaces import WordKind
from vmcoredd.plural import counted

WORD_BITS, WORD_BYTES = 32, 4
MEMORIES = {name.upper(): name for name in NAMES}


class Bit(NamedTuple):
    """A bit, 0 to 31, of a register's word (`NAME` or `NAME[3]`), or of the word at an offset of a
    memory, in bytes."""

    of: str
    number: int
    offset: int = 0


def _register_bit(text: str) -> Bit:
    name, _, number = text.partition(":")
    return Bit(described(name), _number(number))


def _memory_bit(text: str) -> Bit:
    place, _, number = text.partition(":")
    memory, _, offset = place.partition("+")
    name = known(MEMORIES, "memory", memory)
    if not re.fullmatch("0x[0-9a-fA-F]{1,9}|[0-9]{1,10}", offset):
        raise ValueError(f"no offset {offset}")
    if int(offset, 0) % WORD_BYTES:
        raise ValueError(f"{offset} is no multiple of {WORD_BYTES}")
    return Bit(name, _number(number), int(offset, 0))


def _number(text: str) -> int:
    if not re.fullmatch("[0-9]{1,2}", text) or int(text) >= WORD_BITS:
        raise ValueError(f"no bit {text}")
    return int(text)


REGISTER_BIT = Takes(
    "REGISTER:BIT", "a register and a bit of 0 to 31", "TP_OUT_CONFIG:3", _register_bit
)
MEMORY_BIT = Takes(
    "MEMORY+OFFSET:BIT",
    "a memory, an offset in bytes and a bit of 0 to 31 of the word there",
    "EDC0+0x1000:3",
    _memory_bit,
)


class FlippedBits(Model):
    """Words with a wrong bit."""

    @fault(
        "bit-flip",
        "A bit of a register has flipped, and nothing reports it.",
        takes=REGISTER_BIT,
    )
    def flip_in_register(self, bit: Bit) -> None:
        """An indirect register flips in its table: what has read it already knows nothing."""
        space, index = self.spaces.where(*self._word(bit.of))
        if space.kinds and space.kinds[index] == WordKind.ALIAS:
            raise BadArgument(f"{bit.of} shows each function its own word: name that")
        space.words[index] ^= 1 << bit.number

    @fault(
        "memory-bit-flip",
        "A bit in adapter memory has flipped, and no ECC notices it.",
        takes=MEMORY_BIT,
    )
    def flip_in_memory(self, bit: Bit) -> None:
        if bit.of not in self.memories:
            raise self.refuse(bit.of.upper())
        memory = self.memories[bit.of]
        if bit.offset >= memory.size:
            of = f"{bit.of.upper()}+{bit.offset:#x}: it has {memory.size // MEGABYTE} MiB"
            raise self.refuse(f"word at {of}")
        self.core.windows.sync()
        memory.memfd.view.cast("I")[bit.offset // WORD_BYTES] ^= 1 << bit.number
        self.core.windows.sync()

    def _word(self, name: str) -> Location:
        try:
            words = self.r.words(name)
        except UnknownRegister as error:
            raise self.refuse(name) from error
        if len(words) > 1:
            there = counted(len(words), "word")
            raise BadArgument(
                f"{name} has {there}: name one, {name}[0] to {name}[{len(words) - 1}]"
            )
        return words[0]
