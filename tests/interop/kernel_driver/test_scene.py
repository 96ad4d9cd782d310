"""The crashed scene is what the kernel's driver leaves on a fresh card that it probes and opens.

The driver here knows one CPU, so each port has one receive queue. What traffic changes is left out:
indices, generations and what is armed. So are the rings' addresses, which the host chooses.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.interop.kernel_driver.cards import emulated
from tests.interop.kernel_driver.harness import Harness
from vmcoredd.chip.pci import PF
from vmcoredd.chip.sge import ContextType
from vmcoredd.emu import Card
from vmcoredd.emu.silicon.sge import Contexts

pytestmark = pytest.mark.interop

CARDS = pytest.mark.parametrize("name", ["t520-cr", "t540-cr", "t62100-cr"])
QUEUES, WORDS = 8192, 6
MOVING = {"PIDX", "CIDX", "Generation", "InterruptArmed", "BaseAddress", "PackOffset"}
WRITTEN = (
    "SGE_INT_ENABLE3",
    "SGE_STAT_CFG",
    "PCIE_FW",
    "TP_MTU_TABLE",
    "MPS_T5_TRC_RSS_CONTROL",
    "PL_INT_MAP0",
)
"""Registers of register dumps that differ from those of a fresh card."""


@pytest.fixture
def opened(library: Path, name: str) -> Iterator[Card]:
    """A fresh card whose ports the driver has opened."""
    card = Card.load(name, 1, scene="fresh")
    with Harness(library, emulated(card)) as driver:
        assert driver.bring_up() == 0
        for port in range(driver.ports):
            assert driver.interface_up(port) == 0
        yield card


@cache
def crashed(name: str) -> Card:
    return Card.load(name, 1, queues={"per_port": 1})


def contexts(card: Card) -> dict[tuple[ContextType, int], dict[str, int]]:
    """Returns the fields that are not 0 and do not move, of each context in use."""
    words = card.model(Contexts).table.words
    found = {}
    for kind in ContextType:
        for number in range(1024):
            first = (kind * QUEUES + number) * WORDS
            context = sum(word << 32 * i for i, word in enumerate(words[first : first + WORDS]))
            if context:
                found[kind, number] = _fields(card, kind, context)
    return found


def _fields(card: Card, kind: ContextType, context: int) -> dict[str, int]:
    free_list = kind == ContextType.EGRESS and bool(context >> 1 & 1)
    layout = card.chip.sge.context_fields(kind, free_list=free_list)
    return {
        field.name: field.get(context)
        for field in layout
        if context & field.mask and field.name not in MOVING
    }


@CARDS
def test_the_scenes_queues_are_those_of_the_driver(opened: Card, name: str) -> None:
    assert contexts(opened) == contexts(crashed(name))


@CARDS
def test_the_scenes_receive_queues_are_distributed_as_by_the_driver(
    opened: Card, name: str
) -> None:
    live, scene = (card.core.spaces.space("tp_rss_lkp_table") for card in (opened, crashed(name)))
    assert bytes(live.words) == bytes(scene.words)


@CARDS
def test_the_scenes_registers_are_those_of_the_driver(opened: Card, name: str) -> None:
    spaces, scene = opened.core.spaces, crashed(name).core.spaces
    for register in WRITTEN:
        assert spaces.get(opened.chip.r[register]) == scene.get(opened.chip.r[register]), register
    for register, elements in (
        ("PL_PF_INT_ENABLE", [PF]),
        ("MAC_PORT_LINK_STATUS", range(opened.profile.ports.count)),
    ):
        for element in elements:
            live = spaces.get(opened.chip.r[register], element)
            assert live == scene.get(opened.chip.r[register], element), register


@CARDS
def test_the_scenes_addresses_are_where_the_driver_puts_them(opened: Card, name: str) -> None:
    live = {
        number: bytes(entry.mac) for number, entry in enumerate(opened.engine.c.macs) if entry.viid
    }
    count = opened.profile.ports.count
    scene = {mac.index: mac.address for mac in crashed(name).scenario.mac_table.entries}
    assert live == {number: scene[number] for number in range(1, count + 1)}


@pytest.mark.parametrize("name", ["t520-cr", "t62100-cr", "t6225-so-cr"])
def test_a_card_that_the_driver_initialises_keeps_what_it_writes(library: Path, name: str) -> None:
    """It packs to 64 bytes, a cache line of this host (t4_fixup_host_params())."""
    card = Card.load(name, 1, scene="fresh", faults=["firmware-uninitialised"], strict=True)
    with Harness(library, emulated(card)) as driver:
        assert driver.bring_up() == 0
        assert [driver.interface_up(port) for port in range(driver.ports)] == [0, 0]
        assert "Initializing adapter" in driver.log
        assert ("Reserved 8MB host memory" in driver.log) == (name == "t6225-so-cr")
    r, spaces = card.chip.r, card.core.spaces
    assert r.SGE_CONTROL2.get(spaces.get(r.SGE_CONTROL2), "IngPackBoundary") == 2
    assert r.SGE_CONTROL.get(spaces.get(r.SGE_CONTROL), "PktShift") == 2
    assert spaces.get(r.SGE_FL_BUFFER_SIZE3) % 64 == 0
    assert not card.access_log.totals
