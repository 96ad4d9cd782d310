"""MPS_TCAM, collected from emulated cards whose MAC addresses are known."""

from __future__ import annotations

from functools import cache

import pytest
from carddump import CARDS, CardDump, collect

from vmcoredd import emu
from vmcoredd.chip import T5, T6, Chip
from vmcoredd.cudbg.entities.mps_tcam import Record
from vmcoredd.emu.silicon.mps import RequestedTcam

CHIPS = pytest.mark.parametrize("chip", CARDS, ids=repr)
SIZE = 88
ENTRIES = 512


def card_of(chip: Chip) -> emu.Card:
    return emu.Card.load(CARDS[chip], 4, strict=True)


def dumped(card: emu.Card) -> CardDump:
    return collect(card, entities=("MPS_TCAM",))


@cache
def seen(chip: Chip) -> tuple[emu.Card, CardDump]:
    """Returns a card and its dump, for tests that only read them."""
    card = card_of(chip)
    return card, dumped(card)


def records(found: CardDump) -> list[Record]:
    blob = found.dump.raw("MPS_TCAM")
    return [Record.from_bytes(blob[at : at + SIZE]) for at in range(0, len(blob), SIZE)]


def rows(found: CardDump) -> dict[int, dict[str, object]]:
    table = next(p for p in found.dump.decode("MPS_TCAM") if p.title == "MAC addresses")
    return {row["entry"]: row for row in table.json()["rows"]}


@CHIPS
def test_every_address_is_found_in_its_entry(chip: Chip) -> None:
    card, dump = seen(chip)
    macs, found = card.scenario.mac_table.entries, rows(dump)
    assert len(found) == len(macs)
    for mac in macs:
        row = found[mac.index]
        assert row["address"] == mac.address.hex(":")
        assert row["mask"] == 0xFFFF_FFFF_FFFF
        assert (row["ports"], row["PF"], row["VF"]) == (mac.ports, mac.pf, mac.vf)
        assert row["valid"] is True


@CHIPS
def test_mps_tcam_makes_the_kernels_accesses(chip: Chip) -> None:
    card, dump = seen(chip)
    macs, counts = card.scenario.mac_table.entries, dump.entity("MPS_TCAM").counts
    replicating = sum(1 for mac in macs if mac.vfs)
    tcam = 2 * ENTRIES if chip is T5 else 8 * ENTRIES
    assert replicating == 2
    assert counts.total == tcam + 2 * len(macs) + 8 * replicating


@CHIPS
def test_an_unused_entry_leaves_its_record_empty(chip: Chip) -> None:
    card, dump = seen(chip)
    used = {mac.index for mac in card.scenario.mac_table.entries}
    for index, record in enumerate(records(dump)):
        assert bool(record.rplc_size) == (index in used)
        assert any(bytes(record)) == (index in used)


def test_a_t5_shows_which_functions_get_copies() -> None:
    card, dump = seen(T5)
    found = rows(dump)
    groups = [mac for mac in card.scenario.mac_table.entries if mac.vfs]
    assert groups[0].vfs == (0, 1, 16, 17, 32, 33, 48, 49)
    for mac in groups:
        assert found[mac.index]["replicated to VFs"] == "0-1 16-17 32-33 48-49"


def test_on_a_t6_the_lower_words_are_read_where_a_t5_has_them() -> None:
    card, dump = seen(T6)
    group = next(mac for mac in card.scenario.mac_table.entries if mac.vfs)
    assert group.vfs == (0, 1, 32, 33, 64, 65, 96, 97)
    assert list(records(dump)[group.index].rplc) == [3, 3, 0, 0, 0, 0, 0, 0]


def test_a_t6_distinguishes_addresses_inside_a_tunnel() -> None:
    card, dump = seen(T6)
    inside = next(mac for mac in card.scenario.mac_table.entries if mac.vni is not None)
    row = rows(dump)[inside.index]
    assert row["lookup"] == "inner"
    assert row["VNI"] == inside.vni
    assert row["VNI mask"] == inside.vni ^ 0xFFFFFF


def test_a_t6_stores_the_lookup_of_unused_entries_too() -> None:
    card = card_of(T6)
    inside = next(mac for mac in card.scenario.mac_table.entries if mac.vni is not None)
    table = card.model(RequestedTcam).table
    table.words[3 * (2 * inside.index + 1)] = 0xFFFFFFFF  # X now shares a bit with Y
    record = records(dumped(card))[inside.index]
    assert record.vniy == inside.vni
    assert (record.rplc_size, record.mask, record.cls_lo) == (0, 0, 0)


def test_a_t6s_control_register_is_left_at_the_last_entry() -> None:
    card, _ = seen(T6)
    control = T6.r.MPS_CLS_TCAM_DATA2_CTL
    last = control.of(CtlReqID=1, CtlTcamSel=1, CtlTcamIndex=255, CtlXYBitSel=1)
    assert card.read(control) == last
