"""A card raised from a dump is dumped to the same bytes; nothing in a dump is trusted.

tests/interop/kernel_driver/test_raised.py has the kernel's own code dump raised cards.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from raiseddump import again, assert_same, dumped

from vmcoredd import cudbg, driver, emu
from vmcoredd.chip.pci import ConfigHeader
from vmcoredd.cudbg.compare import Difference, compare, differing_drivers
from vmcoredd.cudbg.container import EntityHeader, entity_header_offset
from vmcoredd.cudbg.driver_state import TidLayout
from vmcoredd.driver import ProbeError
from vmcoredd.emu.errors import NoSuchFault
from vmcoredd.emu.silicon import faults
from vmcoredd.hw.device import AdapterFlag, MailboxEntry
from vmcoredd.raised import NotRaisable, raise_card

THOROUGH = os.environ.get("VMCOREDD_THOROUGH") == "1"
NO_DUMP = ("device-gone", "flash-busy", "flash-hangs", "other-function")
"""Faults that make the probe fail."""
SPREAD = (
    "busy-once",
    "cim-host-hangs",
    "cim-ibq-busy",
    "cim-la-hangs",
    "le-busy",
    "no-devlog-pointer",
    "no-memory",
    "parity-tp",
    "vpd-no-version",
    "window-unusable",
)
FAULTS = (
    [f.example for f in faults().values() if not f.served and f.name not in NO_DUMP]
    if THOROUGH
    else SPREAD
)
CARDS = sorted(emu.profiles()) if THOROUGH else ["t520-cr", "t580-mc1", "t62100-cr"]


def small(name: str, of: Sequence[str] = (), **more: Any) -> emu.Card:
    return emu.Card.load(name, 5, faults=of, **{"memory": {"mc0": 1}, **more})


@pytest.mark.parametrize("name", CARDS)
@pytest.mark.parametrize("scene", ["crashed", "fresh"])
def test_a_raised_card_is_dumped_to_the_same_bytes(name: str, scene: str) -> None:
    first = dumped(driver.open_card(emu.Card.load(name, 5, scene=scene)), "zlib")
    assert_same(first, again(first, "zlib"))


def on_each(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yields cards with faults: each fault on a T5 or on a T6, on both if thorough."""
    cards = ("t62100-cr", "t520-cr")
    for i, name in enumerate(names):
        yield from ((card, name) for card in (cards if THOROUGH else cards[i % 2 :][:1]))


@pytest.mark.parametrize(("name", "fault"), [*on_each(FAULTS)])
def test_what_was_broken_is_broken_again(name: str, fault: str) -> None:
    try:
        card = small(name, of=[fault])
    except NoSuchFault as none:
        pytest.skip(str(none))
    first = dumped(driver.open_card(card))
    assert_same(first, again(first))


def test_a_dump_of_a_raised_card_raises_the_same_card() -> None:
    first = dumped(driver.open_card(small("t62100-cr")))
    assert_same(first, again(again(first)))


def test_what_the_driver_knew_is_kept_beside_the_card() -> None:
    entry = MailboxEntry((1, 2, 3, 4, 5, 6, 7, 8), 99, 7, access=0, execute=3)
    adapter = driver.open_card(small("t520-cr"))
    adapter.device = replace(
        adapter.device,
        cclk_khz=250_000,
        flags=AdapterFlag.DEV_ENABLED | AdapterFlag.FW_OK,
        mailbox_log=[entry],
    )
    first = dumped(adapter)
    assert_same(first, again(first))
    raised = raise_card(cudbg.Dump(memoryview(first)))
    found = cudbg.Dump(memoryview(dumped(driver.open_card(raised.card))))
    mine = cudbg.Dump(memoryview(first))
    differing = [d.name for d in compare(mine, found) if isinstance(d, Difference)]
    assert differing == ["MBOX_LOG", "HW_SCHED", "CLK", "TID_INFO"]
    assert differing_drivers(mine, found)
    of_host = [d for d in compare(mine, found, card_only=True) if isinstance(d, Difference)]
    assert [(d.name, d.of_host, d.compared) for d in of_host] == [
        (name, True, False) for name in differing
    ]


def test_what_the_card_has_is_compared_though_the_host_is_not() -> None:
    one, other = (dumped(driver.open_card(small("t520-cr"))) for _ in range(2))
    changed = bytearray(other)
    start = cudbg.Dump(memoryview(other)).entity("TID_INFO").start
    at = start + TidLayout.le_db_conf.offset
    changed[at] ^= 1
    a, b = cudbg.Dump(memoryview(one)), cudbg.Dump(memoryview(changed))
    (found,) = [d for d in compare(a, b, card_only=True) if isinstance(d, Difference)]
    assert (found.name, found.compared) == ("TID_INFO", True)
    assert not differing_drivers(a, b)


def test_what_each_host_sets_is_of_the_host() -> None:
    """Addresses in configuration space, which differ from machine to machine."""
    one, other = small("t62100-cr"), small("t62100-cr")
    other.config_write(ConfigHeader.bar.offset, (0xFEB00000).to_bytes(4, "little"))
    a, b = (cudbg.Dump(memoryview(dumped(driver.open_card(card)))) for card in (one, other))
    (found,) = [d for d in compare(a, b) if isinstance(d, Difference)]
    assert (found.name, found.of_host) == ("PCIE_CONFIG", False)
    (found,) = [d for d in compare(a, b, card_only=True) if isinstance(d, Difference)]
    assert (found.name, found.of_host) == ("PCIE_CONFIG", True)


@pytest.mark.parametrize("faults", [(), ("firmware-crash",)])
def test_a_reset_leaves_a_raised_card_as_it_was(faults: Sequence[str]) -> None:
    """A machine resets it before a driver sees it."""
    first = dumped(driver.open_card(small("t62100-cr", of=faults)))
    raised = raise_card(cudbg.Dump(memoryview(first)))
    raised.card.reset()
    assert_same(first, dumped(raised.open()))


def test_what_a_dump_lacks_is_named() -> None:
    first = dumped(driver.open_card(small("t62100-cr", of=["no-edc1"], memory={"mc0": 8})))
    whys = {lack.what: lack.why for lack in raise_card(cudbg.Dump(memoryview(first))).lacks}
    assert whys["EDC1"].endswith("switched off, though every adapter has it")
    assert whys["MC0"] == "1,999,872 bytes of payload, which no dump has"
    cut = raise_card(cudbg.Dump(memoryview(first[: len(first) - (1 << 20)])))
    assert "1,048,576 bytes of it are lost" in [lack.why for lack in cut.lacks]


def test_what_was_not_collected_is_named() -> None:
    names = ["REG_DUMP", "PCIE_CONFIG"]
    first = dumped(driver.open_card(small("t62100-cr")), entities=names)
    lacks = raise_card(cudbg.Dump(memoryview(first))).lacks
    assert ("EDC0", "not in the dump") in lacks
    assert not {lack.what for lack in lacks} & {*names, "MC1"}


def test_the_firmware_of_a_raised_card_does_not_answer() -> None:
    from vmcoredd.chip.firmware import Hello

    first = dumped(driver.open_card(small("t62100-cr")))
    card = raise_card(cudbg.Dump(memoryview(first))).card
    adapter = driver.open_card(card)
    adapter.mailbox._sleep = lambda seconds: None
    with pytest.raises(driver.MailboxError, match="no reply"):
        adapter.mailbox.call(Hello(read=1, write=1))


def test_the_card_is_what_its_registers_say() -> None:
    first = dumped(driver.open_card(emu.Card.load("t540-cr", 5)))
    profile = raise_card(cudbg.Dump(memoryview(first))).card.profile
    asked = emu.Card.load("t540-cr", 5).profile
    assert (profile.card.device_id, profile.ports.count) == (0x5403, 4)
    assert (profile.memory, profile.firmware.version) == (asked.memory, asked.firmware.version)


def test_the_flash_is_the_one_that_the_probe_identified() -> None:
    first = dumped(driver.open_card(small("t520-cr", flash={"id": 0x1820C2})))
    assert_same(first, again(first))


def test_entities_that_a_dump_lacks_are_zero() -> None:
    names = ["REG_DUMP", "PCIE_CONFIG"]
    first = dumped(driver.open_card(small("t62100-cr")), entities=names)
    raised = raise_card(cudbg.Dump(memoryview(first)))
    assert_same(first, dumped(raised.open(), entities=names))
    made = cudbg.Dump(memoryview(dumped(raised.open())))
    assert not any(made.raw("EDC0"))


def cut(data: bytearray, noise: random.Random) -> None:
    del data[noise.randrange(len(data)) :]


def spoil(data: bytearray, noise: random.Random) -> None:
    for _ in range(noise.choice((1, 30, 3000))):
        data[noise.randrange(len(data))] = noise.randrange(256)


def replace_entities(data: bytearray, noise: random.Random) -> None:
    good = [entity for entity in cudbg.Dump(memoryview(bytes(data))).entities if entity.size]
    for entity in noise.sample(good, 5):
        ones = noise.random() < 0.5
        data[entity.start : entity.start + entity.size] = (
            b"\xff" * entity.size if ones else noise.randbytes(entity.size)
        )


@pytest.mark.parametrize("seed", range(30 if THOROUGH else 2))
@pytest.mark.parametrize("damage", [cut, spoil, replace_entities])
def test_of_a_damaged_dump_what_is_left_is_raised(
    damage: Callable[[bytearray, random.Random], None], seed: int
) -> None:
    data = bytearray(dumped(driver.open_card(small("t62100-cr"))))
    damage(data, random.Random(seed))
    try:
        raised = raise_card(cudbg.Dump(memoryview(data)))
    except (NotRaisable, cudbg.DumpFormatError):
        return
    try:
        dumped(raised.open())
    except ProbeError:
        return  # configuration space is not a card's any more


def test_sizes_that_no_card_has_are_not_believed() -> None:
    data = bytearray(dumped(driver.open_card(small("t62100-cr"))))
    at = EntityHeader.from_bytes(data[entity_header_offset(1) :]).start_offset
    r = small("t62100-cr").chip.r
    for name in ("MA_EDRAM0_BAR", "MA_EXT_MEMORY0_BAR", "LE_DB_HASH_CONFIG", "SGE_FLM_CFG"):
        data[at + r[name] : at + r[name] + 4] = b"\xff\xff\xff\x7f"
    raised = raise_card(cudbg.Dump(memoryview(data)))
    assert raised.card.profile.memory.edc0 <= 64
    assert len(dumped(raised.open())) <= cudbg.DUMP_SIZE


def test_a_dump_without_a_known_chip_raises_nothing() -> None:
    data = bytearray(dumped(driver.open_card(small("t62100-cr")), entities=["REG_DUMP"]))
    data[22] = 0x40
    with pytest.raises(NotRaisable, match="T4"):
        raise_card(cudbg.Dump(memoryview(data)))
