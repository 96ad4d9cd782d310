"""The grammar of --kernel, and how a kernel of Debian's is unfolded. Packages are small folders."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest
from kernel_parts import module

from vmcoredd.qemu import kernels, stock_kernel
from vmcoredd.qemu.errors import GuestError
from vmcoredd.qemu.stock_kernel import StockKernel
from vmcoredd.qemu.user_module import build_module


@pytest.mark.parametrize("name", ["6.1", "6.12", "newest", "debian:6.1", "debian:newest"])
def test_a_kernel_is_named_by_version_or_by_debians_package(name: str) -> None:
    assert kernels.check_kernel(name) == name
    assert kernels.is_stock(name) == name.startswith("debian:")


@pytest.mark.parametrize("name", ["", "2.4", "debian", "debian:", "debian:2.4", "fedora:6.1"])
def test_another_name_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(GuestError, match=r"choose one of 6\.1, .*, debian:newest$"):
        kernels.find_kernel(name)


@pytest.mark.parametrize("name", ["/boot/vmlinuz", "./bzImage", "../bzImage", "boot/bzImage", "."])
def test_a_name_with_a_slash_or_a_dot_at_its_start_is_a_path(name: str) -> None:
    assert kernels.is_path(name)
    assert kernels.check_dumps(name) == name  # what is there is looked at later


def test_a_path_that_does_not_exist_is_told() -> None:
    with pytest.raises(GuestError, match=r"^absent/bzImage: no such file or folder$"):
        kernels.find_kernel("absent/bzImage")


def test_a_kernel_at_a_path_needs_no_cache(tmp_path: Path) -> None:
    assert kernels.is_cached(str(tmp_path))
    assert not kernels.is_cached(str(tmp_path / "absent"))


def test_debians_kernels_hold_no_dumps_and_the_error_names_one_that_does() -> None:
    assert kernels.check_dumps("6.12") == "6.12"
    with pytest.raises(GuestError, match=r"PROC_VMCORE_DEVICE_DUMP\. Use --kernel 6\.12, which"):
        kernels.check_dumps("debian:6.12")


def test_a_users_module_is_built_for_debians_kernels_only(tmp_path: Path) -> None:
    with pytest.raises(GuestError, match=r"need a kernel of Debian's, such as debian:6\.1, not 6"):
        build_module(tmp_path, "6.1", tmp_path / "work")


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    """A folder as a kernel's package leaves it, without what depmod adds."""
    modules = tmp_path / "package/usr/lib/modules/9.9-amd64"
    (modules / "kernel").mkdir(parents=True)
    (modules / "modules.order").touch()
    (modules / "modules.builtin").write_text("kernel/fs/9p/9p.ko\n")
    (tmp_path / "package/boot").mkdir()
    (tmp_path / "package/boot/vmlinuz-9.9-amd64").write_bytes(b"image")
    return tmp_path / "package"


@pytest.fixture
def unfolded(unpacked: Path, tmp_path: Path) -> StockKernel:
    (tmp_path / "work/result").mkdir(parents=True)
    stock_kernel._unfold(unpacked, lambda what, part: None, tmp_path / "work", 0)
    return StockKernel(tmp_path / "work/result")


def test_a_package_is_unfolded_into_image_release_and_modules(unfolded: StockKernel) -> None:
    assert unfolded.release == "9.9-amd64"
    assert unfolded.image.read_bytes() == b"image"
    assert (unfolded.modules_folder / "modules.dep").exists()  # depmod made it


def test_the_image_may_lie_beside_the_modules(unpacked: Path, tmp_path: Path) -> None:
    image = unpacked / "boot/vmlinuz-9.9-amd64"
    image.rename(unpacked / "usr/lib/modules/9.9-amd64/vmlinuz")
    (tmp_path / "work/result").mkdir(parents=True)
    stock_kernel._unfold(unpacked, lambda what, part: None, tmp_path / "work", 0)
    assert (tmp_path / "work/result/vmlinuz").read_bytes() == b"image"


def test_a_package_without_an_image_is_refused(unpacked: Path, tmp_path: Path) -> None:
    (unpacked / "boot/vmlinuz-9.9-amd64").unlink()
    with pytest.raises(GuestError, match=r"9\.9-amd64 has no kernel image"):
        stock_kernel._unfold(unpacked, lambda what, part: None, tmp_path / "work", 0)


def test_modules_are_loaded_after_their_dependencies_and_once(unfolded: StockKernel) -> None:
    folder = unfolded.modules_folder / "kernel"
    pci, net = module("virtio", "virtio-ring"), module("virtio_ring")
    (folder / "virtio_pci.ko.xz").write_bytes(lzma.compress(pci))
    (folder / "virtio.ko.xz").write_bytes(lzma.compress(module("virtio_ring")))
    (folder / "virtio_ring.ko").write_bytes(module())
    (folder / "9pnet_virtio.ko").write_bytes(net)
    order = ["virtio_ring.ko", "virtio.ko", "virtio_pci.ko", "9pnet_virtio.ko"]
    assert list(unfolded.boot_modules()) == order
    assert unfolded.boot_modules()["virtio_pci.ko"] == pci


def test_a_module_that_guests_need_must_exist_or_be_built_in(unfolded: StockKernel) -> None:
    with pytest.raises(GuestError, match=r"9\.9-amd64 has no module virtio_pci, which guests need"):
        unfolded.boot_modules()
