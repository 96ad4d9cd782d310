"""Core files made with `struct.pack`, independently of the package's own layouts.

Also helpers for several tests: an expected errno, and a temporary resource limit.
"""

from __future__ import annotations

import re
import resource
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

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


def kdump(
    notes: bytes,
    *,
    version: int = 6,
    bits: int = 64,
    order: str = "<",
    machine: bytes = b"x86_64",
    block: int = PAGE,
    offset: int = 2 * PAGE,
    size: int | None = None,
) -> bytes:
    """A file in makedumpfile's kdump format, without a page of memory."""
    names = b"".join(name.ljust(65, b"\0") for name in (b"Linux", b"n", b"r", b"v", machine, b""))
    head = b"KDUMP   " + struct.pack(order + "i", version) + names
    size = len(notes) if size is None else size
    if bits == 64:
        head = head.ljust(408, b"\0") + struct.pack(order + "QQIii", 0, 0, 0, block, 1)
        sub = struct.pack(order + "QiiQQqQqQ", 0, 31, 0, 0, 0, 0, 0, offset, size)
    else:
        head = head.ljust(404, b"\0") + struct.pack(order + "IIIii", 0, 0, 0, block, 1)
        hole = b"" if machine.startswith(b"i") else bytes(4)
        sub = struct.pack(order + "IiiII", 0, 31, 0, 0, 0) + hole
        sub += struct.pack(order + "qI", 0, 0) + hole + struct.pack(order + "qI", offset, size)
    return (head.ljust(block, b"\0") + sub).ljust(offset, b"\0") + notes
