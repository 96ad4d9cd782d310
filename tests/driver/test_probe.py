"""Probing a card of plain memory: the kernel's order of accesses, and each failure."""

from __future__ import annotations

import struct

import pytest
from ramcard import RamCard

from vmcoredd.chip import T5, T6, Chip
from vmcoredd.chip.flash import flash_bytes
from vmcoredd.driver.errors import ProbeError
from vmcoredd.driver.probe import Probed, probe
from vmcoredd.hw.device import AdapterFlag
from vmcoredd.hw.errors import DeadDevice
from vmcoredd.hw.io import Counts

WHOAMI, REV, SF_DATA, SF_OP = 0x19400, 0x1943C, 0x193F8, 0x193FC
COMMAND, EXP = 0x04, 0x70
FLASH_ID = 0x1740EF


def bootable(device_id: int = 0x640D, whoami: int = 0x800) -> RamCard:
    """A card that can be probed."""
    card = RamCard()
    card.config[:4] = struct.pack("<HH", 0x1425, device_id)
    card.config[0x34] = EXP
    card.config[EXP] = 0x10
    card.config[EXP + 0x08] = 1 << 4
    card.config[EXP + 0x12] = 0x83
    card.put(WHOAMI, whoami)
    card.put(REV, 0x61)
    card.on_write[SF_OP] = lambda value: shift(card, value)
    return card


def shift(card: RamCard, op: int) -> None:
    """The flash: clears the busy bit, and shifts in the three bytes of its id."""
    card.put(SF_OP, 0)
    if op == 0x14:
        card.put(SF_DATA, FLASH_ID)


def probed(card: RamCard, slept: list[float] | None = None) -> Probed:
    return probe(card.io(), sleep=(slept if slept is not None else []).append)


def test_probe_makes_the_kernels_13_accesses_in_its_order() -> None:
    card = bootable()
    io = card.io()
    probe(io)
    assert card.log == [
        ("r", WHOAMI, 4),
        ("r", WHOAMI, 4),
        ("r", REV, 4),
        ("r", REV, 4),
        ("r", SF_OP, 4),
        ("w", SF_DATA, 4),
        ("w", SF_OP, 4),
        ("r", SF_OP, 4),
        ("r", SF_OP, 4),
        ("w", SF_OP, 4),
        ("r", SF_OP, 4),
        ("r", SF_DATA, 4),
        ("w", SF_OP, 4),
    ]
    assert io.counts == Counts(r32=9, w32=4)


@pytest.mark.parametrize(
    ("device_id", "whoami", "chip", "product"),
    [(0x640D, 0x800, T6, "T62100-CR"), (0x5401, 0x400, T5, "T520-CR")],
)
def test_probe_identifies_the_chip_by_the_device_id(
    device_id: int, whoami: int, chip: Chip, product: str
) -> None:
    card = probed(bootable(device_id, whoami))
    assert (card.device.chip, card.device.revision, card.product) == (chip, 1, product)
    assert (card.device.pf, card.device.flash_bytes, card.link) == (4, 8 << 20, (3, 8))


def test_probe_enables_memory_and_bus_mastering_and_sets_the_completion_timeout() -> None:
    card = bootable()
    probed(card)
    assert struct.unpack_from("<H", card.config, COMMAND) == (0x6,)
    assert struct.unpack_from("<H", card.config, EXP + 0x28) == (0xD,)


def test_probe_records_that_relaxed_ordering_is_off() -> None:
    card = bootable()
    assert probed(card).device.flags == AdapterFlag.DEV_ENABLED
    card.config[EXP + 0x08] = 0
    assert probed(card).device.flags == 0x402


def test_probe_works_without_an_express_capability() -> None:
    card = bootable()
    card.config[0x34] = 0
    assert probed(card).link is None


def test_probe_retries_a_silent_adapter_after_half_a_second() -> None:
    card, slept = bootable(), list[float]()
    answers = iter([0xFFFFFFFF, 0x800, 0x800])
    card.on_read[WHOAMI] = lambda value: next(answers)
    probed(card, slept)
    assert slept == [0.5]


@pytest.mark.parametrize("word", [0xFFFFFFFF, 0xEEEEEEEE])
def test_probe_fails_if_the_adapter_is_gone(word: int) -> None:
    card = bootable(whoami=word)
    with pytest.raises(ProbeError, match="t4_wait_dev_ready"):
        probed(card)
    assert len(card.log) == 2


def test_probe_refuses_another_function() -> None:
    with pytest.raises(ProbeError, match="function 0 is not"):
        probed(bootable(whoami=0))


@pytest.mark.parametrize(
    ("vendor", "device_id", "says"),
    [
        (0x8086, 0x10D3, "the device is 0x8086:0x10d3, not a Chelsio adapter"),
        (0, 0, "the device is 0x0000:0x0000, not a Chelsio adapter"),
        (0x1425, 0x4401, "the device is 0x1425:0x4401, Chelsio's, but neither a T5 nor a T6"),
        (0x1425, 0x7401, "the device is 0x1425:0x7401, Chelsio's, but neither a T5 nor a T6"),
        (0xFFFF, 0xFFFF, "no device answers"),
    ],
)
def test_probe_touches_nothing_but_the_ids_of_another_device(
    vendor: int, device_id: int, says: str
) -> None:
    card = bootable()
    card.config[:4] = struct.pack("<HH", vendor, device_id)
    before = bytes(card.config)
    with pytest.raises(ProbeError, match=says):
        probed(card)
    assert (card.log, bytes(card.config)) == ([], before)


def test_probe_takes_a_device_that_changes_its_id_for_another_device() -> None:
    card = bootable()
    card.on_read[WHOAMI] = lambda value: (card.config.__setitem__(0, 0), value)[1]
    with pytest.raises(ProbeError, match="0x1400:0x640d"):
        probed(card)


def test_probe_refuses_a_busy_flash() -> None:
    card = bootable()
    card.put(SF_OP, 1 << 31)
    with pytest.raises(ProbeError, match="EBUSY"):
        probed(card)
    assert card.word(SF_OP) == 0


def test_probe_polls_a_silent_flash_ten_times() -> None:
    card = bootable()
    card.on_write[SF_OP] = lambda value: card.put(SF_OP, 1 << 31 if value else 0)
    with pytest.raises(ProbeError, match="EAGAIN"):
        probed(card)
    assert card.log.count(("r", SF_OP, 4)) == 11


def test_probe_of_a_dead_transport_is_a_dead_device() -> None:
    card = bootable()
    card.dies_after = 6
    with pytest.raises(DeadDevice):
        probed(card)


@pytest.mark.parametrize(
    ("flash_id", "size"),
    [
        (0x14BA20, 1 << 20),
        (0x16BA20, 4 << 20),
        (0x20BA20, 64 << 20),
        (0x22BA20, 256 << 20),
        (0x16609D, 32 << 20),
        (0x1720C2, 8 << 20),
        (0x1840EF, 16 << 20),
        (0x150201, 4 << 20),
        (0xFFFFFF, 4 << 20),
    ],
)
def test_flash_sizes_are_those_of_the_kernels_driver(flash_id: int, size: int) -> None:
    assert flash_bytes(flash_id) == size
