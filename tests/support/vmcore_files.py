"""Core files made with `struct.pack`, independently of the package's own layouts.

Also helpers for several tests: an expected errno, and a temporary resource limit.
"""

from __future__ import annotations

import gc
import os
import re
import resource
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

PAGE = 4096


def refused_with(number: int) -> pytest.RaisesExc[OSError]:
    """A context that must raise an `OSError` with this errno."""
    return pytest.raises(OSError, match=re.escape(f"[Errno {number}]"))


@contextmanager
def limited(which: int, value: int) -> Iterator[None]:
    """A context with a soft resource limit; address space is in addition to the current use."""
    if which == resource.RLIMIT_AS:
        value += int(Path("/proc/self/statm").read_text().split()[0]) * PAGE
    old = resource.getrlimit(which)
    resource.setrlimit(which, (value, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(which, old)


@contextmanager
def closing_all() -> Iterator[None]:
    """A context that must close every descriptor that it opens."""
    gc.collect()  # else what other tests left may close some meanwhile
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) == before


def pad(data: bytes, unit: int = 4) -> bytes:
    return data + bytes(-len(data) % unit)


def note(owner: bytes, number: int, desc: bytes, order: str = "<", align: int = 4) -> bytes:
    """An ELF note; `owner` without its NUL."""
    name = owner + b"\0" if owner else b""
    head = struct.pack(order + "III", len(name), len(desc), number) + name
    return pad(pad(head, align) + desc, align)


def dump_note(name: bytes, payload: bytes, order: str = "<") -> bytes:
    """A device dump as the kernel lays it out: 64 bytes of header, then `payload`."""
    head = struct.pack(order + "III8s44s", 8, 44 + len(payload), 0x700, b"LINUX", name)
    assert len(head) == 64
    return head + payload


def prstatus(order: str = "<") -> bytes:
    return note(b"CORE", 1, bytes(336), order)


def vmcoreinfo(text: bytes = b"OSRELEASE=6.1.0\n", order: str = "<") -> bytes:
    return note(b"VMCOREINFO", 0, text, order)


@dataclass
class Load:
    paddr: int
    data: bytes
    memsz: int | None = None
    vaddr: int = 0
    flags: int = 7
    align: int = 0


@dataclass
class Elf:
    """A core file; change a field to make a different or a damaged file.

    `phoff` moves the program headers, `xnum` counts them in section 0, `gap` separates the
    data of segments, `align` is the alignment of the segments.
    """

    notes: Sequence[bytes] = ()
    loads: Sequence[Load] = ()
    bits: int = 64
    order: str = "<"
    machine: int = 62
    kind: int = 4
    phoff: int | None = None
    xnum: bool = False
    align: int = PAGE
    note_align: int = 0
    note_filesz: int | None = None
    others: Sequence[tuple[int, int, int, int]] = field(default_factory=tuple)

    def __bytes__(self) -> bytes:
        ehsize, phsize, shsize = (64, 56, 64) if self.bits == 64 else (52, 32, 40)
        count = len(self.notes) + len(self.others) + len(self.loads)
        phoff = ehsize if self.phoff is None else self.phoff
        shoff = phoff + count * phsize if self.xnum else 0
        place = shoff + shsize if self.xnum else phoff + count * phsize
        table, body = [], b""

        def put(data: bytes) -> int:
            nonlocal body
            body = pad(body + bytes(-(place + len(body)) % self.align), 1)
            at = place + len(body)
            body += data
            return at

        for data in self.notes:
            size = len(data) if self.note_filesz is None else self.note_filesz
            table.append(self._phdr(4, 0, put(data), 0, 0, size, size, self.note_align))
        for other in self.others:
            table.append(self._phdr(other[0], 0, other[1], 0, 0, other[2], other[3], 0))
        for load in self.loads:
            memsz = len(load.data) if load.memsz is None else load.memsz
            at = put(load.data)
            sizes = (load.vaddr, load.paddr, len(load.data), memsz)
            table.append(self._phdr(1, load.flags, at, *sizes, load.align))
        header = self._ehdr(ehsize, phsize, shsize, count, phoff, shoff)
        section = self._shdr(count) if self.xnum else b""
        return header.ljust(phoff, b"\0") + b"".join(table) + section + body

    def _ehdr(self, eh: int, ph: int, sh: int, count: int, phoff: int, shoff: int) -> bytes:
        ident = bytes([0x7F, *b"ELF", self.bits // 32, 1 if self.order == "<" else 2, 1]) + bytes(9)
        word = "Q" if self.bits == 64 else "I"
        number = 0xFFFF if self.xnum else count
        shape = f"{self.order}HHI{word * 3}IHHHHHH"
        sections = (sh, 1) if self.xnum else (0, 0)
        rest = (eh, ph, number, *sections, 0)
        return ident + struct.pack(shape, self.kind, self.machine, 1, 0, phoff, shoff, 0, *rest)

    def _phdr(
        self, kind: int, flags: int, at: int, va: int, pa: int, filesz: int, memsz: int, align: int
    ) -> bytes:
        if self.bits == 64:
            values = (kind, flags, at, va, pa, filesz, memsz, align)
            return struct.pack(self.order + "IIQQQQQQ", *values)
        return struct.pack(self.order + "8I", kind, at, va, pa, filesz, memsz, flags, align)

    def _shdr(self, count: int) -> bytes:
        shape = "IIQQQQIIQQ" if self.bits == 64 else "10I"
        return struct.pack(self.order + shape, 0, 0, 0, 0, 0, 0, 0, count, 0, 0)


@dataclass
class Kdump:
    """A file in makedumpfile's kdump format; change a field to make a different or a damaged file.

    `aligned` aligns 64-bit members of a 32-bit file to 8 bytes (arm, ppc), else to 4 (i386, QEMU).
    `timeval` is the width of the two members of `struct timeval`. `pages` is the memory from page
    frame 0 on. `offset` moves the notes, which follow the sub-header; `size` is what it claims.
    """

    notes: bytes
    version: int = 6
    bits: int = 64
    order: str = "<"
    machine: bytes = b"x86_64"
    block: int = PAGE
    offset: int | None = None
    size: int | None = None
    aligned: bool = True
    timeval: int | None = None
    status: int = 1
    max_mapnr: int = 0x12345
    pages: Sequence[bytes] = ()

    def __bytes__(self) -> bytes:
        empty = self._sub_header(0)
        offset = self.block + len(empty) if self.offset is None else self.offset
        sub = self._sub_header(offset)
        blocks = -(-(offset + len(self.notes) - self.block) // self.block)
        bitmap = bytes(-(-self.max_mapnr // (8 * self.block)) * self.block)
        head = self._header(blocks, 2 * len(bitmap) // self.block).ljust(self.block, b"\0")
        file = ((head + sub).ljust(offset, b"\0") + self.notes).ljust(
            (1 + blocks) * self.block, b"\0"
        )
        dumped = sum(1 << n for n in range(len(self.pages))).to_bytes(len(bitmap), "little")
        file += bitmap + dumped
        at = len(file) + 24 * len(self.pages)
        for page in self.pages:
            file += struct.pack(self.order + "QIIQ", at, len(page), 0, 0)
            at += len(page)
        return file + b"".join(self.pages)

    def _header(self, sub_blocks: int, bitmap_blocks: int) -> bytes:
        names = (b"Linux", b"n", b"r", b"v", self.machine, b"")
        head = b"KDUMP   " + struct.pack(self.order + "i", self.version)
        head += b"".join(name.ljust(65, b"\0") for name in names)
        wide = (self.timeval or self.bits) == 64
        head = pad(head, 8 if wide and (self.aligned or self.bits == 64) else 4)
        head += struct.pack(self.order + ("QQ" if wide else "II"), 0x6789ABCD, 0x1000)
        rest = (self.status, self.block, sub_blocks, bitmap_blocks, self.max_mapnr, 0, 0, 0, 0, 1)
        return head + struct.pack(self.order + "IiiIIIIIIi", *rest)

    def _sub_header(self, offset: int) -> bytes:
        made = bytearray()

        def put(shape: str, *values: int) -> None:
            nonlocal made
            for value in values:
                if shape == "Q" and (self.aligned or self.bits == 64):
                    made = bytearray(pad(bytes(made), 8))
                made += struct.pack(self.order + shape, value)

        long = "Q" if self.bits == 64 else "I"
        put(long, 0)
        put("I", 31, 0)
        put(long, 0, min(self.max_mapnr, 0xFFFFFFFF))
        put("Q", 0)
        put(long, 0)
        put("Q", offset)
        put(long, len(self.notes) if self.size is None else self.size)
        if self.version >= 5:
            put("Q", 0)
            put(long, 0)
        if self.version >= 6:
            put("Q", 0, self.max_mapnr, self.max_mapnr)
        return bytes(made)


def kdump(notes: bytes, **fields: Any) -> bytes:
    """The bytes of a `Kdump`."""
    return bytes(Kdump(notes, **fields))


def flattened(records: Sequence[tuple[int, bytes]]) -> bytes:
    """A file as `makedumpfile -F` writes it: records of bytes and the offset they belong to."""
    head = struct.pack(">16sqq", b"makedumpfile", 1, 1).ljust(4096, b"\0")
    body = b"".join(struct.pack(">qq", at, len(data)) + data for at, data in records)
    return head + body + struct.pack(">qq", -1, -1)
