"""TID_INFO, collected from emulated cards whose connections are known."""

from __future__ import annotations

import struct
from functools import cache

import pytest
from carddump import CARDS, CardDump, collect

from vmcoredd import emu
from vmcoredd.chip import T6, Chip
from vmcoredd.cudbg.entity import entities
from vmcoredd.cudbg.errors import UnknownFormat

CHIPS = pytest.mark.parametrize("chip", CARDS, ids=repr)
ENTITY = entities()["TID_INFO"]
FLAGS, CONFIG, IPV4, IPV6 = 0x40, 0x44, 0x48, 0x4C


@cache
def dumped(chip: Chip, *, hashing: bool = False) -> tuple[emu.Card, CardDump]:
    card = emu.Card.load(CARDS[chip], 7, tables={"hash_filters": hashing}, strict=True)
    return card, collect(card, entities=("TID_INFO",))


def word(found: CardDump, offset: int) -> int:
    (value,) = struct.unpack_from("<I", found.dump.raw("TID_INFO"), offset)
    return int(value)


@CHIPS
@pytest.mark.parametrize("hashing", [False, True])
def test_tid_info_counts_the_connections_that_le_tcam_shows(chip: Chip, hashing: bool) -> None:
    card, found = dumped(chip, hashing=hashing)
    connections = card.scenario.tid_table.connections
    ipv6 = sum(1 for connection in connections if connection.is_ipv6)
    assert word(found, IPV4) == len(connections) - ipv6
    assert word(found, IPV6) == ipv6
    assert word(found, CONFIG) >> 20 & 1 == hashing
    assert found.entity("TID_INFO").counts.total == 3


@CHIPS
def test_ranges_that_only_the_firmware_knows_are_zero(chip: Chip) -> None:
    _, found = dumped(chip)
    raw = found.dump.raw("TID_INFO")
    assert raw[:8] == bytes.fromhex("01b0edcc 0100 9400")
    assert not any(raw[8:FLAGS])
    assert word(found, FLAGS) == 2
    assert not any(raw[0x50:])


@CHIPS
def test_the_configuration_is_shown_bit_by_bit(chip: Chip) -> None:
    _, found = dumped(chip, hashing=True)
    shown = {item.name: item.value for part in found.dump.decode("TID_INFO") for item in part.items}
    assert shown["HASHEN"] == 1
    assert shown["ip_users"] + shown["ipv6_users"] == 24


def test_another_revision_is_refused() -> None:
    blob = bytes.fromhex("01b0edcc 0200 9400") + bytes(148)
    with pytest.raises(UnknownFormat, match="TID_INFO: revision 2, known is 1"):
        ENTITY.decode(blob, T6)
