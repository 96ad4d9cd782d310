"""EDC0, EDC1, MC0, MC1, HMA: the whole memories, and their regions."""

from __future__ import annotations

import errno

import pytest
from carddump import CARDS, CardDump, collect, collected, rows, small
from ramcard import RamCard
from ramdump import codes

from vmcoredd import cudbg
from vmcoredd.chip import T5, T6, Chip
from vmcoredd.chip.memory import REGIONS
from vmcoredd.cudbg.container import PIECE_BYTES
from vmcoredd.cudbg.decoded import Hexdump
from vmcoredd.cudbg.entities.meminfo import meminfo_of
from vmcoredd.cudbg.entity import entities
from vmcoredd.cudbg.errors import DumpFormatError
from vmcoredd.cudbg.memory_map import Extent, Meminfo
from vmcoredd.cudbg.tcb_table import tcb_table

# Contents

WINDOW_BASE, WINDOW_OFFSET, WINDOW = 0x3068, 0x306C, 0x1B800
MIB = 1 << 20
NAMES = ("EDC0", "EDC1", "MC0", "MC1", "HMA")


class Card(RamCard):
    """EDC0 and EDC1 of 1 MiB, MC0 of 2, MC1 or HMA of 1; each 8 bytes hold their own address."""

    def __init__(self, chip: Chip, **words: int) -> None:
        super().__init__()
        regions = {"TP_PMM_TX_BASE": 0x7FFFFFFF, "TP_PMM_RX_BASE": 0x7FFFFFFF}
        enable = 0b10111 if chip is T5 else 0b100111
        memories = {
            "MA_TARGET_MEM_ENABLE": enable,
            "MA_EDRAM0_BAR": 1,
            "MA_EDRAM1_BAR": 1 << 16 | 1,
            "MA_EXT_MEMORY0_BAR": 2 << 16 | 2,
            "MA_EXT_MEMORY1_BAR": 4 << 16 | 1,
        }
        for name, value in {**regions, **memories, **words}.items():
            self.put(chip.r[name], value)
        self.put(WINDOW_BASE, WINDOW >> 10 << 10 | 1)
        self.on_write[WINDOW_OFFSET] = self._move

    def _move(self, offset: int) -> None:
        base = offset & ~0x7FF
        for at in range(0, 2048, 8):
            word = (base + at).to_bytes(8, "little")
            self.memory[WINDOW + at : WINDOW + at + 8] = word


def dumped(
    card: Card, chip: Chip, *names: str, room: int = 8 * MIB
) -> tuple[cudbg.Report, cudbg.Dump]:
    buffer = bytearray(room)
    report = cudbg.collect(
        card.io(), cudbg.Device(chip, 0), memoryview(buffer), compress="none", entities=names
    )
    return report, cudbg.Dump(buffer)


def pattern(start: int, size: int) -> bytes:
    return b"".join(at.to_bytes(8, "little") for at in range(start, start + size, 8))


@pytest.mark.parametrize(
    ("chip", "name", "start", "size"),
    [
        (T6, "EDC0", 0, MIB),
        (T6, "EDC1", MIB, MIB),
        (T6, "MC0", 2 * MIB, 2 * MIB),
        (T6, "HMA", 2 * MIB, MIB),  # has the same window addresses as MC
        (T5, "MC0", 2 * MIB, 2 * MIB),
        (T5, "MC1", 4 * MIB, MIB),
    ],
)
def test_memory_is_read_where_the_window_shows_it(
    chip: Chip, name: str, start: int, size: int
) -> None:
    _, dump = dumped(Card(chip), chip, name)
    assert dump.raw(name) == pattern(start, size)


@pytest.mark.parametrize(("chip", "name"), [(T6, "MC1"), (T5, "HMA")])
def test_memory_the_chip_cannot_have_is_not_found(chip: Chip, name: str) -> None:
    report, _ = dumped(Card(chip), chip, name)
    assert codes(report.entities[0]) == (-29, -24, 0)


def test_memory_of_a_mib_takes_the_kernels_accesses() -> None:
    report, _ = dumped(Card(T6), T6, "EDC0")
    counts = report.entities[0].counts
    pieces, moves = 17, 528 + 1  # the last piece ends with the window, so it moves once more
    meminfo = 3 * (62 + 1)  # for the size and both payloads; HMA is one more
    assert (counts.r64, counts.w32) == (MIB // 8, moves)
    assert counts.r32 == meminfo + 2 * pieces + moves


def test_memory_within_the_payload_is_not_read_and_stays_zero() -> None:
    card = Card(
        T6,
        TP_PMM_TX_BASE=2 * MIB + 100,
        TP_PMM_TX_PAGE_SIZE=PIECE_BYTES,
        TP_PMM_TX_MAX_PAGE=5,
    )
    report, dump = dumped(card, T6, "MC0")
    raw = dump.raw("MC0")
    first, end = PIECE_BYTES, 5 * PIECE_BYTES
    assert not any(raw[first:end])
    assert raw[:first] == pattern(2 * MIB, first)
    assert raw[end:] == pattern(2 * MIB + end, 2 * MIB - end)
    assert report.entities[0].counts.r64 == (2 * MIB - 4 * PIECE_BYTES) // 8


def test_memory_is_skipped_entirely_if_the_payload_registers_are_zero() -> None:
    zero = {"TP_PMM_TX_BASE": 0, "TP_PMM_RX_BASE": 0}
    report, dump = dumped(Card(T6, **zero), T6, "EDC1")
    assert not any(dump.raw("EDC1"))
    assert report.entities[0].counts.r64 == 0


def test_memory_that_does_not_fit_is_dropped_and_the_next_is_tried() -> None:
    report, dump = dumped(Card(T6), T6, "EDC0", "MC0", "HMA", room=3800 + MIB + MIB)
    edc0, mc0, hma = report.entities
    assert (edc0.code, codes(mc0), hma.code) == (0, (-19, 0, 0), 0)
    assert mc0.counts.r64 == MIB // PIECE_BYTES * PIECE_BYTES // 8
    assert dump.raw("HMA") == pattern(2 * MIB, MIB)


def test_memory_behind_an_unusable_window_is_a_system_error() -> None:
    card = Card(T6)
    card.put(WINDOW_BASE, 0xFFFFFFFF)
    report, _ = dumped(card, T6, "EDC0")
    assert codes(report.entities[0]) == (-29, -errno.ENXIO, 0)


def test_memory_whose_window_disappears_is_a_system_error() -> None:
    card = Card(T6)
    reads = iter([card.word(WINDOW_BASE)] * 5)
    card.on_read[WINDOW_BASE] = lambda value: next(reads, 0xFFFFFFFF)
    report, _ = dumped(card, T6, "EDC0")
    assert codes(report.entities[0]) == (-29, -errno.ENXIO, 0)


def test_memory_has_many_pieces_in_flight_and_few_waits() -> None:
    card = Card(T6)
    dumped(card, T6, "EDC0")
    assert card.log.count(("r", WINDOW, 2048)) > 480
    assert not [entry for entry in card.log if entry[0] == "r" and entry[2] > 2048]


def test_memory_decodes_to_its_extent_and_its_bytes() -> None:
    _, dump = dumped(Card(T6), T6, "EDC0")
    memory = next(part for part in dump.decode("EDC0") if isinstance(part, Hexdump))
    assert len(memory.data) == MIB
    assert bytes(memory.data[8:16]) == (8).to_bytes(8, "little")


# Regions

MEMORIES_AT, REGIONS_AT = 8 + 0x174, 8 + 0x178
"""The offsets of MEMINFO's counts."""


def shown(made: CardDump, name: str) -> Hexdump:
    memory = made.dump.decode(name).parts[0]
    assert isinstance(memory, Hexdump)
    return memory


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_a_region_is_where_the_card_has_it(chip: Chip) -> None:
    made = collected(chip)
    regions = {region.name: region for region in shown(made, "MC0").regions}
    start = made.card.memories["mc0"].base
    for name in ("TCBs", "Pstructs", "PBL region"):
        expected = made.card.scenario.memory_map[name]
        assert regions[name].start == expected.base - start
        assert regions[name].end == expected.base - start + expected.size


@pytest.mark.parametrize("chip", CARDS, ids=repr)
@pytest.mark.parametrize("name", ["EDC0", "EDC1", "MC0"])
def test_the_whole_memory_comes_first_and_contains_every_region(chip: Chip, name: str) -> None:
    memory = shown(collected(chip), name)
    whole, *regions = memory.regions
    assert (whole.name, whole.start, whole.end) == (name, 0, len(memory.data))
    assert all(0 <= region.start < region.end <= whole.end for region in regions)
    assert [region.start for region in regions] == sorted(region.start for region in regions)


def test_the_processors_own_memory_is_named() -> None:
    names = [region.name for region in shown(collected(T6), "EDC1").regions]
    assert {"processor RAM", "processor external memory"} <= set(names)


def test_without_meminfo_a_memory_is_one_region() -> None:
    made = collect(small(T6), entities=("EDC0",))
    assert [region.name for region in shown(made, "EDC0").regions] == ["EDC0"]


@pytest.mark.parametrize("at", [MEMORIES_AT, REGIONS_AT])
def test_an_impossible_map_is_refused_and_the_memory_is_shown_without_it(at: int) -> None:
    blob = bytearray(collected(T6).dump.raw("MEMINFO"))
    blob[at] = 200
    with pytest.raises(DumpFormatError, match="MEMINFO: "):
        meminfo_of(bytes(blob))
    (memory,) = entities()["EDC0"].decode_with(bytes(4096), {"MEMINFO": bytes(blob)}, T6)
    assert [region.name for region in memory.regions] == ["EDC0"]


# TCBs


@pytest.mark.parametrize("chip", CARDS, ids=repr)
def test_connections_and_filters_are_found_by_their_tid_in_the_memory_that_holds_them(
    chip: Chip,
) -> None:
    made = collected(chip)
    region, tables = made.card.scenario.memory_map["TCBs"], made.card.scenario.tid_table
    shown = {row["TID"]: row for row in rows(made.dump.decode("MC0"), "TCBs by TID")}
    for connection in tables.connections:
        row = shown[connection.tid]
        assert (row["kind"], row["state"]) == ("connection", connection.state.name)
        assert row["address"] == region.base + 128 * connection.tid
        assert row["fields"].get("l2t_ix", 0) == connection.port
    for item in tables.filters:
        row = shown[item.tid]
        assert (row["kind"], row["state"]) == ("filter", "")
        counts = row["fields"].get("packet_count", 0), row["fields"].get("byte_count", 0)
        assert counts == (item.packets, item.octets)
    assert len(shown) == len(tables.connections) + len(tables.filters)


def test_the_table_of_tcbs_names_memory_region_and_address() -> None:
    made = collected(T6)
    table = made.dump.decode("MC0").parts[1]
    base = made.card.scenario.memory_map["TCBs"].base
    assert table.title == f"TCBs by TID, decoded from MC0: region TCBs at address {base:#x}"
    assert [part.title for part in made.dump.decode("EDC0")] == ["EDC0"]


def memory_map(tcbs: int, memory: int = 4096) -> tuple[Meminfo, Extent]:
    """A memory of 4096 bytes, and the region of TCBs at `tcbs`, which extends to 8192."""
    info, idx = Meminfo(mem_c=2), [region.name for region in REGIONS].index("TCBs")
    info.mem[0].base, info.mem[0].limit, info.mem[0].idx = tcbs, 8191, idx
    info.mem[1].base, info.mem[1].idx = 8192, len(REGIONS)
    return info, Extent(base=memory, limit=memory + 4096)


@pytest.mark.parametrize(
    ("tcbs", "first"), [(4096, 0), (4096 + 128, 0), (4096 - 256, 2), (4096 - 200, 2)]
)
def test_tids_are_counted_from_the_regions_start_even_in_another_memory(
    tcbs: int, first: int
) -> None:
    info, extent = memory_map(tcbs)
    table = tcb_table("MC0", info, extent, b"\1" * 4096)
    assert table is not None
    shown = [list(row)[:2] for row in table.rows]
    assert shown[0] == [first, tcbs + 128 * first]
    assert all(tid == first + i for i, (tid, _) in enumerate(shown))
    assert shown[-1][1] + 128 <= 8192 < shown[-1][1] + 256


def test_a_memory_without_the_region_and_one_that_is_cut_have_no_tcbs() -> None:
    info, extent = memory_map(4096, memory=16384)
    assert tcb_table("MC0", info, extent, bytes(4096)) is None
    info, extent = memory_map(4096 + 2048)
    assert tcb_table("MC0", info, extent, bytes(2048)) is None
    cut = tcb_table("MC0", info, extent, b"\1" * (2048 + 200))
    assert cut is not None
    assert len(list(cut.rows)) == 1
