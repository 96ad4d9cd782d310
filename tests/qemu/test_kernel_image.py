"""What a bootable image says of itself: its release, and its configuration if it has it."""

from __future__ import annotations

import bz2
import gzip
import lzma
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from kernel_parts import RELEASE, ikconfig, image

from vmcoredd import debs
from vmcoredd.qemu import kernel_image
from vmcoredd.qemu.errors import GuestError

TEXT = "CONFIG_64BIT=y\n# CONFIG_MODULES is not set\n"
SIZE = b"\x40\0\0\0"
"""The kernel's build appends the unpacked size."""


@pytest.fixture
def made(tmp_path: Path) -> Callable[[bytes], Path]:
    def make(content: bytes) -> Path:
        (tmp_path / "bzImage").write_bytes(content)
        return tmp_path / "bzImage"

    return make


def zstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-q"], input=data, capture_output=True, check=True).stdout


def test_an_image_says_its_release(made: Callable[[bytes], Path]) -> None:
    path = made(image())
    assert kernel_image.is_image(path)
    assert kernel_image.release(path) == RELEASE


@pytest.mark.parametrize("content", [b"", b"\x7fELF" + bytes(9000), image()[:0x230]])
def test_another_file_is_no_image(made: Callable[[bytes], Path], content: bytes) -> None:
    with pytest.raises(GuestError, match=r"bzImage is not a kernel's image|its version"):
        kernel_image.release(made(content))


@pytest.mark.parametrize(
    "pack",
    [
        gzip.compress,
        lzma.compress,
        lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
        bz2.compress,
        zstd,
    ],
    ids=["gzip", "xz", "lzma", "bzip2", "zstd"],
)
def test_the_configuration_is_read_out_of_the_image(
    made: Callable[[bytes], Path], pack: Callable[[bytes], bytes]
) -> None:
    assert kernel_image.config(made(image(pack(ikconfig(TEXT)) + SIZE))) == TEXT


def test_an_image_need_not_have_its_configuration(made: Callable[[bytes], Path]) -> None:
    assert kernel_image.config(made(image(gzip.compress(b"a kernel") + SIZE))) is None


def test_damaged_data_are_told(made: Callable[[bytes], Path]) -> None:
    damaged = lzma.compress(ikconfig(TEXT))[:12] + b"\xff" * 50
    with pytest.raises(GuestError, match="it cannot be unpacked"):
        kernel_image.config(made(image(damaged)))


def test_a_program_that_unpacks_and_is_missing_is_named(
    made: Callable[[bytes], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = made(image(zstd(ikconfig(TEXT))))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(debs.Unavailable, match="apt-get install zstd"):
        kernel_image.config(path)
