"""The crash context: the core file of the crashed kernel, to which device dumps are added."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from operator import itemgetter
from types import TracebackType
from typing import IO, Any, NamedTuple, Self, overload

from vmcoredd.plural import exact
from vmcoredd.vmcore.basenotes import BaseNotes, Piece
from vmcoredd.vmcore.basesections import check_sections
from vmcoredd.vmcore.elf import EM_X86_64, PT_LOAD, PT_NOTE, PT_NULL, Layout
from vmcoredd.vmcore.elf_notes import MAX_NOTE_SEGMENTS
from vmcoredd.vmcore.elffile import ElfHeaders
from vmcoredd.vmcore.errors import VmcoreFormatError
from vmcoredd.vmcore.extents import Extent, Source
from vmcoredd.vmcore.files import identify, open_for_reading
from vmcoredd.vmcore.notes import NoteSegment


class Load(NamedTuple):
    """A PT_LOAD: `memsz` bytes of memory at physical `paddr`, mapped at `vaddr`.

    The first `filesz` bytes come from `source` at `offset`; the rest is zero or was not dumped.
    Sizes and addresses are in bytes; flags and align are as in the program header. A `paddr` of all
    ones is an unknown one, as /proc/kcore has. `type` is another if the base has such a segment.
    """

    paddr: int
    vaddr: int
    memsz: int
    filesz: int
    source: Source | None
    offset: int = 0
    flags: int = 7
    align: int = 0
    type: int = PT_LOAD


_IN_LOADS_ORDER = (
    *("p_paddr", "p_vaddr", "p_memsz", "p_filesz"),
    *("p_offset", "p_flags", "p_align", "p_type"),
)
"""The fields of a program header in the order of `Load`, which has the source in the middle."""


class FileLoads(Sequence[Load]):
    """The segments of the core file `file` that are not notes.

    Each takes the size of its program header, since there may be a million of them.
    """

    def __init__(self, file: Source, layout: Layout) -> None:
        self._file = file
        fields = {name: getattr(layout.phdr, name) for name in _IN_LOADS_ORDER}
        by_offset = sorted(fields, key=lambda name: fields[name].offset)
        order = "<" if layout.order == "little" else ">"
        codes = ("I" if fields[name].size == 4 else "Q" for name in by_offset)
        self._row = struct.Struct(order + "".join(codes))
        self._pick = itemgetter(*map(by_offset.index, _IN_LOADS_ORDER))
        self._headers = bytearray()

    def append(self, phdr: Any) -> None:
        """Adds the segment of a program header of the file's layout."""
        self._headers += bytes(phdr)

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Yields the offset and size in the file of each segment."""
        return ((load.offset, load.filesz) for load in self)

    def __len__(self) -> int:
        return len(self._headers) // self._row.size

    def __iter__(self) -> Iterator[Load]:
        for row in self._row.iter_unpack(self._headers):
            yield self._load(row)

    @overload
    def __getitem__(self, index: int) -> Load: ...
    @overload
    def __getitem__(self, index: slice) -> list[Load]: ...
    def __getitem__(self, index: int | slice) -> Load | list[Load]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        at = range(len(self))[index] * self._row.size
        return self._load(self._row.unpack_from(self._headers, at))

    def _load(self, row: tuple[int, ...]) -> Load:
        paddr, vaddr, memsz, filesz, *rest = self._pick(row)
        return Load(paddr, vaddr, memsz, filesz, self._file, *rest)


class ElfCore:
    """The content of an ELF core file: machine, notes and memory.

    `notes` are extents whose `start` is an offset in the merged note segment of `notes_size` bytes.
    `loads` are all other segments: PT_LOADs, PT_NOTEs that cannot be merged, and any others.
    """

    def __init__(
        self,
        layout: Layout,
        notes: Iterable[tuple[Source | None, int, int]],
        loads: Iterable[Load],
        *,
        machine: int = EM_X86_64,
        flags: int = 0,
        ident: bytes | None = None,
    ) -> None:
        self.layout = layout
        self.machine = machine
        self.flags = flags
        self.ident = ident or layout.ident
        self.loads: Sequence[Load] = loads if isinstance(loads, FileLoads) else list(loads)
        self.notes: list[Extent] = []
        self.notes_size = 0
        self._file: IO[bytes] | None = None
        for source, offset, size in notes:
            self._add_notes(source, offset, size)

    def _add_notes(self, source: Source | None, offset: int, size: int) -> None:
        last = self.notes[-1] if self.notes else None
        if last and last.source is source and source and last.offset + last.size == offset:
            self.notes[-1] = Extent(last.start, last.size + size, source, last.offset)
        else:
            self.notes.append(Extent(self.notes_size, size, source, offset))
        self.notes_size += size

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> ElfCore:
        """Opens the ELF vmcore at `path`: /proc/vmcore, a copy, or ELF from makedumpfile or QEMU.

        The file is opened read-only and stays open until `close()`. Raises `VmcoreFormatError` if
        it is not an ELF core file, a segment extends beyond its end, or something in it cannot be
        kept: data in sections alone, too many note segments. `OSError` if it cannot be read.
        """
        file = os.fdopen(open_for_reading(path), "rb", buffering=0)
        try:
            core = _from_file(file)
        except BaseException:
            file.close()
            raise
        core._file = file
        return core

    def close(self) -> None:
        """Closes the file that `open` opened; the content cannot be read afterwards."""
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _from_file(file: IO[bytes]) -> ElfCore:
    fd = file.fileno()
    if identify(fd) != "elf":
        raise VmcoreFormatError("the base", "an ELF core file", "a kdump file")
    headers = ElfHeaders(fd)
    file_size = os.lseek(fd, 0, os.SEEK_END)
    loads = FileLoads(file, headers.layout)
    segments: list[NoteSegment] = []
    for index, phdr in enumerate(headers):
        _check_segment(phdr, index, file_size, headers.layout)
        if phdr.p_type == PT_NOTE:
            _add_segment(segments, phdr)
        elif phdr.p_type != PT_NULL:
            loads.append(phdr)
    kept = chain(((note.offset, note.size) for note in segments), loads.ranges())
    check_sections(fd, headers, kept)
    ehdr = headers.ehdr
    return ElfCore(
        headers.layout,
        _merge(segments, loads, file, headers.layout),
        loads,
        machine=int(ehdr.e_machine),
        flags=int(ehdr.e_flags),
        ident=bytes(ehdr)[:16],
    )


def _merge(
    segments: list[NoteSegment], loads: FileLoads, file: Source, layout: Layout
) -> list[Piece]:
    """Returns the merged notes, and adds what cannot be merged to `loads`."""
    notes = BaseNotes(file, layout)
    for segment in segments:
        notes.add(segment)
    for segment in notes.separate:
        size = segment.size
        kind: Any = layout.phdr
        loads.append(
            kind(
                p_type=PT_NOTE,
                p_offset=segment.offset,
                p_filesz=size,
                p_memsz=size,
                p_align=segment.align,
            )
        )
    return notes.merged


def _check_segment(phdr: Any, index: int, file_size: int, layout: Layout) -> None:
    what = f"program header {index}'s data"
    size = phdr.p_filesz
    if size and phdr.p_type != PT_NULL and phdr.p_offset + size > file_size:
        raise VmcoreFormatError(what, phdr.p_offset + size, file_size)
    if phdr.p_type != PT_LOAD:
        return
    if size > phdr.p_memsz:
        most = f"at most its memory, {exact(phdr.p_memsz, 'byte')}"
        raise VmcoreFormatError(what, most, f"{size}")
    known = phdr.p_paddr != (1 << layout.bits) - 1
    if known and phdr.p_paddr + phdr.p_memsz > 1 << layout.bits:
        raise VmcoreFormatError(
            f"program header {index}'s memory",
            f"physical addresses of {layout.bits} bits",
            f"{exact(phdr.p_memsz, 'byte')} at {phdr.p_paddr:#x}",
        )


def _add_segment(segments: list[NoteSegment], phdr: Any) -> None:
    if len(segments) == MAX_NOTE_SEGMENTS:
        raise VmcoreFormatError("the base", f"at most {MAX_NOTE_SEGMENTS} note segments", "more")
    segments.append(NoteSegment.aligned(phdr.p_offset, phdr.p_filesz, phdr.p_align))
