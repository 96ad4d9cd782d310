"""RSS_VF_CONF: two words for each virtual function, fetched into registers of TP_PIO."""

from __future__ import annotations

import pytest
from carddump import CARDS, collected
from ramcard import RamCard
from ramdump import dumped, index_port, writes

from vmcoredd.chip import T5, T6, Chip
from vmcoredd.chip.layout import u32s

REQUEST, PIO_ADDR, PIO_DATA = 0x7E00, 0x7E40, 0x7E44  # TP_RSS_CONFIG_VRT, ...
VFL, VFH = 0x3A, 0x3B
READ_RIGHT, READ_ENABLE, WRITE_ENABLE, KEY_WRITE_ENABLE = 1 << 25, 1 << 24, 1 << 5, 1 << 4
INDEX = {T5: 0x7F00, T6: 0xFF00}


@pytest.mark.parametrize(("chip", "vfs"), [(T5, 128), (T6, 256)], ids=repr)
def test_every_function_is_asked_for_its_two_words(chip: Chip, vfs: int) -> None:
    card = RamCard()
    index_port(card, PIO_ADDR, PIO_DATA, lambda i: (card.word(REQUEST) & INDEX[chip]) + i)
    entity, blob = dumped(card, chip, "RSS_VF_CONF")
    assert u32s(blob) == tuple((vf << 8) + word for vf in range(vfs) for word in (VFL, VFH))
    assert entity.counts.total == 6 * vfs


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_a_request_reads_and_keeps_what_is_no_request(chip: Chip) -> None:
    card = RamCard()
    others = 0x6000000F
    card.put(REQUEST, others | READ_RIGHT | WRITE_ENABLE | KEY_WRITE_ENABLE | INDEX[chip])
    requests = writes(card, REQUEST)
    dumped(card, chip, "RSS_VF_CONF")
    assert requests == [others | READ_ENABLE | vf << 8 for vf in range(chip.tp.rss_vfs)]


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_functions_hash_by_addresses_and_ports(chip: Chip) -> None:
    rows = collected(chip).table("RSS_VF_CONF")
    assert [row["VF"] for row in rows] == list(range(chip.tp.rss_vfs))
    assert all(row["VFIP4FOURTUPEN"] and row["VFIP6FOURTUPEN"] for row in rows)
    assert len({row["KEYSCRAMBLE"] for row in rows}) > chip.tp.rss_vfs // 2
