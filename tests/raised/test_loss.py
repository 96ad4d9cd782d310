"""An adapter that was lost during its dump: the card raised from that is lost there, too.

tests/interop/kernel_driver/test_raised.py has the kernel's own code dump such cards.
"""

from __future__ import annotations

import errno
import os

import pytest
from raiseddump import again, assert_same, dumped

from vmcoredd import cudbg, driver, emu
from vmcoredd.cudbg.entity import Stage, entities
from vmcoredd.raised import raise_card
from vmcoredd.raised.answered import Lost

THOROUGH = os.environ.get("VMCOREDD_THOROUGH") == "1"
PLACES = {
    "read:PCIE_FW_PF[7]": "DEV_LOG",
    "read:MA_EDRAM0_BAR:2": "REG_DUMP",
    "read:CIM_HOST_ACC_DATA:50": "CIM_LA",
    "write:TP_PIO_ADDR": "RSS_VF_CONF",
    "write:PCIE_CFG_SPACE_REQ:9": "PCIE_CONFIG",
    "read:LE_DB_DBGI_RSP_DATA[0]:20": "LE_TCAM",
    "write:PCIE_MEM_ACCESS_OFFSET[0]:900": "EDC0",
}
"""Where a card is lost, in the middle of an entity, and which that is."""
BEGINNINGS = (
    [name for name, entity in entities().items() if entity.stage != Stage.DRIVER]
    if THOROUGH
    else ["TP_INDIRECT", "CLK", "VPD_DATA"]
)
"""Those of which others are computed, and one that fails before the loss is noticed."""


def lost_at(place: str, chip: str, *more: str) -> emu.Card:
    faults = [*more, f"device-gone@{place}"]
    return emu.Card.load(chip, 5, faults=faults, memory={"mc0": 1})


def check(first: bytes, noticed: str) -> None:
    """Compares a dump with that of the card raised from it."""
    raised = raise_card(cudbg.Dump(memoryview(first)))
    assert raised.dump.lost_at == Lost(noticed)
    assert raised.card.triggers.armed == [*raised.loss]
    assert raised.loss[-1].startswith("device-gone@")
    assert_same(first, dumped(raised.open()))


@pytest.mark.parametrize("card", ["t62100-cr", "t520-cr"])
@pytest.mark.parametrize("place", PLACES)
def test_a_card_that_was_lost_is_lost_in_the_same_entity(card: str, place: str) -> None:
    check(dumped(driver.open_card(lost_at(place, card))), PLACES[place])


@pytest.mark.parametrize("chip", ["t62100-cr", "t520-cr"] if THOROUGH else ["t62100-cr"])
@pytest.mark.parametrize("name", BEGINNINGS)
def test_a_card_may_be_lost_as_any_entity_begins(name: str, chip: str) -> None:
    card = emu.Card.load(chip, 5, memory={"mc0": 1})

    def lose(entity: cudbg.Collected, *_: int) -> None:
        if entity.name == name:
            card.fail("device-gone")

    first = dumped(driver.open_card(card), progress=lose)
    assert_same(first, again(first))


def test_what_failed_before_fails_again() -> None:
    card = lost_at("read:LE_DB_DBGI_RSP_DATA[0]:20", "t62100-cr", "cim-host-hangs", "tp-la-runs")
    check(dumped(driver.open_card(card)), "LE_TCAM")


def test_a_card_that_is_alive_is_not_lost() -> None:
    first = dumped(driver.open_card(lost_at("read:TP_PIO_DATA:37", "t62100-cr")))
    raised = raise_card(cudbg.Dump(memoryview(first)), alive=True)
    assert (raised.loss, raised.card.triggers.armed) == ((), [])


def test_what_was_read_after_the_loss_is_not_raised() -> None:
    """A driver that goes on, as Linux's does, fills its dump with all ones."""
    card = emu.Card.load(
        "t62100-cr", 5, memory={"mc0": 1}, faults=["device-gone@read:PL_PL_INT_CAUSE"]
    )
    adapter = driver.open_card(card)
    adapter.io.check_alive = lambda: None  # type: ignore[method-assign]
    names = ["REG_DUMP", "RSS_VF_CONF", "PCIE_CONFIG"]
    raised = raise_card(cudbg.Dump(memoryview(dumped(adapter, entities=names))))
    lost = raised.dump.lost_at
    assert lost is not None
    assert lost.entity == "REG_DUMP"
    assert raised.loss == ("device-gone@read:PL_PL_INT_CAUSE:1",)
    whys = {lack.what: lack.why for lack in raised.lacks}
    assert whys["PCIE_CONFIG"] == "read after the adapter was lost"
    found = cudbg.Dump(memoryview(dumped(raised.open())))
    assert found.entity("REG_DUMP").code == -errno.EIO


def test_a_memory_may_end_in_ones() -> None:
    card = emu.Card.load("t62100-cr", 5, memory={"mc0": 1})
    *_, last = card.memories
    last.memfd.view[last.size - (1 << 18) : last.size] = b"\xff" * (1 << 18)
    first = dumped(driver.open_card(card))
    assert raise_card(cudbg.Dump(memoryview(first))).loss == ()
    assert_same(first, again(first))
