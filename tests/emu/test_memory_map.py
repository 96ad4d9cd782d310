"""The registers that describe the memories and their regions."""

from __future__ import annotations

from itertools import pairwise

import pytest

from vmcoredd.chip.memory import HMA, REGIONS
from vmcoredd.emu import Card


@pytest.fixture(scope="module", params=["t520-cr", "t62100-cr"])
def card(request: pytest.FixtureRequest) -> Card:
    return Card.load(request.param, strict=True)


@pytest.mark.parametrize(
    ("fault", "left"), [("no-memory", 0), ("no-edc1", 0b101), ("no-mc0", 0b011)]
)
def test_memories_can_be_disabled(fault: str, left: int) -> None:
    card = Card.load("t62100-cr", faults=[fault])
    assert card.read(card.chip.r.MA_TARGET_MEM_ENABLE) == left


def test_host_memory_is_enabled_if_the_card_uses_it() -> None:
    card = Card.load("t6225-so-cr")
    enable = card.chip.r.MA_TARGET_MEM_ENABLE
    assert enable.get(card.read(enable), HMA.enable)
    assert not enable.get(card.read(enable), "EXT_MEM0_ENABLE")


def test_regions_lie_in_memory_and_do_not_overlap(card: Card) -> None:
    regions = sorted(card.scenario.memory_map, key=lambda region: region.base)
    for one, following in pairwise(regions):
        assert one.last < following.base
    assert regions[-1].last < card.memories.end


@pytest.mark.parametrize("mc0", [0, 1, 8])
@pytest.mark.parametrize("edc", [1, 2, 8])
def test_regions_fit_memories_of_any_size(edc: int, mc0: int) -> None:
    card = Card.load("t520-cr", memory={"edc0": edc, "edc1": edc, "mc0": mc0})
    bases = [region.base for region in card.scenario.memory_map]
    assert len(set(bases)) == len(bases)
    assert max(region.last for region in card.scenario.memory_map) < card.memories.end


def test_registers_hold_the_bounds_of_regions(card: Card) -> None:
    for description in REGIONS:
        if description.base:
            region = card.scenario.memory_map[description.name]
            assert card.read(card.chip.r[description.base]) == region.base
        if description.limit:
            assert card.read(card.chip.r[description.limit]) == region.last


def test_payload_regions_hold_a_number_of_pages(card: Card) -> None:
    r = card.chip.r
    for side, region in (("TX", "Tx payload"), ("RX", "Rx payload")):
        pages = r[f"TP_PMM_{side}_MAX_PAGE"]
        count = pages.get(card.read(pages), f"PM{side}MaxPage")
        size = card.read(r[f"TP_PMM_{side}_PAGE_SIZE"])
        assert 0 < count * size <= card.scenario.memory_map[region].size


def test_faults_clear_context_bases_and_payload_regions() -> None:
    card = Card.load("t62100-cr", faults=["no-context-bases", "no-payload-regions"])
    r = card.chip.r
    assert card.read(r.SGE_DBQ_CTXT_BADDR) == card.read(r.SGE_IMSG_CTXT_BADDR) == 0
    assert card.read(r.TP_PMM_TX_PAGE_SIZE) == card.read(r.TP_PMM_RX_PAGE_SIZE) == 0
