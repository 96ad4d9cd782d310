"""The cpio archive against the rules of its format, and the order in which modules are loaded."""

from __future__ import annotations

import stat

from cpio import read
from hypothesis import given
from hypothesis import strategies as st

from vmcoredd.qemu.archive import archive, file
from vmcoredd.qemu.initramfs import load_order


def test_an_archive_ends_with_the_trailer():
    assert list(read(archive({}))) == ["TRAILER!!!"]


def test_folders_of_members_are_added_before_them():
    names = list(read(archive({"lib/modules/order": file(b"x")})))
    assert names == ["lib", "lib/modules", "lib/modules/order", "TRAILER!!!"]


def test_a_program_keeps_its_mode():
    mode, _ = read(archive({"init": file(b"#!", 0o755)}))["init"]
    assert mode == stat.S_IFREG | 0o755


def test_the_order_of_members_does_not_change_the_archive():
    one, two = file(b"1"), file(b"2")
    assert archive({"a": one, "b/c": two}) == archive({"b/c": two, "a": one})


@given(st.dictionaries(st.from_regex(r"[a-z]{1,9}", fullmatch=True), st.binary(max_size=99)))
def test_every_content_comes_back(contents):
    members = {name: file(content) for name, content in contents.items()}
    found = read(archive(members))
    assert {name: content for name, (_, content) in found.items() if name in members} == contents


def module(*depends: str) -> bytes:
    return b"\0license=GPL\0depends=" + ",".join(depends).encode() + b"\0retpoline=Y\0"


def test_a_module_comes_after_its_dependencies():
    modules = {"cxgb4": module("mdio", "zlib"), "mdio": module(), "zlib": module("crc")}
    modules["crc"] = module()
    assert load_order("cxgb4", modules) == ["mdio", "crc", "zlib", "cxgb4"]


def test_a_shared_dependency_is_loaded_once():
    modules = {"a": module("b", "c"), "b": module("d"), "c": module("d"), "d": module()}
    assert load_order("a", modules) == ["d", "b", "c", "a"]


def test_a_module_without_dependencies_is_loaded_alone():
    assert load_order("a", {"a": module(), "b": module()}) == ["a"]
