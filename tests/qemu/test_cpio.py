"""The archive writer against the format's rules, and against the kernel's own reader in the guests'
tests. The reader here is written from the format alone."""

from __future__ import annotations

import stat

from hypothesis import given
from hypothesis import strategies as st

from vmcoredd.qemu import cpio


def read(data: bytes) -> dict[str, tuple[int, bytes]]:
    """Name to (mode, content), in the archive's order, the trailer included."""
    found: dict[str, tuple[int, bytes]] = {}
    at = 0
    while at < len(data):
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        mode, size, name_size = fields[1], fields[6], fields[11]
        name = data[at + 110 : at + 110 + name_size - 1].decode()
        assert data[at + 110 + name_size - 1] == 0
        at = -(-(at + 110 + name_size) // 4) * 4
        found[name] = (mode, data[at : at + size])
        at = -(-(at + size) // 4) * 4
    return found


def test_an_archive_ends_with_the_trailer():
    assert list(read(cpio.archive({}))) == ["TRAILER!!!"]


def test_folders_of_entries_are_added_before_them():
    names = list(read(cpio.archive({"lib/modules/order": cpio.file(b"x")})))
    assert names == ["lib", "lib/modules", "lib/modules/order", "TRAILER!!!"]


def test_a_symlink_holds_its_target():
    mode, content = read(cpio.archive({"sh": cpio.symlink("busybox")}))["sh"]
    assert stat.S_ISLNK(mode)
    assert content == b"busybox"


def test_a_program_keeps_its_mode():
    mode, _ = read(cpio.archive({"init": cpio.file(b"#!", 0o755)}))["init"]
    assert mode == stat.S_IFREG | 0o755


def test_the_order_of_entries_does_not_change_the_archive():
    one, two = cpio.file(b"1"), cpio.file(b"2")
    assert cpio.archive({"a": one, "b/c": two}) == cpio.archive({"b/c": two, "a": one})


@given(st.dictionaries(st.from_regex(r"[a-z]{1,9}", fullmatch=True), st.binary(max_size=99)))
def test_every_content_comes_back(contents):
    entries = {name: cpio.file(content) for name, content in contents.items()}
    found = read(cpio.archive(entries))
    assert {name: content for name, (_, content) in found.items() if name in entries} == contents
