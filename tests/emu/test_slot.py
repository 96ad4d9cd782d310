"""A card that is taken out of its slot, and comes back; and what else is wrong on its way to the
host."""

from __future__ import annotations

import pytest
from emumail import Mailbox, NoReply
from engine_host import MASTER, Listener, plug, put

from vmcoredd import driver, emu
from vmcoredd.chip.firmware import Hello
from vmcoredd.emu._cffi import lib
from vmcoredd.emu.firmware import Mode
from vmcoredd.emu.silicon.slot import REMOVAL
from vmcoredd.emu.undo import difference

SMALL = {"edc0": 1, "edc1": 1, "mc0": 1}
ONES = 0xFFFFFFFF
COMMAND = 4


def loaded(scene: str = "crashed", *, map_window: bool = False) -> emu.Card:
    return emu.Card.load("t62100-cr", scene=scene, memory=SMALL, strict=True, map_window=map_window)


@pytest.fixture
def card() -> emu.Card:
    return loaded()


@pytest.fixture
def host() -> Listener:
    return Listener(*range(8))


def test_all_that_is_read_of_a_card_that_is_gone_is_all_ones(card: emu.Card) -> None:
    card.fail(REMOVAL, undoable=True)
    assert card.read(card.chip.r.PL_REV) == ONES
    for bar in card.bars:
        assert card.bar_read(bar, 0x100, 64) == b"\xff" * 64
    assert card.config_read(0, 256) == b"\xff" * 256


def test_what_is_written_to_a_card_that_is_gone_is_lost(card: emu.Card) -> None:
    register = card.chip.r.PL_PERR_ENABLE
    before = card.core.spaces.get(register)
    card.fail(REMOVAL, undoable=True)
    card.write(register, before ^ 1)
    card.config_write(COMMAND, b"\7\0")
    assert card.core.spaces.get(register) == before
    assert card.config[COMMAND] & MASTER == 0
    assert card.access_log.counts == {}


def test_the_read_that_the_removal_waits_for_is_the_first_without_an_answer(card: emu.Card) -> None:
    r = card.chip.r
    card.fail(f"{REMOVAL}@read:PL_WHOAMI:2")
    first = card.read(r.PL_WHOAMI)
    assert first != ONES
    assert [card.read(r.PL_WHOAMI), card.read(r.PL_REV)] == [ONES, ONES]


def test_the_rest_of_a_run_of_reads_has_no_answer(card: emu.Card) -> None:
    at = card.chip.r.PL_WHOAMI - 8
    whole = card.bar_read(0, at, 16)
    card.fail(f"{REMOVAL}@read:PL_WHOAMI")
    assert card.bar_read(0, at, 16) == whole[:8] + b"\xff" * 8


def test_a_command_that_the_removal_waits_for_is_never_executed(card: emu.Card) -> None:
    card.fail(f"{REMOVAL}@command:HELLO")
    last = card.firmware.state.last_command
    with pytest.raises(NoReply):
        Mailbox(card).call(Hello())
    assert card.firmware.state.last_command == last


def test_nothing_of_a_card_that_is_gone_reaches_the_host(host: Listener) -> None:
    card = loaded("fresh")
    plug(card, host)
    card.engine.interrupt(1)
    card.fail(REMOVAL, undoable=True)
    card.engine.interrupt(1)
    card.engine.run()
    assert host.got == [1]
    assert not card.engine.c.bus_master
    assert not any(port.up for port in card.engine.c.ports)


@pytest.mark.parametrize("scene", ["fresh", "crashed"])
def test_a_card_is_back_as_after_power_on(scene: str) -> None:
    card, new = loaded(scene), loaded("fresh")
    card.write(card.chip.r.PL_PERR_ENABLE, 0x1234)
    put(card, COMMAND, MASTER)
    card.fail(REMOVAL, undoable=True)
    card.undo(REMOVAL)
    differs = difference(new.snapshot(), card.snapshot())
    assert (differs.tables, differs.bars, differs.memories) == ({}, {}, {})
    assert {type(card.models[place]).__name__ for place in differs.models} <= {"PacketEngine"}
    assert not card.engine.c.bus_master
    driver.open_card(card).close()


def test_a_card_is_back_with_its_faults_and_without_the_cables_that_were_pulled(
    card: emu.Card,
) -> None:
    card.fail("firmware-slow", undoable=True)
    card.pull(1)
    card.fail(REMOVAL, undoable=True)
    card.undo(REMOVAL)
    assert ([*card.faults], card.firmware.state.mode) == (["firmware-slow"], Mode.SLOW)
    assert [link.pulled for link in card.firmware.state.links] == [False, True]
    card.undo("firmware-slow")
    assert card.firmware.state.mode is Mode.ALIVE


def test_faults_before_a_removal_are_undone_with_it(card: emu.Card) -> None:
    for name in ("firmware-slow", REMOVAL, "vpd-slow"):
        card.fail(name, undoable=True)
    card.undo("firmware-slow", REMOVAL, "vpd-slow")
    assert (card.faults, card.firmware.state.mode) == ({}, Mode.ALIVE)
    assert card.config_space.vpd_polls == 0


def test_a_removal_ends_with_its_time(card: emu.Card) -> None:
    later = []
    card.triggers.start_clock(lambda seconds, function: later.append((seconds, function)))
    card.fail(f"{REMOVAL}@read:PL_WHOAMI,for=2s")
    assert card.read(card.chip.r.PL_WHOAMI) == ONES
    ((seconds, end),) = later
    end()
    assert (seconds, card.read(card.chip.r.PL_WHOAMI) != ONES) == (2.0, True)


def test_a_snapshot_has_the_card_back_as_it_was(card: emu.Card) -> None:
    register = card.chip.r.PL_PERR_ENABLE
    put(card, COMMAND, MASTER)
    card.write(register, 0x1234)
    there = card.snapshot()
    card.fail(REMOVAL, undoable=True)
    gone = card.snapshot()
    card.restore(there)
    assert (card.read(register), bool(card.engine.c.bus_master)) == (0x1234, True)
    card.restore(gone)
    assert (card.read(register), bool(card.engine.c.bus_master)) == (ONES, False)
    card.undo(REMOVAL)
    assert card.read(register) != ONES


def test_a_reset_does_not_reach_a_card_that_is_gone(card: emu.Card) -> None:
    put(card, COMMAND, MASTER)
    card.fail(REMOVAL, undoable=True)
    card.reset()
    assert (card.config_read(0, 2), bool(card.engine.c.bus_master)) == (b"\xff\xff", False)


def test_a_page_that_a_client_maps_shows_all_ones_until_the_card_is_back() -> None:
    card = loaded(map_window=True)
    assert card.window_page
    words = card.core.bar0.words[card.window_page.offset // 4 :][: card.window_page.size // 4]
    before = bytes(words)
    card.fail(REMOVAL, undoable=True)
    assert bytes(words) == b"\xff" * len(before)
    card.engine.run()  # which takes no doorbell out of the page
    assert bytes(words) == b"\xff" * len(before)
    words[0] = words[-1] = 0  # the client writes
    card.undo(REMOVAL)
    assert bytes(words) == bytes(
        loaded("fresh", map_window=True).core.bar0.words[card.window_page.offset // 4 :][
            : len(words)
        ]
    )


# The window


@pytest.mark.parametrize("map_window", [False, True], ids=["trapped", "mapped"])
def test_a_blind_window_shows_all_ones_and_loses_writes_for_a_while(map_window: bool) -> None:
    card = loaded(map_window=map_window)
    r, aperture = card.chip.r, 0x1B800
    memory = card.memories["edc0"]
    card.write(r.PCIE_MEM_ACCESS_OFFSET, memory.base)
    content = card.bar_read(0, aperture, 64)
    card.fail("window-all-ones", undoable=True)
    assert card.bar_read(0, aperture, 64) == b"\xff" * 64
    card.bar_write(0, aperture, b"lost")
    card.write(r.PCIE_MEM_ACCESS_OFFSET, memory.base + 0x800)
    assert card.bar_read(0, aperture, 64) == b"\xff" * 64
    card.write(r.PCIE_MEM_ACCESS_OFFSET, memory.base)
    card.undo("window-all-ones")
    assert card.bar_read(0, aperture, 64) == content


def test_what_was_written_before_a_window_is_blind_is_kept() -> None:
    card = loaded(map_window=True)
    card.write(card.chip.r.PCIE_MEM_ACCESS_OFFSET, card.memories["edc0"].base)
    card.bar_write(0, 0x1B800, b"kept")
    card.fail("window-all-ones", undoable=True)
    card.undo("window-all-ones")
    assert card.bar_read(0, 0x1B800, 4) == b"kept"
    assert card.memories.read(card.memories["edc0"].base, 4) == b"kept"


# On the way to the host

BITS = {
    "dma-read-refused": lib.BREAKS_DMA_READ,
    "dma-write-refused": lib.BREAKS_DMA_WRITE,
    "interrupt-lost": lib.BREAKS_INTERRUPT_LOST,
    "interrupt-late=20": lib.BREAKS_INTERRUPT_LATE,
    "interrupt-twice": lib.BREAKS_INTERRUPT_TWICE,
    "send-completion-lost": lib.BREAKS_SENT,
    "receive-completion-lost": lib.BREAKS_RECEIVED,
}


def test_faults_add_up_and_are_undone_one_by_one(card: emu.Card) -> None:
    for name in BITS:
        card.fail(name, undoable=True)
    assert card.engine.c.broken == sum(BITS.values())
    assert card.engine.c.late == 20_000_000
    saved = card.snapshot()
    for name, bit in reversed(BITS.items()):
        assert card.engine.c.broken & bit
        card.undo(name)
        assert not card.engine.c.broken & bit
    assert (card.engine.c.broken, card.engine.c.late) == (0, 0)
    card.restore(saved)
    assert card.engine.c.broken == sum(BITS.values())


def test_interrupts_are_lost_and_come_twice(host: Listener) -> None:
    card = loaded("fresh")
    plug(card, host)
    card.fail("interrupt-lost", undoable=True)
    card.engine.interrupt(1)
    assert host.got == []
    card.undo("interrupt-lost")
    card.fail("interrupt-twice", undoable=True)
    card.engine.interrupt(2)
    card.engine.run(1_000_000)
    card.engine.run(2_000_000)
    assert host.got == [2, 2]
