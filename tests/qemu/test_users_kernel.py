"""What a path may name as a kernel. Kernels are a few small files, as builds leave them."""

from __future__ import annotations

import contextlib
import gzip
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from kernel_parts import RELEASE, VERMAGIC, ikconfig, image, module, write

from vmcoredd.qemu import kernel, kernels
from vmcoredd.qemu.errors import GuestError
from vmcoredd.qemu.initramfs import modules_archive
from vmcoredd.qemu.kernel_config import KernelLacks
from vmcoredd.qemu.modules import SIGNED
from vmcoredd.qemu.root import Root
from vmcoredd.qemu.users_kernel import UsersKernel, users_kernel

CONFIG = kernel.CONFIG.read_text()
DRIVER = "drivers/net/ethernet/chelsio/cxgb4"
INSTALLED = f"lib/modules/{RELEASE}"
MODULES = {
    f"{INSTALLED}/kernel/{DRIVER}/cxgb4.ko": module("tls") + SIGNED,
    f"{INSTALLED}/kernel/net/tls/tls.ko": module() + SIGNED,
    f"{INSTALLED}/modules.order": f"kernel/{DRIVER}/cxgb4.ko\nkernel/net/tls/tls.ko\n",
    f"{INSTALLED}/modules.builtin": "kernel/fs/9p/9p.ko\n",
}


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


def tree(folder: Path, order: str = f"{DRIVER}/cxgb4.o\nnet/tls/tls.o\n") -> Path:
    return write(
        folder / "linux",
        {
            "Kbuild": "",
            ".config": CONFIG,
            "arch/x86/boot/bzImage": image(),
            "modules.order": order,
            f"{DRIVER}/cxgb4.ko": module("tls") + SIGNED,
            "net/tls/tls.ko": module() + SIGNED,
            "old/cxgb4.ko": b"of another build",
        },
    )


def has_driver(found: UsersKernel) -> bool:
    return list(found.driver_modules()) == ["tls.ko", "cxgb4.ko"]


# A tree


@pytest.mark.parametrize(
    "order",
    [
        f"{DRIVER}/cxgb4.o\nnet/tls/tls.o\n",
        f"{DRIVER}/cxgb4.ko\nnet/tls/tls.ko\n",
        f"kernel/{DRIVER}/cxgb4.ko\nkernel/net/tls/tls.ko\n",
    ],
    ids=["6.3 and later", "5.4 and later", "before"],
)
def test_a_built_tree_has_the_modules_of_its_last_build(tmp_path: Path, order: str) -> None:
    found = users_kernel(tree(tmp_path, order))
    assert (found.release, found.image) == (RELEASE, tmp_path / "linux/arch/x86/boot/bzImage")
    assert found.modules["cxgb4"] == tmp_path / "linux" / DRIVER / "cxgb4.ko"
    assert has_driver(found)
    assert found.installed_modules is None
    kernels.check(found, driver=True, dump=True)


def test_the_tree_may_be_where_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree(tmp_path))
    found = kernels.find_kernel(".")
    assert isinstance(found, UsersKernel)
    assert (str(found), has_driver(found)) == (".", True)


def test_its_image_names_the_tree(tmp_path: Path) -> None:
    assert has_driver(users_kernel(tree(tmp_path) / "arch/x86/boot/bzImage"))


def test_a_tree_that_is_not_built_is_told_with_what_to_run(tmp_path: Path) -> None:
    write(tmp_path, {"Kbuild": "", "Makefile": ""})
    with pytest.raises(GuestError, match=r"is not built: .* Run: make bzImage modules"):
        users_kernel(tmp_path)


def test_a_tree_whose_modules_are_not_built_lacks_the_driver(tmp_path: Path) -> None:
    (tree(tmp_path) / DRIVER / "cxgb4.ko").unlink()
    found = users_kernel(tmp_path / "linux")
    kernels.check(found)
    with pytest.raises(GuestError, match=r"has no module cxgb4: build it \(make modules\)"):
        kernels.check(found, driver=True)


def test_a_tree_whose_modules_are_of_another_build_is_told(tmp_path: Path) -> None:
    """As after `make modules` alone, where each commit has its own release."""
    mine = module("tls", vermagic=f"{RELEASE}-g1234 SMP ")
    (tree(tmp_path) / DRIVER / "cxgb4.ko").write_bytes(mine)
    with pytest.raises(GuestError, match=rf"is {RELEASE}, but its modules are of {RELEASE}-g1234"):
        kernels.check(users_kernel(tmp_path / "linux"), driver=True)


CMD = f"""savedcmd_{DRIVER}/t4_hw.o := gcc -o t4_hw.o
source_{DRIVER}/t4_hw.o := {DRIVER}/t4_hw.c
deps_{DRIVER}/t4_hw.o := \\
    $(wildcard include/config/PCI) \\
  include/linux/kconfig.h \\
  {DRIVER}/t4_regs.h \\
"""


@pytest.mark.parametrize("newer", ["t4_hw.c", "t4_regs.h"])
def test_a_tree_whose_driver_is_older_than_its_source_is_not_tried(
    tmp_path: Path, newer: str
) -> None:
    files = {f"{DRIVER}/{name}": "" for name in ("t4_hw.o", "t4_hw.c", "t4_regs.h", "unused.c")}
    made = write(tree(tmp_path), {**files, f"{DRIVER}/.t4_hw.o.cmd": CMD})
    for name in files:
        os.utime(made / name, (100, 100))
    os.utime(made / DRIVER / "t4_hw.o", (200, 200))
    os.utime(made / DRIVER / "unused.c", (300, 300))
    assert has_driver(users_kernel(made))
    os.utime(made / DRIVER / newer, (300, 300))
    with pytest.raises(
        GuestError, match=rf"{newer} is newer than what was built of it\. Run: make"
    ):
        users_kernel(made)


# An image, a folder


def test_a_folder_has_an_image_and_its_modules_as_installed(tmp_path: Path) -> None:
    write(tmp_path, {"bzImage": image(), "config": CONFIG, **MODULES})
    found = users_kernel(tmp_path)
    assert has_driver(found)
    assert found.is_built_in("9p")
    kernels.check(found, driver=True, dump=True)


def test_a_folder_has_the_modules_in_one_folder(tmp_path: Path) -> None:
    flat = {"modules/cxgb4.ko": module("tls") + SIGNED, "modules/tls.ko": module() + SIGNED}
    assert has_driver(users_kernel(write(tmp_path, {"vmlinuz": image(), **flat})))


def test_an_image_has_its_configuration_and_modules_beside_it(tmp_path: Path) -> None:
    boot = {f"boot/vmlinuz-{RELEASE}": image(), f"boot/config-{RELEASE}": CONFIG}
    write(tmp_path, {**boot, "boot/vmlinuz-1": image(release="1"), **MODULES})
    found = users_kernel(tmp_path / f"boot/vmlinuz-{RELEASE}")
    assert has_driver(found)
    assert found.config
    assert found.config.source.endswith(f"boot/config-{RELEASE}")


def test_the_symbols_for_debuggers_are_beside_the_image(tmp_path: Path) -> None:
    found = users_kernel(write(tmp_path, {f"boot/vmlinuz-{RELEASE}": image(), **MODULES}))
    assert found.symbols == []
    assert found.symbols_are_in.endswith(f"the package linux-image-{RELEASE}-dbg")
    write(tmp_path, {f"boot/vmlinux-{RELEASE}": b"\x7fELF"})
    assert found.symbols == [tmp_path / f"boot/vmlinux-{RELEASE}", found.modules["cxgb4"]]


def test_of_two_images_in_a_folder_one_must_be_named(tmp_path: Path) -> None:
    write(tmp_path, {"boot/vmlinuz-1": image(), "boot/vmlinuz-2": image()})
    with pytest.raises(GuestError, match="2 kernels: name one of boot/vmlinuz-1, boot/vmlinuz-2"):
        users_kernel(tmp_path)


def test_modules_for_modprobe_come_with_the_hosts_folders_only(tmp_path: Path) -> None:
    write(tmp_path, {"bzImage": image(), **MODULES, f"{INSTALLED}/modules.dep": ""})
    found = users_kernel(tmp_path)
    shared = Root(shared=(Path("/usr"),)).with_modules(found)
    assert shared.mounts[-1].folders == (tmp_path / INSTALLED,)
    assert f"{tmp_path} brings its modules" in shared.described()
    assert Root().with_modules(found) == Root()


def test_a_folder_of_modules_may_have_the_image(tmp_path: Path) -> None:
    write(tmp_path, MODULES)
    folder = write(tmp_path / INSTALLED, {"vmlinuz": image(), "modules.dep": "", "config": CONFIG})
    assert has_driver(users_kernel(folder))


def test_what_tuxmake_leaves_is_taken_with_its_archive_of_modules(tmp_path: Path) -> None:
    write(tmp_path / "packed", MODULES)
    archive = ["tar", "-cJf", tmp_path / "modules.tar.xz", "-C", tmp_path / "packed", "lib"]
    subprocess.run(archive, check=True)
    write(tmp_path, {"bzImage": image(), "config": CONFIG, "metadata.json": "{}"})
    found = users_kernel(tmp_path)
    assert has_driver(found)
    assert found.installed_modules  # depmod was run
    assert not (tmp_path / "lib").exists()


def test_an_archive_that_is_damaged_is_told(tmp_path: Path) -> None:
    write(tmp_path, {"bzImage": image(), "modules.tar.xz": b"\xfd7zXZ\0damaged"})
    with pytest.raises(GuestError, match=r"modules\.tar\.xz cannot be unpacked"):
        users_kernel(tmp_path)


@pytest.mark.parametrize(
    ("files", "named", "says"),
    [
        ({}, "absent", "absent: no such file or folder"),
        ({"folder/x": ""}, "folder", "has no kernel's image"),
        ({"vmlinux": b"\x7fELF"}, "vmlinux", "is not a kernel: name a built tree, a bzImage"),
        ({"empty": b""}, "empty", "is not a kernel: name"),
        ({"x.deb": b"damaged"}, "x.deb", "x.deb"),
    ],
)
def test_what_is_no_kernel_is_refused(
    tmp_path: Path, files: dict[str, bytes | str], named: str, says: str
) -> None:
    write(tmp_path, files)
    with pytest.raises(Exception, match=says) as refused:
        users_kernel(tmp_path / named)
    assert type(refused.value).__name__ in ("GuestError", "Unavailable")


# Configurations


def test_a_configuration_is_read_out_of_the_image(tmp_path: Path) -> None:
    lacking = CONFIG.replace("CONFIG_PROC_VMCORE_DEVICE_DUMP=y", "")
    write(tmp_path, {"bzImage": image(gzip.compress(ikconfig(lacking))), **MODULES})
    with pytest.raises(KernelLacks, match=r"\(IKCONFIG in .*bzImage\) lacks\n.*DEVICE_DUMP=y"):
        kernels.check(users_kernel(tmp_path), dump=True)


def test_a_configuration_is_read_out_of_a_module(tmp_path: Path) -> None:
    configs = {f"{INSTALLED}/kernel/kernel/configs.ko": ikconfig("CONFIG_64BIT=y\n")}
    found = users_kernel(write(tmp_path, {"bzImage": image(), **MODULES, **configs}))
    assert found.config
    assert found.config.source.endswith("configs.ko")


def test_without_a_configuration_nothing_is_checked_but_the_modules(tmp_path: Path) -> None:
    write(tmp_path, {"bzImage": image()})
    kernels.check(users_kernel(tmp_path))


def test_a_module_that_the_configuration_names_must_be_there(tmp_path: Path) -> None:
    config = CONFIG.replace("CONFIG_9P_FS=y", "CONFIG_9P_FS=m")
    found = users_kernel(write(tmp_path, {"bzImage": image(), "config": config, **MODULES}))
    with pytest.raises(GuestError, match="has no module 9p, which guests need"):
        modules_archive(found)


def test_a_kernel_without_any_modules_is_told_where_they_were_looked_for(tmp_path: Path) -> None:
    config = CONFIG.replace("CONFIG_9P_FS=y", "CONFIG_9P_FS=m")
    with pytest.raises(
        GuestError, match=rf"bzImage needs its modules: .* lib/modules/{RELEASE} in"
    ):
        users_kernel(write(tmp_path, {"bzImage": image(), "config": config}) / "bzImage")


# A package


IN_BOOT = {f"boot/vmlinuz-{RELEASE}": image(), f"boot/config-{RELEASE}": CONFIG}
IN_MODULES = {f"usr/{INSTALLED}/vmlinuz": image()}
"""As Fedora's packages and Debian's newest have it."""


@pytest.fixture
def package(tmp_path: Path) -> Callable[..., Path]:
    def make(name: str, files: Mapping[str, bytes | str]) -> Path:
        control = "Package: mine\nVersion: 1\nArchitecture: all\nMaintainer: me\nDescription: x\n"
        root = write(tmp_path / f"{name}.root", {**files, "DEBIAN/control": control})
        path = tmp_path / "packages" / f"{name}.deb"
        path.parent.mkdir(exist_ok=True)
        build = ["dpkg-deb", "--root-owner-group", "-b", root, path]
        subprocess.run(build, check=True, capture_output=True)
        return path

    return make


def test_a_package_is_unpacked_once_and_its_modules_are_listed(
    package: Callable[..., Path], cache: Path
) -> None:
    path = package("mine", {**IN_BOOT, **MODULES})
    first, second = users_kernel(path), users_kernel(path)
    assert first.image == second.image
    assert first.image.is_relative_to(cache)
    assert has_driver(first)
    assert first.installed_modules
    kernels.check(first, driver=True, dump=True)


def test_a_kernel_in_several_packages_is_the_folder_of_them(
    package: Callable[..., Path], cache: Path
) -> None:
    modules = {f"usr/{name}": content for name, content in MODULES.items()}
    for name, files in (("binary", IN_MODULES), ("modules", modules), ("base", {"x": ""})):
        folder = package(name, files).parent
    config = package("config", {f"usr/{INSTALLED}/config": CONFIG})
    found = users_kernel(folder)
    assert (str(found), has_driver(found)) == (str(folder), True)
    assert found.image.is_relative_to(cache)
    kernels.check(found, driver=True, dump=True)
    config.unlink()
    assert not users_kernel(folder).config


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (MODULES, "has no kernel's image"),
        (IN_BOOT | {f"boot/config-{RELEASE}": "CONFIG_9P_FS=m\n"}, "needs its modules"),
        (IN_MODULES, "needs its modules"),
    ],
    ids=["modules", "an image, whose configuration has modules", "an image"],
)
def test_a_package_that_has_a_part_of_a_kernel_is_told_what_to_do(
    package: Callable[..., Path], files: Mapping[str, bytes | str], says: str
) -> None:
    path = package("part", files)
    told = f"{path.name} {says}.*: put all packages of the kernel into one folder, and name that"
    with pytest.raises(GuestError, match=told):
        users_kernel(path)
    with pytest.raises(GuestError, match=f"packages {says}.*: put all packages"):
        users_kernel(path.parent)


def test_a_package_whose_modules_are_a_link_out_of_it_changes_nothing_there(
    package: Callable[..., Path], tmp_path: Path
) -> None:
    outside = write(tmp_path / "outside", {f"{RELEASE}/modules.order": ""})
    (tmp_path / "linked.root/lib").mkdir(parents=True)
    (tmp_path / "linked.root/lib/modules").symlink_to(outside)
    with contextlib.suppress(GuestError):
        users_kernel(package("linked", IN_BOOT))
    assert [path.name for path in (outside / RELEASE).iterdir()] == ["modules.order"]


def test_the_image_may_be_with_the_modules_and_again_in_boot(tmp_path: Path) -> None:
    """As where they are installed, with /lib a link to /usr/lib."""
    modules = {f"usr/{name}": content for name, content in MODULES.items()}
    write(tmp_path, {**modules, **IN_MODULES, f"usr/{INSTALLED}/config": CONFIG})
    (tmp_path / "lib").symlink_to("usr/lib")
    found = users_kernel(tmp_path)
    assert (found.image.name, has_driver(found)) == ("vmlinuz", True)
    assert found.config
    write(tmp_path, {f"boot/vmlinuz-{RELEASE}": image()})
    assert users_kernel(tmp_path).image == tmp_path / f"boot/vmlinuz-{RELEASE}"


# Another driver


def test_another_module_takes_the_place_of_the_kernels(tmp_path: Path) -> None:
    found = users_kernel(tree(tmp_path))
    mine = module("tls", vermagic=VERMAGIC, name="cxgb4") + b"mine" + SIGNED
    (tmp_path / "any.ko").write_bytes(mine)
    order = found.driver_modules(tmp_path / "any.ko")
    assert list(order) == ["tls.ko", "cxgb4.ko"]
    assert order["cxgb4.ko"] == mine


def test_a_module_that_is_not_of_the_driver_replaces_nothing(tmp_path: Path) -> None:
    (tmp_path / "dummy.ko").write_bytes(module(name="dummy"))
    with pytest.raises(GuestError, match=r"it is dummy, and the driver is tls\.ko, cxgb4\.ko"):
        users_kernel(tree(tmp_path)).driver_modules(tmp_path / "dummy.ko")


def test_a_driver_that_is_built_in_cannot_be_replaced(tmp_path: Path) -> None:
    built_in = CONFIG.replace("CONFIG_CHELSIO_T4=m", "CONFIG_CHELSIO_T4=y")
    found = users_kernel(write(tmp_path, {"bzImage": image(), "config": built_in}))
    kernels.check(found, driver=True, dump=True)
    (tmp_path / "cxgb4.ko").write_bytes(module(name="cxgb4"))
    with pytest.raises(GuestError, match="has cxgb4 built in: no module can replace it"):
        found.driver_modules(tmp_path / "cxgb4.ko")


def test_a_driver_whose_dependency_is_absent_is_told(tmp_path: Path) -> None:
    (tree(tmp_path) / "net/tls/tls.ko").unlink()
    with pytest.raises(GuestError, match="lacks the module tls"):
        users_kernel(tmp_path / "linux").driver_modules()
