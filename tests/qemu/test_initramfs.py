"""The cpio archive against the rules of its format, and the modules that follow the programs."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

from cpio import read
from hypothesis import given
from hypothesis import strategies as st
from kernel_parts import module, write

from vmcoredd.qemu.archive import archive, file
from vmcoredd.qemu.initramfs import modules_archive
from vmcoredd.qemu.kernel import Kernel
from vmcoredd.qemu.modules import SIGNED


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


def test_modules_are_listed_in_the_order_of_loading(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    write(tmp_path, {"release": "9.9", "modules/cxgb4.ko": module("mdio", "zlib") + SIGNED})
    write(tmp_path, {"modules/mdio.ko": module() + SIGNED, "modules/zlib.ko": module() + SIGNED})
    found = read(modules_archive(kernel))
    assert found["guest/driver/order"][1] == b"mdio.ko\nzlib.ko\ncxgb4.ko\n"
    assert found["guest/driver/cxgb4.ko"][1] == module("mdio", "zlib") + SIGNED  # not stripped
    assert found["guest/boot/order"][1] == b""


def test_debug_information_is_left_out(tmp_path: Path) -> None:
    source = tmp_path / "cxgb4.c"
    source.write_text('const char depends[] = "depends=", magic[] = "vermagic=9.9"; int one;\n')
    write(tmp_path, {"modules/x": "", "release": "9.9"})
    subprocess.run(["gcc", "-g", "-c", source, "-o", tmp_path / "modules/cxgb4.ko"], check=True)
    stripped = read(modules_archive(Kernel(tmp_path)))["guest/driver/cxgb4.ko"][1]
    assert b"debug_info" in (tmp_path / "modules/cxgb4.ko").read_bytes()
    assert b"debug_info" not in stripped
    assert b"vermagic=9.9" in stripped


def test_a_kernel_whose_driver_is_built_in_has_no_folder_of_it(tmp_path: Path) -> None:
    write(tmp_path, {"release": "9.9"})
    assert "guest/driver/order" not in read(modules_archive(Kernel(tmp_path)))
