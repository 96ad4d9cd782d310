"""Kdump files that end early, and others that only seem to."""

from __future__ import annotations

import struct

import pytest
from vmcore_files import PAGE, Kdump, prstatus

from vmcoredd import vmcore
from vmcoredd.vmcore import kdump_pages

PAGES = [bytes([n]) * (100 + n) for n in range(1, 41)]


def damage(tmp_path, data):
    path = tmp_path / "kdump"
    path.write_bytes(data)
    with vmcore.Reader(path) as reader:
        assert [note.owner for note in reader.notes] == ["CORE"]
        return [str(error) for error in reader.damage]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("bits", "aligned"), [(64, True), (32, True), (32, False)])
@pytest.mark.parametrize("version", [4, 6])
def test_a_file_that_ends_within_its_bitmaps_descriptors_or_pages_is_reported(
    tmp_path, order, bits, aligned, version
):
    made = Kdump(prstatus(order), version, bits, order, aligned=aligned, pages=PAGES)
    whole = bytes(made)
    assert damage(tmp_path, whole) == []
    pages = len(whole) - sum(map(len, PAGES))
    for what, first, end in [
        ("bitmaps", 2 * PAGE, 5 * PAGE + 0x2469),
        ("page descriptors", pages - 24 * 40, pages),
        ("pages", pages, len(whole)),
    ]:
        for cut in (first, end - 1):
            said = f"file with its {what}: need {end} bytes, have {cut} bytes"
            assert damage(tmp_path, whole[:cut]) == [said]


def test_a_file_without_pages_is_complete_with_its_bitmaps(tmp_path):
    assert damage(tmp_path, bytes(Kdump(prstatus()))) == []


def test_pages_of_zeros_that_share_the_first_copy_do_not_hide_a_cut(tmp_path, monkeypatch):
    whole = bytearray(bytes(Kdump(prstatus(), pages=PAGES)))
    table = len(whole) - sum(map(len, PAGES)) - 24 * 40
    monkeypatch.setattr(kdump_pages, "SOME_DESCRIPTORS", 8)
    whole[table + 24 * 20 : table + 24 * 40] = whole[table : table + 24] * 20
    used = table + 24 * 40 + sum(map(len, PAGES[:20]))
    assert damage(tmp_path, whole[:used]) == []
    assert damage(tmp_path, whole[: used - 1]) == [
        f"file with its pages: need {used} bytes, have {used - 1} bytes"
    ]


@pytest.mark.parametrize(("first", "end"), [(0, 40), (3, 29), (8, 16), (39, 40), (7, 7), (90, 95)])
@pytest.mark.parametrize("version", [4, 6])
def test_a_part_of_a_split_dump_has_the_descriptors_of_its_own_pages(tmp_path, first, end, version):
    """makedumpfile --split: every part has the bits of all pages."""
    whole = bytearray(bytes(Kdump(prstatus(), version, pages=PAGES)))
    struct.pack_into("<iQQ", whole, PAGE + 12, 1, first, end)
    if version == 6:
        struct.pack_into("<QQ", whole, PAGE + 80, first, end)
    table = len(whole) - sum(map(len, PAGES)) - 24 * 40
    used = table + 24 * max(0, min(end, 40) - first)
    descriptor = struct.pack("<QIIQ", table, 4, 0, 0)
    part = whole[:table] + descriptor * ((used - table) // 24)
    assert damage(tmp_path, bytes(part)) == []
    if used > table:  # without a page, the file may end within the bitmaps' last block
        assert damage(tmp_path, bytes(part[: used - 1])) == [
            f"file with its page descriptors: need {used} bytes, have {used - 1} bytes"
        ]


def test_the_bitmap_of_a_large_machine_is_read_in_slices(tmp_path, monkeypatch):
    monkeypatch.setattr(kdump_pages, "SLICE", 2)
    whole = bytes(Kdump(prstatus(), pages=PAGES))
    assert damage(tmp_path, whole) == []
    assert damage(tmp_path, whole[:-1]) != []


def test_of_a_bitmap_beyond_the_limit_only_the_end_is_checked(tmp_path, monkeypatch):
    monkeypatch.setattr(kdump_pages, "MAX_BITMAP", 1 << 10)
    whole = bytes(Kdump(prstatus(), pages=PAGES))
    assert damage(tmp_path, whole[:-1]) == []


def test_impossible_numbers_of_pages_cost_nothing(tmp_path):
    whole = bytearray(bytes(Kdump(prstatus())))
    struct.pack_into("<Q", whole, PAGE + 96, (1 << 64) - 1)
    struct.pack_into("<II", whole, 436, 0xFFFFFFFF, 0xFFFFFFFF)
    (said,) = damage(tmp_path, bytes(whole))
    assert said.startswith("file with its bitmaps: need ")


def test_descriptors_that_were_never_written_are_reported(tmp_path):
    """makedumpfile writes them last, and may have ended before."""
    whole = bytearray(bytes(Kdump(prstatus(), pages=PAGES)))
    table = len(whole) - sum(map(len, PAGES)) - 24 * 40
    whole[table + 24 * 30 : table + 24 * 40] = bytes(240)
    assert damage(tmp_path, bytes(whole)) == [
        "last page descriptors: need the places of pages, have zeros"
    ]
