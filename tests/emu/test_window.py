"""Memory windows and adapter memory: access, moves, mapping, and missing memory."""

from __future__ import annotations

import errno
import mmap
import os

import pytest

from vmcoredd.chip.memory import MEMWIN0
from vmcoredd.emu import AccessError, Card, ModelError
from vmcoredd.emu.access_log import LogKind

BASE, SIZE = MEMWIN0.base, MEMWIN0.aperture
PF = 4


@pytest.fixture
def card(strict_card: Card) -> Card:
    return strict_card


def move(card: Card, address: int) -> None:
    card.write(card.chip.r.PCIE_MEM_ACCESS_OFFSET, address | PF)


def test_window_0_is_where_drivers_expect_it(card: Card) -> None:
    assert card.read(card.chip.r.PCIE_MEM_ACCESS_BASE_WIN) == 0x0001B801


def test_the_window_shows_memory_at_its_offset(card: Card) -> None:
    move(card, 0x12000)
    assert card.bar_read(0, BASE, SIZE) == card.memories.read(0x12000, SIZE)
    assert card.read(BASE + 8, 8) == int.from_bytes(card.memories.read(0x12008, 8), "little")


def test_the_function_number_does_not_move_the_window(card: Card) -> None:
    card.memories.write(0x12000, b"abcd")
    move(card, 0x12000)
    assert card.bar_read(0, BASE, 4) == b"abcd"


def test_writes_through_the_window_reach_memory(card: Card) -> None:
    move(card, 0x200000)
    card.bar_write(0, BASE + 16, b"01234567")
    assert card.memories.read(0x200010, 8) == b"01234567"


def test_the_window_continues_from_one_memory_into_the_next(card: Card) -> None:
    card.memories.write(0x1FFFFC, b"abcdefgh")
    move(card, 0x1FF800)
    assert card.bar_read(0, BASE + SIZE - 4, 4) == b"abcd"
    assert card.memories.read(0x1FFFFC, 8) == b"abcdefgh"


def test_a_window_over_no_memory_is_a_guest_error(card: Card) -> None:
    move(card, card.memories.end)
    with pytest.raises(AccessError) as caught:
        card.read(BASE)
    assert caught.value.errno == errno.EFAULT
    assert card.access_log.totals == {LogKind.GUEST_MEMORY: 1}


def test_a_run_can_cross_from_registers_into_the_window_and_out_again() -> None:
    card = Card.load("t62100-cr")
    card.memories.write(0, b"first")
    card.memories.write(SIZE - 4, b"last")
    move(card, 0)
    seen = card.bar_read(0, BASE - 8, SIZE + 16)
    assert (seen[8:13], seen[SIZE + 4 : SIZE + 8]) == (b"first", b"last")


def test_another_window_can_be_placed_and_moved(card: Card) -> None:
    r = card.chip.r
    card.memories.write(0x300000, b"hereitis")
    card.write(r.PCIE_MEM_ACCESS_BASE_WIN[3], 0x28000 | 5)
    card.write(r.PCIE_MEM_ACCESS_OFFSET[3], 0x300000 | PF)
    assert card.bar_read(0, 0x28000, 8) == b"hereitis"
    assert card.bar_read(0, 0x28000, 0x8000) == card.memories.read(0x300000, 0x8000)


def test_words_under_a_window_return_when_it_moves_away(card: Card) -> None:
    r = card.chip.r
    before = card.core.bar0.kinds[:]
    card.write(r.PCIE_MEM_ACCESS_BASE_WIN[3], 0x28000 | 5)
    card.write(r.PCIE_MEM_ACCESS_BASE_WIN[3], 0)
    assert card.core.bar0.kinds == before


def test_a_window_that_does_not_fit_is_ignored(card: Card) -> None:
    r = card.chip.r
    before = card.core.bar0.kinds[:]
    for base in (0x7FC00 | 5, 0xFFFFFFFF, 0x28000 | 0xFF):
        card.write(r.PCIE_MEM_ACCESS_BASE_WIN[3], base)
        assert card.core.bar0.kinds == before


def test_without_a_window_base_there_is_no_window() -> None:
    card = Card.load("t520-cr", faults=["window-unusable"])
    assert card.read(card.chip.r.PCIE_MEM_ACCESS_BASE_WIN) == 0xFFFFFFFF
    card.memories.write(0, b"abcd")
    assert card.bar_read(0, BASE, 4) == bytes(4)


def test_memories_are_contiguous() -> None:
    card = Card.load("t580-mc1")
    found = [(m.name, m.base >> 20, m.size >> 20) for m in card.memories]
    assert found == [("edc0", 0, 2), ("edc1", 2, 2), ("mc0", 4, 4), ("mc1", 8, 4)]


def test_host_memory_replaces_mc() -> None:
    card = Card.load("t6225-so-cr")
    assert (card.memories["hma"].base, "mc0" in card.memories) == (4 << 20, False)


def test_registers_hold_the_addresses_of_the_memories(card: Card) -> None:
    r = card.chip.r
    assert card.read(r.MA_TARGET_MEM_ENABLE) == 0b111
    assert card.read(r.MA_EDRAM1_BAR) == 2 << 16 | 2
    assert card.read(r.MA_EXT_MEMORY0_BAR) == 4 << 16 | 8


def test_memory_beyond_the_end_cannot_be_read_or_written(card: Card) -> None:
    with pytest.raises(ModelError, match="no adapter memory at 0xc00000"):
        card.memories.read(card.memories.end - 4, 8)
    with pytest.raises(ModelError):
        card.memories.write(card.memories.end, b"x")


def test_memory_holds_varied_content_and_holes(card: Card) -> None:
    for memory in card.memories:
        pages = [bytes(memory.memfd.view[i : i + 4096]) for i in range(0, memory.size, 4096)]
        used = [page for page in pages if any(page)]
        assert len(pages) // 8 < len(used) < len(pages)
        assert len(set(used)) > len(used) // 2


@pytest.fixture
def mapped() -> tuple[Card, memoryview]:
    """A card whose window page is mapped, and the window as a client sees it."""
    card = Card.load("t62100-cr", strict=True, map_window=True)
    page = card.window_page
    assert page is not None
    view = memoryview(mmap.mmap(page.fd, page.size, offset=page.offset))
    return card, view[BASE - page.offset : BASE - page.offset + SIZE]


def test_a_mapped_window_shows_memory_when_moved(mapped: tuple[Card, memoryview]) -> None:
    card, view = mapped
    for address in (0, 0x12000, 0x400000):
        move(card, address)
        assert bytes(view) == card.memories.read(address, SIZE)


def test_a_clients_changes_in_a_mapped_window_reach_memory(
    mapped: tuple[Card, memoryview],
) -> None:
    card, view = mapped
    move(card, 0x12000)
    view[5:8] = b"new"
    move(card, 0x13000)
    assert card.memories.read(0x12005, 3) == b"new"


def test_a_snapshot_holds_a_mapped_page(mapped: tuple[Card, memoryview]) -> None:
    card, view = mapped
    assert card.window_page is not None
    fd, start, _ = card.window_page
    os.pwrite(fd, b"kept", start)
    move(card, 0x12000)
    saved = card.snapshot()
    for _ in range(2):  # the second time from a snapshot of the restored card
        os.pwrite(fd, b"gone", start)
        move(card, 0x13000)
        card.restore(saved)
        assert os.pread(fd, 4, start) == b"kept"
        assert bytes(view) == card.memories.read(0x12000, SIZE)
        saved = card.snapshot()


def test_only_bytes_that_a_client_changed_are_written_back(mapped: tuple[Card, memoryview]) -> None:
    card, view = mapped
    move(card, 0x12000)
    card.memories.write(0x12100, b"firmware")
    view[0:3] = b"new"
    move(card, 0x12000)
    assert card.memories.read(0x12100, 8) == b"firmware"
    assert bytes(view[0x100:0x108]) == b"firmware"
    assert bytes(view[0:3]) == b"new"


def test_a_mapped_window_also_accepts_accesses(mapped: tuple[Card, memoryview]) -> None:
    card, view = mapped
    move(card, 0x12000)
    card.bar_write(0, BASE + 4, b"abcd")
    assert bytes(view[4:8]) == b"abcd" == card.bar_read(0, BASE + 4, 4)
    move(card, 0)
    assert card.memories.read(0x12004, 4) == b"abcd"


def test_a_mapped_window_cannot_be_placed_elsewhere(mapped: tuple[Card, memoryview]) -> None:
    card, _ = mapped
    base = card.chip.r.PCIE_MEM_ACCESS_BASE_WIN
    card.write(base, 0x28005)
    assert card.read(base) == base.reset


def test_a_mapped_window_over_no_memory_reads_as_all_ones(mapped: tuple[Card, memoryview]) -> None:
    card, view = mapped
    move(card, card.memories.end + SIZE)
    assert bytes(view) == b"\xff" * SIZE
    assert card.access_log.totals == {LogKind.GUEST_MEMORY: 1}


def test_linuxs_last_move_of_a_mapped_window_past_a_memory_is_no_error(
    mapped: tuple[Card, memoryview],
) -> None:
    card, view = mapped
    move(card, card.memories.end)
    assert bytes(view) == b"\xff" * SIZE
    assert not card.access_log.totals


def test_a_snapshot_includes_a_clients_changes(mapped: tuple[Card, memoryview]) -> None:
    card, view = mapped
    move(card, 0x12000)
    view[0:3] = b"new"
    snapshot = card.snapshot()
    view[0:3] = b"old"
    card.restore(snapshot)
    assert bytes(view[0:3]) == b"new" == card.memories.read(0x12000, 3)
