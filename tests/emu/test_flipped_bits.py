"""Bits that flip: which words can have one, and what becomes of it."""

from __future__ import annotations

import pytest

from vmcoredd import emu
from vmcoredd.emu.errors import BadArgument, NoSuchFault


@pytest.fixture
def card(strict_card: emu.Card) -> emu.Card:
    return strict_card


@pytest.mark.parametrize(
    ("name", "offset"),
    [("TP_OUT_CONFIG", 0x7D04), ("EDC_H_INT_CAUSE[1]", 0x50878), ("PCIE_FW_PF[7]", 0x30D8)],
)
def test_the_bit_of_a_register_is_the_other_one_until_it_is_undone(
    card: emu.Card, name: str, offset: int
) -> None:
    before = card.read(offset)
    card.fail(f"bit-flip={name}:31", undoable=True)
    assert card.read(offset) == before ^ 1 << 31
    card.undo(f"bit-flip={name}:31")
    assert card.read(offset) == before


def test_a_bit_of_an_indirect_register_flips(card: emu.Card) -> None:
    r = card.chip.r
    register = r.TP_MIB_TNL_DROP_0

    def read() -> int:
        card.write(r.TP_MIB_INDEX, int(register))
        return card.read(r.TP_MIB_DATA)

    before = read()
    card.fail("bit-flip=TP_MIB_TNL_DROP_0:0")
    assert read() == before ^ 1


@pytest.mark.parametrize(("memory", "offset"), [("EDC0", 0), ("EDC1", 0x2004), ("MC0", 0xFFFFC)])
def test_the_bit_of_a_memory_is_the_other_one_until_it_is_undone(
    card: emu.Card, memory: str, offset: int
) -> None:
    one = card.memories[memory.lower()]

    def read() -> int:
        return int.from_bytes(card.memories.read(one.base + offset, 4), "little")

    before, fault = read(), f"memory-bit-flip={memory}+{offset:#x}:30"
    card.fail(fault, undoable=True)
    assert read() == before ^ 1 << 30
    card.undo(fault)
    assert read() == before


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("bit-flip=TP_OUT_CONFIG", r"no bit ; type bit-flip=REGISTER:BIT, a register and a bit"),
        ("bit-flip=TP_OUT_CONFIG:32", "no bit 32; type"),
        ("bit-flip=TP_OUT_CONFIG:x", "no bit x; type"),
        ("bit-flip=TP_OUT_CONFG:3", r"t6 has no TP_OUT_CONFG; did you mean TP_OUT_CONFIG"),
        ("bit-flip=PCIE_FW_PF[8]:3", r"t6 has no PCIE_FW_PF\[8\]"),
        ("bit-flip=PCIE_FW_PF:3", r"has 8 words: name one, PCIE_FW_PF\[0\] to PCIE_FW_PF\[7\]"),
        ("bit-flip=MYPF_CIM_PF_MAILBOX_CTRL:3", "shows each function its own word: name that"),
        ("memory-bit-flip=EDC2+0:3", "no memory EDC2; did you mean EDC"),
        ("memory-bit-flip=EDC0:3", "no offset ; type memory-bit-flip=MEMORY"),
        ("memory-bit-flip=EDC0+0x6:3", "0x6 is no multiple of 4"),
        ("memory-bit-flip=EDC0+-4:3", "no offset -4"),
        ("memory-bit-flip=EDC0+4:99", "no bit 99"),
    ],
)
def test_a_bit_that_is_nowhere_is_refused(card: emu.Card, text: str, why: str) -> None:
    with pytest.raises(BadArgument, match=why):
        card.fail(text)
    assert [*card.faults] == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("memory-bit-flip=MC1+0:3", "it has no MC1"),
        ("memory-bit-flip=EDC0+0x8000000:3", r"no word at EDC0\+0x8000000: it has 2 MiB"),
    ],
)
def test_a_memory_that_this_card_lacks_is_refused(card: emu.Card, text: str, why: str) -> None:
    with pytest.raises(NoSuchFault, match=why):
        card.fail(text)


def test_a_register_that_this_chip_lacks_is_refused() -> None:
    card = emu.Card.load("t520-cr", memory={"edc0": 1, "edc1": 1, "mc0": 1})
    t6_only = next(r.name for r in emu.Card.load("t62100-cr").chip.r if r.name not in card.chip.r)
    with pytest.raises(NoSuchFault, match=f"it has no {t6_only}"):
        card.fail(f"bit-flip={t6_only}:0")
