"""MPS: the table of MAC addresses as the driver reads it, and the counters of the ports."""

from __future__ import annotations

from functools import cache

import pytest

from vmcoredd import emu
from vmcoredd.chip import T5, T6, Chip

CARDS = {T5: "t520-cr", T6: "t62100-cr"}
CHIPS = pytest.mark.parametrize("chip", CARDS, ids=repr)
BITS = 0xFFFF_FFFF_FFFF


@cache
def seen(chip: Chip) -> emu.Card:
    return emu.Card.load(CARDS[chip], 2, strict=True)


def t5_entry(card: emu.Card, index: int) -> tuple[int, int]:
    """Returns Y and X."""
    return card.read(0xF000 + 16 * index, 8), card.read(0xF008 + 16 * index, 8)


def t6_entry(card: emu.Card, index: int, requester: int = 1) -> tuple[int, int]:
    r = T6.r
    found = []
    for bit in (0, 1):
        tcam, row = divmod(index, 256)
        control = r.MPS_CLS_TCAM_DATA2_CTL.of(
            CtlReqID=requester, CtlTcamSel=tcam, CtlTcamIndex=row, CtlXYBitSel=bit
        )
        card.write(r.MPS_CLS_TCAM_DATA2_CTL, control)
        high = card.read(r[f"MPS_CLS_TCAM_RDATA1_REQ_ID{requester}"]) & 0xFFFF
        found.append(high << 32 | card.read(r[f"MPS_CLS_TCAM_RDATA0_REQ_ID{requester}"]))
    return found[0], found[1]


def entry(card: emu.Card, index: int) -> tuple[int, int]:
    return (t5_entry if card.chip is T5 else t6_entry)(card, index)


@CHIPS
def test_an_entry_matches_only_its_address(chip: Chip) -> None:
    card = seen(chip)
    for mac in card.scenario.mac_table.entries:
        y, x = entry(card, mac.index)
        assert y == int.from_bytes(mac.address, "big")
        assert x == y ^ BITS


@CHIPS
@pytest.mark.parametrize("index", [100, 256, 511])
def test_an_unused_entry_matches_nothing(chip: Chip, index: int) -> None:
    y, x = entry(seen(chip), index)
    assert y & x


def test_each_requester_of_a_t6_has_its_own_data_words() -> None:
    card = emu.Card.load("t62100-cr", 2, strict=True)
    mine = t6_entry(card, 0, requester=1)
    assert t6_entry(card, 1, requester=0) != mine
    assert card.read(T6.r.MPS_CLS_TCAM_RDATA0_REQ_ID1) == mine[1] & 0xFFFFFFFF


@CHIPS
def test_port_addresses_follow_firmwares_own_and_belong_to_pf4(chip: Chip) -> None:
    card = seen(chip)
    for port in range(2):
        mac = card.scenario.mac_table.entries[port + 1]
        assert (mac.index, mac.address) == (port + 1, card.scenario.identity.mac(port))
        action = chip.r.MPS_CLS_SRAM_L.decode(card.read(chip.r.MPS_CLS_SRAM_L[mac.index]))
        assert (action["Valid"], action["PF"], action["VF_Valid"]) == (1, 4, 0)
        assert card.read(chip.r.MPS_CLS_SRAM_H[mac.index]) & 0xF == 1 << port


@CHIPS
def test_a_command_fetches_the_replication_map_of_an_entry(chip: Chip) -> None:
    card = emu.Card.load(CARDS[chip], 2, strict=True)
    control = chip.r.MPS_RPLC_MAP_CTL
    for mac in card.scenario.mac_table.entries:
        card.write(control, control.of(RD_WRN=1, ADDR=mac.index))
        words = [card.read(chip.r.MPS_VF_RPLCT_MAP0 + 4 * i) for i in range(4)]
        bits = sum(word << 32 * i for i, word in enumerate(words))
        assert bits == sum(1 << vf for vf in mac.vfs)


def test_a_t6_reads_0_where_only_a_t5_has_maps() -> None:
    card = seen(T6)
    assert [card.read(T6.r[f"T5_MPS_VF_RPLCT_MAP{i}"]) for i in (2, 3)] == [0, 0]


@CHIPS
def test_no_address_has_two_entries(chip: Chip) -> None:
    addresses = [mac.address for mac in seen(chip).scenario.mac_table.entries]
    assert len(addresses) == len(set(addresses))


@CHIPS
def test_each_port_counts_every_frame_once(chip: Chip) -> None:
    card, r = seen(chip), chip.r
    for port in range(card.profile.ports.count):

        def count(name: str, port: int = port) -> int:
            low, high = (r[f"MPS_PORT_STAT_RX_PORT_{name}_{end}"][port] for end in "LH")
            return card.read(low) | card.read(high) << 32

        sizes = ("64B", "65B_127B", "128B_255B", "256B_511B", "512B_1023B")
        sizes += ("1024B_1518B", "1519B_MAX")
        assert sum(count(size) for size in sizes) == count("FRAMES") > 0
        assert sum(count(kind) for kind in ("UCAST", "MCAST", "BCAST")) == count("FRAMES")


@pytest.mark.parametrize(("name", "logarithm"), [("t520-cr", 1), ("t540-cr", 2), ("t62100-cr", 1)])
def test_a_register_holds_the_number_of_ports(name: str, logarithm: int) -> None:
    card = emu.Card.load(name)
    ctl = card.chip.r.MPS_CMN_CTL
    assert ctl.get(card.read(ctl), "NumPorts") == logarithm
