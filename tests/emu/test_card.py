"""The card as a whole: seeds, snapshots, faults, resets, build time."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import time

import pytest
from carddump import SMALL, collect
from emumail import Mailbox

from vmcoredd.chip.firmware import PortAction, PortInfo32
from vmcoredd.emu import Card, EmuError, faults, profiles
from vmcoredd.emu.config_space import VPD_AT
from vmcoredd.emu.errors import NoSuchFault


def fingerprint(card: Card) -> str:
    """Returns a digest of all words and memories of a card."""
    digest = hashlib.sha256()
    for space in card.core.spaces.all:
        digest.update(bytes(space.words))
    for memory in card.memories:
        digest.update(memory.memfd.view)
    return digest.hexdigest()


@pytest.mark.parametrize("name", ["t520-cr", "t62100-cr"])
def test_two_cards_with_the_same_seed_are_equal(name: str) -> None:
    assert fingerprint(Card.load(name, seed=3)) == fingerprint(Card.load(name, seed=3))


def test_cards_with_different_seeds_differ() -> None:
    cards = [Card.load("t62100-cr", seed=seed) for seed in range(3)]
    assert len({fingerprint(card) for card in cards}) == 3
    assert len({card.scenario.identity.base_mac for card in cards}) == 3


def test_a_seed_gives_the_same_bytes_everywhere() -> None:
    """Checks a part that depends on the seed alone: if it changes, every card changes."""
    card = Card.load("t62100-cr", seed=0)
    assert card.scenario.identity.serial == "PT51136400"
    assert card.scenario.identity.base_mac.hex() == "000743c890d0"


@pytest.mark.parametrize("name", profiles())
def test_a_card_is_built_in_under_a_second(name: str) -> None:
    start = time.process_time()
    Card.load(name)
    assert time.process_time() - start < 1


def test_a_card_closes_its_files() -> None:
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    Card.load("t62100-cr")
    gc.collect()
    before = open_files()
    for _ in range(3):
        Card.load("t62100-cr")
        gc.collect()
    assert open_files() <= before


def test_a_restored_card_equals_the_original() -> None:
    card = Card.load("t62100-cr", seed=1)
    r = card.chip.r
    before, snapshot = fingerprint(card), card.snapshot()
    card.write(r.PCIE_MEM_ACCESS_OFFSET, 0x12000)
    card.bar_write(0, 0x1B800, b"overwrit")
    card.write(r.TP_PIO_ADDR, 0x40)
    card.write(r.TP_PIO_DATA, 0x11)
    card.bar_write(2, 0x1000, b"doorbell")
    card.write(r.SF_DATA, 0x9F)
    card.write(r.SF_OP, 0x9)
    card.config_write(4, b"\x06\x01")
    card.fail("cim-host-busy")
    card.read(r.CIM_PF_MAILBOX_CTRL[4])
    assert fingerprint(card) != before
    card.restore(snapshot)
    assert fingerprint(card) == before
    card.write(r.CIM_HOST_ACC_CTRL, 0x10)
    assert not r.CIM_HOST_ACC_CTRL.get(card.read(r.CIM_HOST_ACC_CTRL), "HostBusy")


def test_a_snapshot_can_be_restored_more_than_once() -> None:
    card = Card.load("t520-cr")
    before, snapshot = fingerprint(card), card.snapshot()
    for _ in range(2):
        card.memories.write(0, b"changed")
        card.restore(snapshot)
        assert fingerprint(card) == before


def test_a_snapshot_fits_another_card_of_the_profile() -> None:
    one, other = Card.load("t520-cr", seed=1), Card.load("t520-cr", seed=2)
    other.restore(one.snapshot())
    assert fingerprint(one) == fingerprint(other)


@pytest.mark.parametrize("name", ["t62100-cr", "t520-cr"])
def test_a_card_with_the_state_of_another_is_dumped_to_the_same_bytes(name: str) -> None:
    one, other = Card.load(name, seed=1, **SMALL), Card.load(name, seed=2, **SMALL)
    other.restore(one.snapshot())
    assert collect(other, "none").data == collect(one, "none").data


def test_a_fault_that_is_undone_does_not_come_back_with_a_reset() -> None:
    card = Card.load("t520-cr")
    before = card.config
    card.fail("no-vpd", undoable=True)
    card.undo("no-vpd")
    card.reset()
    assert card.config[VPD_AT] == before[VPD_AT] != 0


def test_a_snapshot_of_another_profile_is_refused() -> None:
    with pytest.raises(EmuError, match="the snapshot is not of a t62100-cr"):
        Card.load("t62100-cr").restore(Card.load("t520-cr").snapshot())


@pytest.mark.parametrize(("scene", "other"), [("fresh", "crashed"), ("crashed", "fresh")])
def test_a_snapshot_of_another_scene_is_refused(scene: str, other: str) -> None:
    card = Card.load("t520-cr", scene=scene)
    before = fingerprint(card)
    with pytest.raises(EmuError, match=f"not of a t520-cr, scene {scene}, but .* scene {other}"):
        card.restore(Card.load("t520-cr", scene=other).snapshot())
    assert fingerprint(card) == before


def test_an_unknown_fault_is_refused_with_a_list_of_faults() -> None:
    with pytest.raises(EmuError, match="no fault broken; `vmcoredd cards --faults` lists them"):
        Card.load("t62100-cr", faults=["broken"])


ACTING = [each.example for each in faults().values() if not each.reports | each.served]


@pytest.mark.parametrize("name", ACTING)
def test_every_fault_can_be_switched_on(name: str) -> None:
    Card.load("t62100-cr", faults=[name])


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("ecc-uncorrectable-mc1", "MC1"),
        ("parity-mc1", "MC1"),
        ("no-mc0", "MC0"),
        ("link-down-port2", "Ethernet port 2"),
    ],
)
def test_a_fault_of_what_a_card_has_not_is_refused(name: str, what: str) -> None:
    with pytest.raises(NoSuchFault, match=f"on a t6225-so-cr: it has no {what}"):
        Card.load("t6225-so-cr", faults=[name])


def test_a_snapshot_undoes_faults_that_only_report_something() -> None:
    card = Card.load("t62100-cr", strict=True)
    saved, before = card.snapshot(), fingerprint(card)
    for item in faults().values():
        if item.reports:
            with contextlib.suppress(NoSuchFault):
                card.fail(item.example)
    assert fingerprint(card) != before
    card.restore(saved)
    assert fingerprint(card) == before
    ask = PortInfo32(read=1, portid=1, action=PortAction.GET_PORT_INFO32)
    assert Mailbox(card).do(ask).lstatus32


def test_a_reset_leaves_what_the_bus_reported() -> None:
    card = Card.load("t62100-cr", faults=["pcie-malformed-packet", "pcie-narrow-link"])
    before = card.config
    card.reset()
    for at, size in ((0x82, 2), (0x104, 4), (0x11C, 16)):
        assert card.config[at : at + size] == before[at : at + size] != bytes(size)
    assert card.config[0x7A:0x7C] == bytes(2)


def test_a_guest_can_read_back_doorbells_and_vectors() -> None:
    card = Card.load("t62100-cr", strict=True)
    card.bar_write(2, 0x40, bytes(range(64)))
    assert card.bar_read(2, 0x40, 64) == bytes(range(64))
    card.bar_write(4, 0x10, b"address!")
    assert card.bar_read(4, 0x10, 8) == b"address!"


def test_a_reset_does_not_change_a_fresh_card() -> None:
    """QEMU resets the device when it starts; only the device log shows the reset."""
    one, other = (Card.load("t62100-cr", scene="fresh") for _ in range(2))
    other.reset()
    for left, right in zip(one.core.spaces.all, other.core.spaces.all, strict=True):
        assert bytes(left.words) == bytes(right.words), left.name
