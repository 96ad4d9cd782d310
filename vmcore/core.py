"""The crash context: the core file of the crashed kernel, to which device dumps are added."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any, Self

from vmcoredd.vmcore.elf import EM_X86_64, PT_LOAD, PT_NOTE, Layout, round_up
from vmcoredd.vmcore.elffile import ElfHeaders, read_some
from vmcoredd.vmcore.errors import VmcoreFormatError
from vmcoredd.vmcore.extents import Extent, Source
from vmcoredd.vmcore.files import identify, open_for_reading
from vmcoredd.vmcore.notes import HEADER, MAX_NOTES


@dataclass(frozen=True, slots=True)
class Load:
    """A PT_LOAD: `memsz` bytes of memory at physical `paddr`, mapped at `vaddr`.

    The first `filesz` bytes come from `source` at `offset`; the rest is zero or was not dumped.
    Sizes and addresses are in bytes; flags and align are as in the program header.
    """

    paddr: int
    vaddr: int
    memsz: int
    filesz: int
    source: Source | None
    offset: int = 0
    flags: int = 7
    align: int = 0


class ElfCore:
    """The content of an ELF core file: machine, notes and memory.

    `notes` are extents whose `start` is an offset in the merged note segment of `notes_size` bytes.
    Of the program headers only PT_LOAD and PT_NOTE are kept: readers of vmcores ignore all others.
    """

    def __init__(
        self,
        layout: Layout,
        notes: Iterable[tuple[Source, int, int]],
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
        self.loads = list(loads)
        self.notes: list[Extent] = []
        self.notes_size = 0
        self._file: IO[bytes] | None = None
        for source, offset, size in notes:
            self.notes.append(Extent(self.notes_size, size, source, offset))
            self.notes_size += size

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> ElfCore:
        """Opens the ELF vmcore at `path`: /proc/vmcore, a copy, or ELF from makedumpfile or QEMU.

        The file is opened read-only and stays open until `close()`. Raises `VmcoreFormatError` if
        it is not an ELF core file or a segment extends beyond its end, `OSError` if it cannot be
        read.
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
    loads, notes = [], []
    for index, phdr in enumerate(headers):
        if phdr.p_type not in (PT_LOAD, PT_NOTE):
            continue
        _check_segment(phdr, index, file_size, headers.layout)
        if phdr.p_type == PT_LOAD:
            loads.append(_load(phdr, file))
        else:
            size = _real_size(fd, int(phdr.p_offset), int(phdr.p_filesz), headers.layout)
            notes.append((file, int(phdr.p_offset), size))
    ehdr = headers.ehdr
    machine, flags, ident = int(ehdr.e_machine), int(ehdr.e_flags), bytes(ehdr)[:16]
    return ElfCore(headers.layout, notes, loads, machine=machine, flags=flags, ident=ident)


def _check_segment(phdr: Any, index: int, file_size: int, layout: Layout) -> None:
    what = f"program header {index}'s data"
    if phdr.p_offset + phdr.p_filesz > file_size:
        raise VmcoreFormatError(what, phdr.p_offset + phdr.p_filesz, file_size)
    if phdr.p_type != PT_LOAD:
        return
    if phdr.p_filesz > phdr.p_memsz:
        raise VmcoreFormatError(
            what, f"at most its memory, {phdr.p_memsz} bytes", f"{phdr.p_filesz}"
        )
    if phdr.p_paddr + phdr.p_memsz > 1 << layout.bits:
        raise VmcoreFormatError(
            what, f"{layout.bits}-bit addresses", f"{phdr.p_memsz} bytes of memory"
        )


def _load(phdr: Any, file: Source) -> Load:
    return Load(
        paddr=int(phdr.p_paddr),
        vaddr=int(phdr.p_vaddr),
        memsz=int(phdr.p_memsz),
        filesz=int(phdr.p_filesz),
        source=file,
        offset=int(phdr.p_offset),
        flags=int(phdr.p_flags),
        align=int(phdr.p_align),
    )


def _real_size(fd: int, offset: int, size: int, layout: Layout) -> int:
    """Returns the bytes of a segment of `size` bytes that hold notes: those before a nameless note.

    A note that does not fit is dropped with everything after it (update_note_header_size_elf64() of
    fs/proc/vmcore.c, which uses p_memsz; in a core file that may be 0).
    """
    used = 0
    for _ in range(MAX_NOTES):
        data = read_some(fd, offset + used, HEADER) if used + HEADER <= size else b""
        if len(data) < HEADER:
            break
        header = layout.nhdr.from_buffer_copy(data)
        step = HEADER + round_up(header.n_namesz, 4) + round_up(header.n_descsz, 4)
        if header.n_namesz == 0 or used + step > size:
            break
        used += step
    return used
