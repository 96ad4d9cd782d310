"""TP, PCIE, PM, MA, HMA, UP_CIM_INDIRECT: records of words behind index registers."""

from __future__ import annotations

import struct
from typing import NamedTuple

import pytest
from carddump import CARDS, collected
from ramcard import RamCard
from ramdump import CIM_BUSY, CIM_CTRL, CIM_DATA, cim, codes, dumped, indexed

from vmcoredd.chip import T5, T6, Chip

RECORD = struct.Struct("<4I32I")
TP_PIO, TM_PIO, MIB = (0x7E40, 0x7E44), (0x7E18, 0x7E1C), (0x7E50, 0x7E54)
PDBG, CDBG = (0x5A04, 0x5A0C), (0x5A10, 0x5A18)
PM_RX, PM_TX = (0x8FD0, 0x8FD4), (0x8FF0, 0x8FF4)
MA, HMA, CIM = (0x78F8, 0x78FC), (0x51320, 0x51324), (CIM_CTRL, CIM_DATA)


class Words(NamedTuple):
    """One record: index and data register, first index, words, stride of the indices."""

    port: tuple[int, int]
    first: int
    words: int
    step: int = 1

    def value(self, index: int) -> int:
        return (self.port[0] & 0xFFFF) << 16 | index & 0xFFFF

    def record(self) -> tuple[int, ...]:
        indices = range(self.first, self.first + self.words * self.step, self.step)
        content = [self.value(index) for index in indices]
        return (*self.port, self.first, self.words, *content, *[0] * (32 - self.words))


def words(port: tuple[int, int], *ranges: tuple[int, int], step: int = 1) -> list[Words]:
    return [Words(port, first, count, step) for first, count in ranges]


UP_CIM_LOW = ((0, 32), (0x80, 32), (0x100, 17), (0x200, 16), (0x240, 2), (0x250, 2), (0x260, 2))
UP_CIM_HIGH = ((0x270, 2), (0x280, 32), (0x300, 32), (0x380, 20))
SCHEDULERS = ((0x4900, 4), (0x4904, 4), (0x4908, 4), (0x4910, 4), (0x4914, 4))
CLASSES = ((0x4920, 16), (0x4924, 16), (0x4928, 16), (0x492C, 16))
FACTS = {
    ("TP_INDIRECT", T5): [
        *words(TP_PIO, (0x20, 28), (0x40, 19), (0x54, 2), (0x60, 13), (0x6F, 1), (0x120, 4)),
        *words(TP_PIO, (0x12B, 2), (0x12F, 21), (0x145, 19), (0x230, 25), (0x8C0, 1)),
        *words(TM_PIO, (0, 12)),
        *words(MIB, (0, 13), (0x10, 6), (0x18, 8), (0x20, 13), (0x30, 16), (0x40, 16)),
        *words(MIB, (0x50, 16), (0x60, 6), (0x68, 4)),
    ],
    ("TP_INDIRECT", T6): [
        *words(TP_PIO, (0x20, 28), (0x40, 10), (0x50, 10), (0x60, 14), (0x6F, 1), (0x70, 6)),
        *words(TP_PIO, (0x130, 18), (0x145, 19), (0x160, 1), (0x230, 25), (0x24A, 3), (0x8C0, 1)),
        *words(TM_PIO, (0, 12)),
        *words(MIB, (0, 13), (0x10, 6), (0x18, 21), (0x30, 32), (0x50, 22), (0x68, 12)),
    ],
    ("PM_INDIRECT", T5): [
        *words(PM_RX, (0x10000, 32), (0x10021, 13)),
        *words(PM_TX, (0x10000, 32), (0x10021, 29)),
    ],
    ("HMA_INDIRECT", T6): words(HMA, (0xA000, 32)),
    ("UP_CIM_INDIRECT", T5): [
        *words(CIM, (0x2000, 32), (0x2080, 25), *UP_CIM_LOW, *UP_CIM_HIGH, step=4)
    ],
    ("UP_CIM_INDIRECT", T6): [
        *words(CIM, (0x2000, 32), (0x2080, 29), *UP_CIM_LOW, *UP_CIM_HIGH, step=4),
        *words(CIM, *SCHEDULERS, step=0x120),
        *words(CIM, *CLASSES, step=0x10),
    ],
}


def ported_card() -> RamCard:
    """Returns a card whose words behind an index register hold that register and the index."""
    card = RamCard()
    for port in (TP_PIO, TM_PIO, MIB, PDBG, CDBG, PM_RX, PM_TX, MA, HMA):
        indexed(card, *port, lambda index, port=port: Words(port, 0, 0).value(index))
    space = cim(card)
    space.update((address, Words(CIM, 0, 0).value(address)) for address in range(0, 0x5000, 4))
    return card


def records(blob: bytes) -> list[tuple[int, ...]]:
    return list(RECORD.iter_unpack(blob))


@pytest.mark.parametrize(("name", "chip"), FACTS, ids=repr)
def test_every_record_describes_how_it_was_read_and_holds_its_words(name: str, chip: Chip) -> None:
    _, blob = dumped(ported_card(), chip, name)
    assert records(blob) == [item.record() for item in FACTS[name, chip]]


def test_pcie_has_five_records_and_an_empty_one() -> None:
    _, blob = dumped(ported_card(), T5, "PCIE_INDIRECT")
    expected = [*words(PDBG, (0, 32), (0x21, 32), (0x41, 16)), *words(CDBG, (0, 32), (0x21, 24))]
    assert records(blob) == [*(item.record() for item in expected), (0,) * 36]


def test_records_of_the_arbiters_scattered_words_hold_their_end() -> None:
    found = records(dumped(ported_card(), T6, "MA_INDIRECT")[1])
    plain = words(MA, (0xA000, 23), (0xA400, 30), (0xA800, 20))
    assert found[:3] == [item.record() for item in plain]
    for record, item in zip(
        found[3:5], words(MA, (0xE400, 17), (0xE640, 13), step=32), strict=True
    ):
        end = item.first + 32 * item.words
        assert record == (*MA, end, 0, *item.record()[4:])
    assert found[5] == (0,) * 36


@pytest.mark.parametrize("name", ["MA_INDIRECT", "HMA_INDIRECT"])
def test_a_t5_lacks_both_entities_and_is_not_accessed(name: str) -> None:
    card = RamCard()
    entity, blob = dumped(card, T5, name)
    assert codes(entity) == (-24, 0, 0)
    assert (blob, card.log) == (b"", [])


def test_a_busy_processor_fails_up_cim_with_the_plain_code() -> None:
    card = RamCard()
    card.put(CIM_CTRL, CIM_BUSY)
    assert codes(dumped(card, T6, "UP_CIM_INDIRECT")[0]) == (-16, 0, 0)


def test_a_processor_that_hangs_fails_up_cim_after_five_polls() -> None:
    card = RamCard()
    card.on_write[CIM_CTRL] = lambda request: card.put(CIM_CTRL, request | CIM_BUSY)
    entity, _ = dumped(card, T5, "UP_CIM_INDIRECT")
    assert codes(entity) == (-11, 0, 0)
    assert (entity.counts.r32, entity.counts.w32) == (1 + 5, 1)


@pytest.mark.parametrize("chip", CARDS, ids=repr)
@pytest.mark.parametrize("name", ["TP_INDIRECT", "PCIE_INDIRECT", "PM_INDIRECT", "UP_CIM_INDIRECT"])
def test_a_word_is_shown_with_its_name_and_fields(chip: Chip, name: str) -> None:
    rows = collected(chip).table(name, "registers")
    named = [row for row in rows if row["register"]]
    assert len(named) > 0.9 * len(rows)
    assert any(row["value"] for row in rows)
    assert any(row["fields"] for row in rows)
