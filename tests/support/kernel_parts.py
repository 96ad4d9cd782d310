"""Parts of kernels in small: images, configurations and modules, as a build would leave them."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Mapping
from pathlib import Path

RELEASE = "9.9.0-mine"
VERMAGIC = f"{RELEASE} SMP mod_unload "


def module(*depends: str, vermagic: str = VERMAGIC, name: str = "") -> bytes:
    """A module's beginning, and the section `.modinfo`."""
    words = ("license=GPL", f"depends={','.join(depends)}", f"name={name}", f"vermagic={vermagic}")
    said = words if name else (*words[:2], words[3])
    return b"\x7fELF" + bytes(60) + b"".join(word.encode() + b"\0" for word in said)


def image(payload: bytes = b"", release: str = RELEASE) -> bytes:
    """A bzImage: its header, two sectors of setup code, and what the setup code unpacks."""
    header = bytearray(3 * 512)
    header[0x1F1] = 2
    header[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", header, 0x20E, 0x300 - 0x200)
    text = f"{release} (me@here) #1 SMP\0".encode()
    header[0x300 : 0x300 + len(text)] = text
    struct.pack_into("<II", header, 0x248, 16, len(payload))
    return bytes(header) + bytes(16) + payload + b"the end"


def ikconfig(text: str) -> bytes:
    """What CONFIG_IKCONFIG=y adds to a kernel."""
    return b"before IKCFG_ST" + gzip.compress(text.encode()) + b"IKCFG_ED after"


def write(folder: Path, files: Mapping[str, bytes | str]) -> Path:
    """Writes files, by their paths in a folder; returns the folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder
