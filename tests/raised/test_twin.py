"""Healthy cards of the same kind as a dump's."""

from __future__ import annotations

import pytest
from carddump import collect

from vmcoredd import cudbg, emu
from vmcoredd.raised.profile import healthy_profile_of


@pytest.mark.parametrize("name", sorted(emu.profiles()))
def test_a_twin_is_of_the_same_kind(name: str) -> None:
    card = emu.Card.load(name, 3, faults=["parity-tp"])
    found = healthy_profile_of(collect(card, entities=("REG_DUMP", "PCIE_CONFIG", "VPD_DATA")).dump)
    asked = card.profile
    assert (found.card.device_id, found.memory, found.ports) == (
        asked.card.device_id,
        asked.memory,
        asked.ports,
    )
    assert found.tables.hash_filters == asked.tables.hash_filters
    assert found.faults == ()


def test_a_card_that_no_profile_has_gets_the_one_that_is_most_like_it() -> None:
    card = emu.Card.load("t62100-cr", 3, card={"device_id": 0x64FF}, ports={"count": 1})
    dump: cudbg.Dump = collect(card, entities=("REG_DUMP", "PCIE_CONFIG")).dump
    found = healthy_profile_of(dump)
    assert (found.card.device_id, found.ports.count) == (0x64FF, 1)
