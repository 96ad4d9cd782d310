"""REG_DUMP: every register that may be read, at its own offset."""

from __future__ import annotations

import pytest
from carddump import CARDS, collect, collected, small
from carddump import rows as table
from ramcard import RamCard
from ramdump import dumped

from vmcoredd.chip import T5, T6, Chip
from vmcoredd.chip.layout import u32s
from vmcoredd.cudbg.entity import entities

EDC_CAUSE = "EDC_H_INT_CAUSE"
RANGES = {T5: (761, 14392, 0x51308), T6: (556, 10322, 0x51324)}
"""Ranges, words, and the last one's offset."""
LEFT_OUT = (0x1240, 0x1250, 0x1B000, 0x1B800, 0x1F240, 0x1F280)
"""Queue bases, the function's own registers, the memory window, its mailbox."""


def words_read(card: RamCard) -> list[int]:
    """Returns the offset of each word that was read, in that order."""
    return [at for _, offset, size in card.log for at in range(offset, offset + size, 4)]


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_each_word_is_at_its_own_offset_and_gaps_are_zero(chip: Chip) -> None:
    card = RamCard()
    for offset in range(0, 0x53000, 4):
        card.put(offset, offset | 1)
    _, blob = dumped(card, chip, "REG_DUMP")
    words, read = u32s(blob), words_read(card)
    assert len(blob) == 0x53000
    assert [4 * i for i, word in enumerate(words) if word] == sorted(read)
    assert all(words[offset // 4] == offset | 1 for offset in read)


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_registers_are_read_once_each_in_ascending_order(chip: Chip) -> None:
    card = RamCard()
    dumped(card, chip, "REG_DUMP")
    read = words_read(card)
    ranges, words, last = RANGES[chip]
    assert read == sorted(set(read))
    assert (len(read), read[-1], len(chip.ranges("reg_dump"))) == (words, last, ranges)
    assert not set(LEFT_OUT) & set(read)


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_every_register_of_a_dump_has_a_name(chip: Chip) -> None:
    rows = collected(chip).table("REG_DUMP", "registers")
    assert [row["offset"] for row in rows if not row["register"]] == []
    whoami = next(row for row in rows if row["register"] == "PL_WHOAMI")
    assert whoami["fields"]["SourcePF"] == 4


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_reading_every_register_changes_no_other_entity(chip: Chip) -> None:
    others = ("ULPRX_LA", "CIM_QCFG", "RSS", "PM_STATS", "DUMP_CONTEXT", "TP_INDIRECT")
    alone = collect(small(chip), entities=others)
    behind = collect(small(chip), entities=("REG_DUMP", *others))
    for name in others:
        assert alone.dump.raw(name) == behind.dump.raw(name), name


def test_the_screen_tells_edc0_from_edc1_and_joins_counters() -> None:
    made = collected(T6)
    rows = made.table("REG_DUMP", "registers")
    causes = {row["instance"]: row["offset"] for row in rows if row["register"] == EDC_CAUSE}
    assert causes == {"EDC0": 0x50078, "EDC1": 0x50878}
    data = bytearray(made.dump.raw("REG_DUMP"))
    low = T6.r.MPS_PORT_STAT_TX_PORT_BYTES_L[1]
    data[low : low + 8] = (0x0000000512345678).to_bytes(8, "little")
    decoded = entities()["REG_DUMP"].decode(bytes(data), T6)
    counters = {(r["counter"], r["instance"]): r["value"] for r in table(decoded, "counters")}
    assert counters["MPS_PORT_STAT_TX_PORT_BYTES", "port 1"] == 0x0000000512345678
    assert all(counters.values())
