"""PCIE_CONFIG: configuration space through the adapter's back door."""

from __future__ import annotations

import pytest
from carddump import CARDS, collect, small
from ramcard import RamCard
from ramdump import dumped

from vmcoredd.chip import T5, T6, Chip
from vmcoredd.chip.layout import u32s

REQUEST, DATA = 0x3060, 0x3064  # PCIE_CFG_SPACE_REQ, _DATA
ENABLE = {T5: 1 << 30, T6: 1 << 31}
FUNCTION = 4 << 12
RANGES = (
    (0x00, 0x34), (0x3C, 0x40), (0x50, 0x64), (0x70, 0x80), (0x94, 0xA0), (0xB0, 0xB8),
    (0xD0, 0xD4), (0x100, 0x128), (0x140, 0x148), (0x150, 0x164), (0x170, 0x178),
    (0x180, 0x194), (0x1A0, 0x1B8), (0x1C0, 0x208),
)  # fmt: skip
OFFSETS = [offset for first, last in RANGES for offset in range(first, last + 4, 4)]


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_91_words_of_function_4_are_asked_for_and_each_request_is_withdrawn(chip: Chip) -> None:
    card, seen = RamCard(), []

    def request(value: int) -> None:
        seen.append(value)
        card.put(DATA, value & 0xFFF)

    card.on_write[REQUEST] = request
    entity, blob = dumped(card, chip, "PCIE_CONFIG")
    assert seen[::2] == [ENABLE[chip] | FUNCTION | offset for offset in OFFSETS]
    assert set(seen[1::2]) == {0}
    assert u32s(blob) == (*OFFSETS, *[0] * 6)
    assert entity.counts.total == 3 * 91


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_the_words_are_those_of_configuration_space(chip: Chip) -> None:
    made = collect(small(chip), entities=("PCIE_CONFIG",))
    config = u32s(made.card.config)
    rows = made.table("PCIE_CONFIG")
    assert [row["offset"] for row in rows] == OFFSETS
    assert [row["value"] for row in rows] == [config[offset // 4] for offset in OFFSETS]
    assert rows[0]["value"] == made.card.profile.card.device_id << 16 | 0x1425
