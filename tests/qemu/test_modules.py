"""A kernel's modules as files: names, contents, the order of loading, and what may replace one."""

from __future__ import annotations

import gzip
import lzma
import subprocess
from pathlib import Path

import pytest
from kernel_parts import module

from vmcoredd.qemu import modules
from vmcoredd.qemu.errors import BuildError, GuestError
from vmcoredd.qemu.modules import Contents, load_order, replacement

MAGIC = "6.1.9 SMP preempt mod_unload "
WITH_CHECKSUMS = "6.1.9 SMP mod_unload modversions "


def test_a_module_comes_after_its_dependencies() -> None:
    known = {"cxgb4": module("mdio", "zlib"), "mdio": module(), "zlib": module("crc")}
    known["crc"] = module()
    assert load_order("cxgb4", known) == ["mdio", "crc", "zlib", "cxgb4"]


def test_a_shared_dependency_is_loaded_once() -> None:
    known = {"a": module("b", "c"), "b": module("d"), "c": module("d"), "d": module()}
    assert load_order("a", known) == ["d", "b", "c", "a"]


def test_a_module_without_dependencies_is_loaded_alone() -> None:
    assert load_order("a", {"a": module(), "b": module()}) == ["a"]


def test_a_dependency_that_is_absent_is_named() -> None:
    with pytest.raises(KeyError, match="zlib"):
        load_order("cxgb4", {"cxgb4": module("zlib")})


def test_modules_that_depend_on_each_other_are_told() -> None:
    with pytest.raises(GuestError, match="the module a depends on itself: a -> b -> a"):
        load_order("a", {"a": module("b"), "b": module("a")})


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("kernel/net/cxgb4.ko", "cxgb4"),
        ("pvpanic-pci.ko.xz", "pvpanic_pci"),
        ("9p.ko.zst", "9p"),
        ("modules.dep", ""),
        ("cxgb4.ko.cmd", ""),
    ],
)
def test_a_module_is_called_by_its_file(file: str, name: str) -> None:
    assert modules.name_of(file) == name


def test_a_compressed_module_is_unpacked(tmp_path: Path) -> None:
    (tmp_path / "plain.ko").write_bytes(module())
    (tmp_path / "xz.ko.xz").write_bytes(lzma.compress(module()))
    (tmp_path / "gz.ko.gz").write_bytes(gzip.compress(module()))
    subprocess.run(["zstd", "-q", tmp_path / "plain.ko", "-o", tmp_path / "zst.ko.zst"], check=True)
    contents = Contents(modules.by_name(tmp_path.iterdir()))
    assert dict(contents) == dict.fromkeys(("plain", "xz", "gz", "zst"), module())


def test_a_damaged_module_is_told_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "bad.ko.xz").write_bytes(lzma.compress(module())[:8] + b"\0" * 40)
    with pytest.raises(GuestError, match=r"bad\.ko\.xz: it cannot be unpacked"):
        modules.read(tmp_path / "bad.ko.xz")


def written(folder: Path, vermagic: str, name: str = "cxgb4", end: bytes = b"") -> Path:
    (folder / "mine.ko").write_bytes(module(vermagic=vermagic, name=name) + end)
    return folder / "mine.ko"


def test_a_module_of_the_same_vermagic_replaces_one_of_its_own_name(tmp_path: Path) -> None:
    path = written(tmp_path, MAGIC)
    assert replacement(path, MAGIC, signed=False) == ("cxgb4", path.read_bytes())


@pytest.mark.parametrize("other", ["6.1.8 SMP preempt mod_unload ", "6.1.9 SMP mod_unload "])
def test_a_module_of_another_kernel_is_refused_with_both_vermagics(
    tmp_path: Path, other: str
) -> None:
    with pytest.raises(GuestError) as refused:
        replacement(written(tmp_path, other), MAGIC, signed=False)
    assert f"its vermagic is {other.strip()}\n" in str(refused.value)
    assert f"the kernel's is {MAGIC.strip()}\n" in str(refused.value)


def test_a_module_with_checksums_may_be_of_another_release(tmp_path: Path) -> None:
    path = written(tmp_path, WITH_CHECKSUMS.replace("6.1.9", "6.1.8"))
    assert replacement(path, WITH_CHECKSUMS, signed=False)
    with pytest.raises(GuestError, match="built for another kernel"):
        replacement(path, MAGIC, signed=False)


def test_where_only_the_release_is_known_only_it_is_compared(tmp_path: Path) -> None:
    assert replacement(written(tmp_path, MAGIC), "6.1.9", signed=False)
    with pytest.raises(GuestError, match=r"the kernel's is 6\.1\.10"):
        replacement(written(tmp_path, MAGIC), "6.1.10", signed=False)


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n", b"\x7fELF without more"])
def test_another_file_is_no_module(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mine.ko").write_bytes(content)
    with pytest.raises(GuestError, match=r"mine\.ko is not a kernel's module"):
        replacement(tmp_path / "mine.ko", MAGIC, signed=False)


def test_a_kernel_that_wants_signatures_takes_no_module_without(tmp_path: Path) -> None:
    with pytest.raises(GuestError, match="CONFIG_MODULE_SIG_FORCE"):
        replacement(written(tmp_path, MAGIC), MAGIC, signed=True)
    assert replacement(written(tmp_path, MAGIC, end=modules.SIGNED), MAGIC, signed=True)


def test_depmod_lists_the_dependencies(tmp_path: Path) -> None:
    (tmp_path / "modules/kernel").mkdir(parents=True)
    (tmp_path / "modules/modules.order").touch()
    (tmp_path / "modules/modules.builtin").touch()
    modules.list_dependencies(tmp_path / "modules", "9.9", tmp_path / "work")
    assert (tmp_path / "modules/modules.dep").exists()


def test_a_depmod_that_fails_is_told_with_its_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = ["sh", "-c", "echo out of memory >&2; exit 1"]
    monkeypatch.setattr(modules, "_depmod", lambda progress: broken)
    with pytest.raises(BuildError, match=r"depmod failed\n(.|\n)*out of memory"):
        modules.list_dependencies(tmp_path, "9.9", tmp_path / "work")
