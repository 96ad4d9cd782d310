"""A bootable image (bzImage, vmlinuz): its release, and the configuration that it may contain.

Layout: Documentation/arch/x86/boot.rst of the kernel.
"""

from __future__ import annotations

import bz2
import lzma
import re
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vmcoredd import debs

from .errors import GuestError

MAGIC, MAGIC_AT = b"HdrS", 0x202
VERSION_AT, VERSION_BASE, VERSION_BYTES = 0x20E, 0x200, 256
SETUP_SECTORS_AT, SETUP_SECTORS_IF_0, SECTOR = 0x1F1, 4, 512
PAYLOAD_AT = 0x248  # its offset, then its length
HEADER_BYTES = 0x250
CONFIG = re.compile(rb"IKCFG_ST(\x1f\x8b.*?)IKCFG_ED", re.DOTALL)


def is_image(path: Path) -> bool:
    """Returns True if the file is an image for x86."""
    with path.open("rb") as file:
        return file.read(HEADER_BYTES)[MAGIC_AT : MAGIC_AT + 4] == MAGIC


def release(path: Path) -> str:
    """Returns the release, as `uname -r` prints it. Raises GuestError."""
    with path.open("rb") as file:
        header = file.read(HEADER_BYTES)
        if len(header) < HEADER_BYTES or header[MAGIC_AT : MAGIC_AT + 4] != MAGIC:
            raise GuestError(f"{path} is not a kernel's image (bzImage) for x86")
        (pointer,) = struct.unpack_from("<H", header, VERSION_AT)
        file.seek(VERSION_BASE + pointer)
        words = file.read(VERSION_BYTES).partition(b"\0")[0].split()
    if not pointer or not words:
        raise GuestError(f"{path} does not say its version")
    return words[0].decode(errors="replace")


def kernel(path: Path) -> bytes:
    """Returns the kernel that the image unpacks when it starts: an ELF file and relocations.

    Raises GuestError for a damaged one, debs.Unavailable if it cannot be unpacked here.
    """
    data = path.read_bytes()
    offset, size = struct.unpack_from("<II", data, PAYLOAD_AT)
    sectors = data[SETUP_SECTORS_AT] or SETUP_SECTORS_IF_0
    start = (sectors + 1) * SECTOR + offset
    return unpacked(data[start : start + size])


def config(path: Path) -> str | None:
    """Returns the configuration that the image has with CONFIG_IKCONFIG=y, or None.

    Raises as `kernel` does.
    """
    return find_config(kernel(path))


def find_config(data: bytes) -> str | None:
    """Returns the configuration in an unpacked kernel, or in its module `configs`; or None."""
    found = CONFIG.search(data)
    return zlib.decompress(found[1], wbits=31).decode(errors="replace") if found else None


def unpacked(data: bytes) -> bytes:
    """Returns what compressed `data` holds, or `data` if it is not compressed.

    What follows the compressed data is ignored. Raises GuestError for damaged data, and
    debs.Unavailable for a compression that needs a program which is not installed.
    """
    for magic, unpack in _UNPACK.items():
        if data.startswith(magic):
            try:
                return unpack(data)
            except (zlib.error, lzma.LZMAError, OSError, ValueError) as error:
                raise GuestError(f"it cannot be unpacked: {error}") from error
    return data


def _program(name: str) -> Callable[[bytes], bytes]:
    def run(data: bytes) -> bytes:
        if not shutil.which(name):
            what = f"a kernel compressed with {name}"
            raise debs.Unavailable(what, "it is not installed", f"As root: apt-get install {name}")
        done = subprocess.run([name, "-d", "-c"], input=data, capture_output=True)
        if done.returncode and not done.stdout:
            raise ValueError(done.stderr.decode(errors="replace").strip() or f"{name} fails")
        return done.stdout

    return run


def _library(make: Callable[[], Any]) -> Callable[[bytes], bytes]:
    def run(data: bytes) -> bytes:
        decompressor = make()
        found: bytes = decompressor.decompress(data)
        if not decompressor.eof:
            raise ValueError("it ends too early")
        return found

    return run


_UNPACK: dict[bytes, Callable[[bytes], bytes]] = {
    b"\x1f\x8b": _library(lambda: zlib.decompressobj(wbits=31)),
    b"\xfd7zXZ": _library(lzma.LZMADecompressor),
    b"\x5d\0\0": _library(lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE)),
    b"BZh": _library(bz2.BZ2Decompressor),
    b"\x28\xb5\x2f\xfd": _program("zstd"),
    b"\x02\x21\x4c\x18": _program("lz4"),
}
"""By the first bytes. A program that finds the size behind its data complains, and is right."""
