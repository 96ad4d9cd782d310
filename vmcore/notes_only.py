"""Writes a file with the notes of a vmcore and none of its memory; some payloads may be others."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from vmcoredd.vmcore.core import ElfCore
from vmcoredd.vmcore.devicedumps import DeviceDumps
from vmcoredd.vmcore.elf import EM_X86_64, Layout, round_up
from vmcoredd.vmcore.elffile import ElfHeaders, read_exactly
from vmcoredd.vmcore.extents import MemoryFile, Source
from vmcoredd.vmcore.kdump import recognise
from vmcoredd.vmcore.notes import HEADER, Note
from vmcoredd.vmcore.output import Output
from vmcoredd.vmcore.reader import Reader
from vmcoredd.vmcore.view import pieces
from vmcoredd.vmcore.writer import write

_ALIGNMENT = 4
_Piece = tuple[Source | None, int, int]
_MACHINE_AT, _MACHINE_BYTES = 12 + 4 * 65, 65
"""`machine` of struct new_utsname, after the signature and version of a kdump file."""
_MACHINES = {b"x86_64": EM_X86_64, b"i686": 3, b"aarch64": 183, b"ppc64": 21, b"ppc64le": 21}
_MACHINES |= {b"s390x": 22}


def write_notes(
    path: str | os.PathLike[str],
    reader: Reader,
    payloads: Mapping[int, MemoryFile | None],
    *,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Writes the notes of `reader`'s file to `path`; returns the size in bytes.

    `payloads` replaces payloads by the index of their note; None leaves the note out. All other
    notes are byte for byte those of the file, padded to four bytes; one that the file cuts short
    becomes as long as its bytes. The result is an ELF core file without memory; of a bare payload,
    a bare payload. Raises as `write` does.
    """
    if reader.format == "payload":
        return _write_payload(path, reader, payloads.get(0), force)
    layout, machine, flags, ident = _head(reader)
    notes = [piece for note in reader.notes for piece in _pieces(reader, note, payloads, layout)]
    core = ElfCore(layout, notes, [], machine=machine, flags=flags, ident=ident)
    return write(path, DeviceDumps(core), force=force, progress=progress)


def memory_of(data: bytes | bytearray) -> MemoryFile:
    """Returns `data` with a descriptor, from which it is copied."""
    memory = MemoryFile("payload", len(data))
    memory.view[:] = data
    return memory


def _write_payload(
    path: str | os.PathLike[str], reader: Reader, payload: MemoryFile | None, force: bool
) -> int:
    if payload is None:
        return reader.extract(0, path, force=force)
    with Output(path, force=force) as output:
        copier = output.copier(lambda done: None)
        copier.copy(payload.fileno(), 0, payload.size, 0)
        copier.end(payload.size)
    return payload.size


def _head(reader: Reader) -> tuple[Layout, int, int, bytes | None]:
    """Returns the layout, machine, flags and identification of the ELF file to write."""
    file = reader.view
    if reader.format == "kdump":
        layout = recognise(file, reader.file_size).layout
        name = read_exactly(file, _MACHINE_AT, _MACHINE_BYTES, "kdump header").split(b"\0")[0]
        return layout, _MACHINES.get(name, 0), 0, None
    headers = ElfHeaders(file)
    ehdr = headers.ehdr
    return headers.layout, int(ehdr.e_machine), int(ehdr.e_flags), bytes(ehdr)[:16]


def _pieces(
    reader: Reader, note: Note, payloads: Mapping[int, MemoryFile | None], layout: Layout
) -> Iterator[_Piece]:
    """Yields the parts of a note: header and name, padding, descriptor, padding."""
    payload = payloads.get(note.index)
    if note.index in payloads and payload is None:
        return
    lead = note.size - note.payload_size
    size = note.present if payload is None else payload.size
    nhdr: Any = layout.nhdr.from_buffer_copy(
        read_exactly(reader.view, note.offset, HEADER, f"note {note.index}'s header")
    )
    names = nhdr.n_namesz
    if nhdr.n_descsz == lead + size:
        yield from _padded(reader, note.offset, HEADER + names)
    else:
        nhdr.n_descsz = lead + size
        yield memory_of(bytes(nhdr)), 0, ctypes.sizeof(nhdr)
        yield from _padded(reader, note.offset + HEADER, names)
    yield from _stored(reader, note.payload_offset - lead, lead)
    if payload is None:
        yield from _padded(reader, note.payload_offset, size)
    else:
        yield from _padded(payload, 0, size)


def _padded(source: Reader | MemoryFile, offset: int, size: int) -> Iterator[_Piece]:
    if isinstance(source, Reader):
        yield from _stored(source, offset, size)
    else:
        yield source, offset, size
    if padding := round_up(size, _ALIGNMENT) - size:
        yield None, 0, padding


def _stored(reader: Reader, offset: int, size: int) -> Iterator[_Piece]:
    """Yields where the file holds `size` bytes of its vmcore; a flattened one, in many places."""
    at = offset
    for piece in pieces(reader.view, offset, size):
        if at < piece.start:
            yield None, 0, piece.start - at
        yield reader, piece.place, piece.size
        at = piece.start + piece.size
    if at < offset + size:
        yield None, 0, offset + size - at
