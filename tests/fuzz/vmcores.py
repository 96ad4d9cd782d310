"""Vmcores to spoil: ELF of both widths and orders, and kdump files; real dumps and small ones."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from random import Random

from tests.fuzz import command
from tests.fuzz.case import Case
from tests.support.vmcore_files import Elf, Load, dump_note, kdump, note, prstatus, vmcoreinfo
from vmcoredd import vmcore

MOST = 1 << 20
"""Bytes of a spoiled file, more or less."""
SMALL = (
    "CIM_QCFG",
    "DEV_LOG",
    "PM_STATS",
    "TP_INDIRECT",
    "MEMINFO",
    "CIM_LA",
    "MPS_TCAM",
    "PATH_MTU",
)
SHAPES = ("elf64", "elf64 big", "elf32", "elf32 big", "kdump64", "kdump32", "kdump32 big", "made")
NUMBERS = (0, 1, 4, 8, 0x7F, 0xFF, 0xFFFF, 1 << 20, 0x7FFFFFFF, 1 << 31, 0xFFFFFFFC, 0xFFFFFFFF)
DATA = 56 + 72 * 52
"""The offset of a dump's data: behind its header and those of 72 entities."""
PIECE = 64512
"""Bytes that are compressed at once."""
LONGS = (*NUMBERS, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)


def dumps(card: Path, folder: Path) -> dict[str, bytes]:
    """Makes the payloads: dumps of a small card with the small entities, by compression."""
    made = {}
    for compress in ("zlib", "none"):
        path = folder / compress
        words = [word for name in SMALL for word in ("--entity", name)]
        options = ("--compress", compress, "-o", path)
        command.run("dump", "--card", card, *words, *options).ended_with(0, 5)
        with vmcore.Reader(path) as reader:
            made[compress] = bytes(reader.payload(reader.device_dumps[0].index))[:MOST]
    made["made"] = (folder / "zlib").read_bytes()
    return made


def whole(shape: str, payload: bytes) -> bytes:
    """An intact vmcore of a shape, with one device dump and other notes."""
    order = ">" if shape.endswith("big") else "<"
    bits = 32 if "32" in shape else 64
    notes = [prstatus(order), dump_note(b"cxgb4_0000:01:00.4", payload, order), vmcoreinfo()]
    notes.append(note(b"QEMU", 0, bytes(440), order))
    if shape.startswith("kdump"):
        machine = b"x86_64" if bits == 64 else b"ppc" if order == ">" else b"i686"
        return kdump(b"".join(notes), bits=bits, order=order, machine=machine)
    loads = [Load(0x100000, b"memory" * 100), Load(0x200000, bytes(4096), memsz=8192)]
    return bytes(Elf(notes=notes, loads=loads, bits=bits, order=order))


def edits(random: Random) -> list[Case]:
    """Random edits: mostly of headers, where one number moves everything behind it."""
    return [_edit(random) for _ in range(random.choice((0, 1, 1, 1, 2, 4, 16)))]


def _edit(random: Random) -> Case:
    reach = random.choice((64, 200, 700, 5000, 20_000, MOST))
    return {
        "how": random.choice(
            ("word", "word", "word", "long", "flip", "noise", "zeros", "cut", "grow")
        ),
        "at": random.randrange(reach),
        "from": random.choice(("start", "start", "start", "dump", "end")),
        "value": random.choice((*LONGS, random.getrandbits(32), random.randrange(8192))),
        "big": random.random() < 0.3,
        "noise": random.randbytes(random.choice((1, 8, 64, 1000))).hex(),
    }


def spoiled(data: bytes, changes: list[Case]) -> bytes:
    """Makes the edits."""
    result = bytearray(data)
    for edit in changes:
        if result:
            _change(result, edit)
    return bytes(result)


def _change(data: bytearray, edit: Case) -> None:
    at, noise = _place(data, edit), bytes.fromhex(edit["noise"])
    order = "big" if edit["big"] else "little"
    match edit["how"]:
        case "word":
            at &= ~3
            data[at : at + 4] = (edit["value"] & 0xFFFFFFFF).to_bytes(4, order)
        case "long":
            at &= ~7
            data[at : at + 8] = edit["value"].to_bytes(8, order)
        case "flip":
            data[at] ^= 1 << edit["value"] % 8
        case "noise":
            data[at : at + len(noise)] = noise
        case "zeros":
            data[at : at + len(noise)] = bytes(len(noise))
        case "cut":
            del data[at:]
        case "grow":
            data[at:at] = noise


def _place(data: bytearray, edit: Case) -> int:
    """The offset of an edit: from the start, from the device dump's header on, or from the end."""
    if edit["from"] == "end":
        return len(data) - 1 - edit["at"] % len(data)
    start = max(data.find(b"LINUX\0") - 12, 0) if edit["from"] == "dump" else 0
    return (start + edit["at"]) % len(data)


MANY = ("notes", "segments", "loads", "entities", "records")


def many(kind: str, count: int) -> bytes:
    """A small file of many headers (notes, note segments or loads), or a dump that shows much."""
    if kind == "notes":
        return bytes(Elf(notes=[note(b"X", 1, b"") * count]))
    if kind in ("entities", "records"):
        payload = _same_bytes_72_times() if kind == "entities" else _records(18 * count)
        return bytes(Elf(notes=[dump_note(b"cxgb4_0000:01:00.4", payload)]))
    program = struct.pack("<IIQQQQQQ", 4 if kind == "segments" else 1, 7, 64, 0, 64, 12, 12, 4)
    section = struct.pack("<IIQQQQIIQQ", 0, 0, 0, 0, 0, 0, 0, count, 0, 0)
    header = bytearray(bytes(Elf(notes=[prstatus()], xnum=True))[:64])
    struct.pack_into("<QQ", header, 32, 128, 64)
    return bytes(header) + section + program * count


def _same_bytes_72_times() -> bytes:
    """A dump whose entities all are the same 4 MiB."""
    headers = [struct.pack("<III40x", n, DATA, 4 << 20) for n in range(1, 73)]
    return _dump(1, headers, Random(0).randbytes(4 << 20))


def _records(count: int) -> bytes:
    """A dump with a device log of so many records, which a few pieces of zlib hold."""
    record = struct.pack(">QI2B2x16s32x", 1, 1, 2, 3, b"polled %d times")
    piece = record * (PIECE // len(record))
    packed = zlib.compress(piece)
    one = struct.pack("<I4xQQ256x", 17, len(piece), len(packed)) + packed
    data = one * (count * len(record) // len(piece))
    nobody = [bytes(52)] * 71
    return _dump(2, [nobody[0], struct.pack("<III40x", 2, DATA, len(data)), *nobody[1:]], data)


def _dump(compression: int, headers: list[bytes], data: bytes) -> bytes:
    head = struct.pack(
        "<IIHHIIHBB32x", 67856866, 56, 1, 14, len(data), 0, 72, 0x60, compression << 4 | 1
    )
    assert len(head + b"".join(headers)) == DATA
    return head + b"".join(headers) + data
