"""The order in which modules are loaded; the archive itself is tried by the guests."""

from __future__ import annotations

from vmcoredd.qemu.initramfs import load_order


def module(*depends: str) -> bytes:
    return b"\0license=GPL\0depends=" + ",".join(depends).encode() + b"\0retpoline=Y\0"


def test_a_module_comes_behind_what_it_depends_on():
    modules = {"cxgb4": module("mdio", "zlib"), "mdio": module(), "zlib": module("crc")}
    modules["crc"] = module()
    assert load_order("cxgb4", modules) == ["mdio", "crc", "zlib", "cxgb4"]


def test_what_two_modules_depend_on_is_loaded_once():
    modules = {"a": module("b", "c"), "b": module("d"), "c": module("d"), "d": module()}
    assert load_order("a", modules) == ["d", "b", "c", "a"]


def test_a_module_without_dependencies_stands_alone():
    assert load_order("a", {"a": module(), "b": module()}) == ["a"]
