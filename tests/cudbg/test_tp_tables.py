"""RSS, RSS_VF_CONF, PATH_MTU, CCTRL: tables of the transport processor."""

from __future__ import annotations

import pytest
from carddump import CARDS, collected
from carddump import rows as rows_of
from ramcard import RamCard
from ramdump import answers, codes, dumped, indexed, writes

from vmcoredd.chip import T5, T6, Chip
from vmcoredd.chip.layout import u16s, u32s
from vmcoredd.cudbg.decoded import Fields, Text
from vmcoredd.cudbg.entities.indirect import records
from vmcoredd.cudbg.entity import entities

# RSS

RSS_TABLE, VALID = 0x7DEC, 1 << 31  # TP_RSS_LKP_TABLE
POLLS = 5


def rss_card(late_reads: int = 0) -> RamCard:
    """Row i holds queues i and i + 1; a row becomes valid after `late_reads` reads."""
    card, left = RamCard(), 0

    def request(value: int) -> int:
        nonlocal left
        assert value & 0xFFF00000 == 0xFFF00000
        left, row = late_reads, value & 0xFFF
        return (row + 1 & 0x3FF) << 10 | row & 0x3FF

    def read(stored: int) -> int:
        nonlocal left
        left -= 1
        return stored | (VALID if left < 0 else 0)

    answers(card, RSS_TABLE, request)
    card.on_read[RSS_TABLE] = read
    return card


@pytest.mark.parametrize(("chip", "rows"), [(T5, 1024), (T6, 2048)], ids=repr)
def test_a_row_of_the_table_has_two_queues_of_ten_bits(chip: Chip, rows: int) -> None:
    entity, blob = dumped(rss_card(), chip, "RSS")
    assert u16s(blob) == tuple(queue & 0x3FF for row in range(rows) for queue in (row, row + 1))
    assert entity.counts.total == 2 * rows


def test_a_row_may_take_five_reads_to_be_valid() -> None:
    entity, blob = dumped(rss_card(POLLS - 1), T5, "RSS")
    assert (entity.counts.w32, entity.counts.r32) == (1024, POLLS * 1024)
    assert blob == dumped(rss_card(), T5, "RSS")[1]


def test_a_row_that_is_not_valid_at_the_fifth_read_ends_the_entity() -> None:
    entity, _ = dumped(rss_card(POLLS), T6, "RSS")
    assert codes(entity) == (-29, -11, 0)
    assert (entity.counts.w32, entity.counts.r32) == (1, POLLS)


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_each_port_has_a_slice_with_its_own_receive_queues(chip: Chip) -> None:
    made = collected(chip)
    table = [row[f"+{i}"] for row in made.table("RSS") for i in range(8)]
    queues = made.card.scenario.queues
    for port in range(made.card.profile.ports.count):
        slice_ = table[128 * port : 128 * (port + 1)]
        assert set(slice_) == {queue.id for queue in queues.received(port)}


# RSS_VF_CONF

REQUEST, PIO_ADDR, PIO_DATA = 0x7E00, 0x7E40, 0x7E44  # TP_RSS_CONFIG_VRT, ...
VFL, VFH = 0x3A, 0x3B
READ_RIGHT, READ_ENABLE, WRITE_ENABLE, KEY_WRITE_ENABLE = 1 << 25, 1 << 24, 1 << 5, 1 << 4
INDEX = {T5: 0x7F00, T6: 0xFF00}
VF_CONF = entities()["RSS_VF_CONF"]


@pytest.mark.parametrize(("chip", "vfs"), [(T5, 128), (T6, 256)], ids=repr)
def test_rss_vf_conf_has_two_words_for_every_function(chip: Chip, vfs: int) -> None:
    card = RamCard()
    indexed(card, PIO_ADDR, PIO_DATA, lambda i: (card.word(REQUEST) & INDEX[chip]) + i)
    entity, blob = dumped(card, chip, "RSS_VF_CONF")
    assert u32s(blob) == tuple((vf << 8) + word for vf in range(vfs) for word in (VFL, VFH))
    assert entity.counts.total == 6 * vfs


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_a_request_preserves_the_other_bits(chip: Chip) -> None:
    card = RamCard()
    others = 0x6000000F
    card.put(REQUEST, others | READ_RIGHT | WRITE_ENABLE | KEY_WRITE_ENABLE | INDEX[chip])
    requests = writes(card, REQUEST)
    dumped(card, chip, "RSS_VF_CONF")
    assert requests == [others | READ_ENABLE | vf << 8 for vf in range(chip.tp.rss_vfs)]


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_functions_hash_by_addresses_and_ports(chip: Chip) -> None:
    rows = collected(chip).table("RSS_VF_CONF", "virtual functions")
    assert [row["VF"] for row in rows] == list(range(chip.tp.rss_vfs))
    assert all(row["VFIP4FOURTUPEN"] and row["VFIP6FOURTUPEN"] for row in rows)
    assert len({row["KEYSCRAMBLE"] for row in rows}) > chip.tp.rss_vfs // 2


def explained(chip: Chip, **words: int) -> dict[str, bytes]:
    """TP_INDIRECT and REG_DUMP of the chip's card with other words."""
    area = bytearray(collected(chip).dump.raw("TP_INDIRECT"))
    ranges = [item for group in ("tp_pio", "tp_tm_pio", "tp_mib") for item in chip.indirect(group)]
    for item, record, _ in records(memoryview(area), ranges):
        for name, value in words.items():
            if item.space == "tp_pio" and (index := chip.r[name]) in item.indices:
                record.outbuf[item.indices.index(index)] = value
    registers = bytearray(collected(chip).dump.raw("REG_DUMP"))
    registers[REQUEST : REQUEST + 4] = chip.r.TP_RSS_CONFIG_VRT.of(KeyMode=2).to_bytes(4, "little")
    return {"TP_INDIRECT": bytes(area), "REG_DUMP": bytes(registers)}


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_physical_functions_are_shown_with_map_mask_and_hashes(chip: Chip) -> None:
    others = explained(
        chip,
        TP_RSS_PF_MAP=1 << 24 | 5 << 12,
        TP_RSS_PF_MSK=7 << 16,
        TP_RSS_PF4_CONFIG=1 << 31 | 1 << 28 | 1 << 27 | 1 << 25 | 3 << 20 | 11 << 10 | 10,
        TP_RSS_SECRET_KEY0=0x11111111,
        TP_RSS_SECRET_KEY9=0x99999999,
    )
    decoded = VF_CONF.decode_with(bytes(8 * chip.tp.rss_vfs), others, chip)
    row = rows_of(decoded, "physical functions")[4]
    assert list(row.values()) == [4, 5, 7, 3, "map IPv6-4 IPv4-4 UDP-4", 10, 11]
    fields = next(part for part in decoded if isinstance(part, Fields))
    shown = {item.name: item.value for item in fields.items}
    assert shown["key mode"] == "per-PF and per-VF scramble"
    assert shown["map index size"] == 1
    assert str(shown["key"]).startswith("99999999")
    assert str(shown["key"]).endswith("11111111")
    assert len(str(shown["key"])) == 80


def test_without_their_registers_physical_functions_are_said_to_be_missing() -> None:
    text, functions = VF_CONF.decode(bytes(8 * T6.tp.rss_vfs), T6)
    assert isinstance(text, Text)
    assert "not in the dump" in " ".join(text.lines)
    assert functions.title == "virtual functions"


# PATH_MTU

PATH_MTU_TABLE = 0x7DE4  # TP_MTU_TABLE


def test_a_row_is_requested_with_all_ones_above_its_number() -> None:
    card = RamCard()
    requests = writes(card, PATH_MTU_TABLE)
    entity, _ = dumped(card, T6, "PATH_MTU")
    assert requests == [0xFF000000 | row for row in range(16)]
    assert entity.counts.total == 32


def test_an_mtu_is_the_low_fourteen_bits_of_its_row() -> None:
    card = RamCard()
    answers(card, PATH_MTU_TABLE, lambda value: 0xFFFFC000 | (value & 0xFF) * 100)
    assert u16s(dumped(card, T6, "PATH_MTU")[1]) == tuple(range(0, 1600, 100))


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_a_card_has_the_mtus_that_the_driver_sets(chip: Chip) -> None:
    mtus = [row["MTU in bytes"] for row in collected(chip).table("PATH_MTU")]
    assert (mtus[0], mtus[8], mtus[-1]) == (88, 1500, 9600)
    assert mtus == sorted(mtus)


# CCTRL

CCTRL_TABLE = 0x7DDC  # TP_CCTRL_TABLE


def test_rows_are_requested_by_mtu_and_window() -> None:
    card = RamCard()
    requests = writes(card, CCTRL_TABLE)
    entity, _ = dumped(card, T5, "CCTRL")
    assert requests == [0xFFFF0000 | mtu << 5 | window for mtu in range(16) for window in range(32)]
    assert entity.counts.total == 1024


def test_an_increment_is_the_low_thirteen_bits_of_its_row() -> None:
    card = RamCard()
    answers(card, CCTRL_TABLE, lambda value: 0xFFFFE000 | value & 0x1FF)
    assert u16s(dumped(card, T5, "CCTRL")[1]) == tuple(range(512))


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_a_larger_mtu_has_a_larger_increment(chip: Chip) -> None:
    rows = collected(chip).table("CCTRL")
    assert [row["window"] for row in rows] == list(range(32))
    assert all(row["MTU 0"] <= row["MTU 15"] for row in rows)
    assert rows[0]["MTU 8"] == (1500 - 40) // 2  # alpha 1, two packets on average


def test_the_half_of_a_t6s_table_that_older_kernels_read_is_shown() -> None:
    raw = collected(T6).dump.raw("RSS")
    (half,) = entities()["RSS"].decode(raw[:4096], T6)
    assert half.title == "queue ids; the driver did not read the last 2,048"
    assert half.json()["rows"] == collected(T6).table("RSS")[:256]
