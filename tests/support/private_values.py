"""The private values of dumps, and every way to write them, to look for what must not be there."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from pathlib import Path

from vmcoredd import cudbg
from vmcoredd.cli.inputs import opened
from vmcoredd.cudbg.pseudonyms import Kind, is_private

_FULLEST = 3
"""Addresses with fewer bytes that are not zero are found by chance."""


def dumps(path: Path) -> list[cudbg.Dump]:
    """The dumps of a vmcore, or the bare one."""
    with opened(path) as reader:
        return [cudbg.Dump(reader.payload(note.index)) for note in reader.device_dumps]


def private_values(path: Path) -> Iterator[bytes]:
    """The serial numbers, addresses and keys of a file's dumps, found as users see them."""
    for dump in dumps(path):
        *_, addresses = dump.decode("MPS_TCAM").json()
        for row in addresses["rows"]:
            address = bytes.fromhex(row["address"].replace(":", ""))
            if is_private(Kind.MAC, address) and len(address) - address.count(0) >= _FULLEST:
                yield address
        card, *_ = dump.decode("VPD_DATA").json()
        vpd = {item["name"]: item["value"] for item in card["values"]}
        yield vpd["serial number"].encode()
        yield bytes.fromhex(vpd["network address"])
        registers, *_ = dump.decode("TP_INDIRECT").json()
        key = [r["value"] for r in registers["rows"] if "SECRET_KEY" in r["register"]]
        assert len(key) == 10
        yield struct.pack("<10I", *key)
        yield struct.pack(">10I", *key)


def written(value: bytes) -> set[bytes]:
    """Every way in which a value might be written: either byte order, bytes or text."""
    ways = set()
    for one in (value, value[::-1]):
        texts = {one.hex(), one.hex(":"), one.hex("-"), one.hex(" "), one.hex(".", -2)}
        ways |= {one} | {t.encode() for text in texts for t in (text, text.upper())}
    return ways


def everything(path: Path) -> bytes:
    """The bytes of a file, and those of each entity of its dumps, unpacked, in either order of
    words; of a folder, those of all its files."""
    if path.is_dir():
        return b"".join(file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file())
    parts = io.BytesIO()
    parts.write(path.read_bytes())
    for dump in dumps(path):
        for entity in dump.entities:
            if entity.good and entity.name != "QDESC":
                raw = dump.raw(entity.name)
                parts.write(raw)
                for size, code in ((2, "H"), (4, "I"), (8, "Q")):
                    words = struct.unpack_from(f"<{len(raw) // size}{code}", raw)
                    parts.write(struct.pack(f">{len(words)}{code}", *words))
    return parts.getvalue()
