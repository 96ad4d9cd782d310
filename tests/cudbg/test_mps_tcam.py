"""MPS_TCAM, collected from emulated cards whose MAC addresses are known."""

from __future__ import annotations

from functools import cache

import pytest
from carddump import CARDS, CardDump, collect

from vmcoredd import emu
from vmcoredd.chip import T5, T6, Chip
from vmcoredd.cudbg.decoded import Decoded, Table, Text
from vmcoredd.cudbg.driver_state import TidLayout
from vmcoredd.cudbg.entities.mps_tcam import Record
from vmcoredd.cudbg.entity import entities
from vmcoredd.emu.silicon.mps import Tcam
from vmcoredd.hw.device import AdapterFlag

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
        assert found[mac.index]["replicated to VFs"] == "0-1 16-17 32-33 48-49 (?)"


def test_on_a_t6_the_lower_words_are_read_where_a_t5_has_them() -> None:
    card, dump = seen(T6)
    group = next(mac for mac in card.scenario.mac_table.entries if mac.vfs)
    assert group.vfs == (0, 1, 32, 33, 64, 65, 96, 97)
    assert list(records(dump)[group.index].rplc) == [3, 3, 0, 0, 0, 0, 0, 0]
    assert rows(dump)[group.index]["replicated to VFs"] == "64-65 96-97 (?)"


def caveats(decoded: Decoded) -> str:
    return " ".join(line for part in decoded if isinstance(part, Text) for line in part.lines)


def test_what_a_driver_without_firmware_cannot_know_of_replication_is_said() -> None:
    for chip, lacking in ((T6, True), (T5, False)):
        dump = collect(card_of(chip), entities=("MPS_TCAM", "TID_INFO")).dump
        said = caveats(dump.decode("MPS_TCAM"))
        assert said.startswith("(?) The driver read the map of replication without selecting")
        assert ("VFs 0 to 63 are not in the dump" in said) == lacking


def with_tid_info(chip: Chip, **values: int) -> tuple[set[str], str]:
    """Returns the maps and the caveats that are shown beside such a TID_INFO."""
    others = {"TID_INFO": bytes(TidLayout(flags=AdapterFlag.FW_OK, **values))}
    decoded = entities()["MPS_TCAM"].decode_with(seen(chip)[1].dump.raw("MPS_TCAM"), others, chip)
    table = next(part for part in decoded if part.title == "MAC addresses")
    maps = {row["replicated to VFs"] for row in table.json()["rows"]}
    return maps, caveats(decoded)


def test_a_map_that_the_firmware_returned_begins_with_function_0() -> None:
    maps, said = with_tid_info(T6, nuotids=1)
    assert maps == {"", "0-1 32-33"}
    assert "maps are taken for its answers" in said
    assert "Where it refused one, the driver read registers instead" in said


def test_the_back_door_shows_itself_even_if_the_firmware_is_alive() -> None:
    maps, said = with_tid_info(T6)  # use_backdoor: what is asked for each dump is 0
    assert maps == {"", "64-65 96-97 (?)"}
    assert said.startswith("(?) The driver read the map of replication without selecting an entry")


def test_a_lookup_of_either_header_is_shown_as_debugfs_shows_it() -> None:
    raw = bytearray(seen(T6)[1].dump.raw("MPS_TCAM"))
    first = next(i for i, record in enumerate(records(seen(T6)[1])) if record.rplc_size)
    record = Record.from_buffer(raw, first * SIZE)
    record.lookup_type = 3
    table = next(p for p in entities()["MPS_TCAM"].decode(bytes(raw), T6) if isinstance(p, Table))
    row = next(iter(table.json()["rows"]))
    assert (row["lookup"], row["VNI"]) == ("inner", None)


def test_a_t6_distinguishes_addresses_inside_a_tunnel() -> None:
    card, dump = seen(T6)
    inside = next(mac for mac in card.scenario.mac_table.entries if mac.vni is not None)
    row = rows(dump)[inside.index]
    assert row["lookup"] == "inner"
    assert row["VNI"] == inside.vni
    assert row["VNI mask"] == 0xFFFFFF


def test_a_t6_stores_the_lookup_of_unused_entries_too() -> None:
    card = card_of(T6)
    inside = next(mac for mac in card.scenario.mac_table.entries if mac.vni is not None)
    table = card.model(Tcam).table
    table.words[3 * (2 * inside.index + 1)] = 0xFFFFFFFF  # X now shares a bit with Y
    record = records(dumped(card))[inside.index]
    assert record.vniy == inside.vni
    assert (record.rplc_size, record.mask, record.cls_lo) == (0, 0, 0)


def test_a_t6s_control_register_is_left_at_the_last_entry() -> None:
    card, _ = seen(T6)
    control = T6.r.MPS_CLS_TCAM_DATA2_CTL
    last = control.of(CtlReqID=1, CtlTcamSel=1, CtlTcamIndex=255, CtlXYBitSel=1)
    assert card.read(control) == last
