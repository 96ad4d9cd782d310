"""Reads the notes of a vmcore of any size, even if it is damaged."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

from vmcoredd.vmcore.copying import Copier
from vmcoredd.vmcore.elf import PT_LOAD, PT_NOTE, Layout
from vmcoredd.vmcore.elffile import ElfHeaders
from vmcoredd.vmcore.errors import NoSuchNote, VmcoreFormatError
from vmcoredd.vmcore.files import Format, identify, open_for_reading
from vmcoredd.vmcore.kdump import note_segment
from vmcoredd.vmcore.notes import MAX_NOTES, Note, NoteSegment, NoteWalk
from vmcoredd.vmcore.output import Output

MAX_NOTE_SEGMENTS = 1 << 14  # kexec-tools makes one per processor; the kernel merges them


class Reader:
    """The notes of the vmcore at `path`: ELF, or makedumpfile's kdump-compressed format.

    Supports ELF64 and ELF32 in both byte orders, and /proc/vmcore itself; not the flattened format,
    which would have to be read in full. Needs no vmlinux. Only note headers are read, so time and
    memory do not depend on the file's size.

    Raises `VmcoreFormatError` if the file is not a vmcore, `OSError` if it cannot be read. If the
    file is damaged further on, as much as possible is read, and `damage` lists the problems.
    Payloads are mapped, so do not truncate the file while a payload is in use.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._fd = open_for_reading(path)
        try:
            self.file_size = os.lseek(self._fd, 0, os.SEEK_END)
            self._damage: list[VmcoreFormatError] = []
            self.format: Format = identify(self._fd)
            self.layout, segments = self._segments()
            self._notes = tuple(self._walk(segments))
        except BaseException:
            self.close()
            raise

    @property
    def notes(self) -> tuple[Note, ...]:
        """All notes, in the order of the file."""
        return self._notes

    @property
    def device_dumps(self) -> tuple[Note, ...]:
        """The notes that are device dumps."""
        return tuple(note for note in self._notes if note.is_device_dump)

    @property
    def damage(self) -> tuple[VmcoreFormatError, ...]:
        """The problems of the file, in the order of their discovery."""
        return tuple(self._damage)

    def note(self, index: int) -> Note:
        """Returns note `index`; raises `NoSuchNote` for an invalid index."""
        if not 0 <= index < len(self._notes):
            raise NoSuchNote(index, len(self._notes))
        return self._notes[index]

    def payload(self, index: int, *, partial: bool = False) -> memoryview:
        """Maps the payload of note `index` and returns a read-only view of its bytes.

        Raises `NoSuchNote` for an invalid index, `VmcoreFormatError` if the payload is truncated;
        with `partial`, returns the bytes that are present instead.
        """
        note = self._present(index, partial)
        if not note.present:
            return memoryview(b"")
        lead = note.payload_offset % mmap.ALLOCATIONGRANULARITY
        size = lead + note.present
        start = note.payload_offset - lead
        window = mmap.mmap(self._fd, size, access=mmap.ACCESS_READ, offset=start)
        return memoryview(window)[lead:]

    def extract(
        self,
        index: int,
        out: str | os.PathLike[str],
        *,
        force: bool = False,
        partial: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> int:
        """Writes the payload of note `index` to the file `out`; returns the number of bytes.

        Raises as `payload` and `write` do; `progress(done, total)` counts bytes.
        """
        note = self._present(index, partial)

        def advance(done: int) -> None:
            if progress is not None:
                progress(done, note.present)

        with Output(out, force=force) as fd:
            os.ftruncate(fd, note.present)
            Copier(fd, advance).copy(self._fd, note.payload_offset, note.present, 0)
        advance(note.present)
        return note.present

    def close(self) -> None:
        """Closes the file; payload views remain valid."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _present(self, index: int, partial: bool) -> Note:
        note = self.note(index)
        if not note.is_complete and not partial:
            raise VmcoreFormatError(f"note {index}'s payload", note.payload_size, note.present)
        return note

    def _segments(self) -> tuple[Layout, list[NoteSegment]]:
        if self.format == "kdump":
            segment, layout = note_segment(self._fd)
            return layout, [segment]
        headers = ElfHeaders(self._fd)
        return headers.layout, self._elf_segments(headers)

    def _elf_segments(self, headers: ElfHeaders) -> list[NoteSegment]:
        """Returns the PT_NOTEs, and checks that no segment extends past the end of the file."""
        segments: list[NoteSegment] = []
        end = 0
        try:
            for phdr in headers:
                if phdr.p_type in (PT_LOAD, PT_NOTE) and phdr.p_filesz:
                    end = max(end, int(phdr.p_offset + phdr.p_filesz))
                if phdr.p_type == PT_NOTE:
                    _add_segment(segments, phdr)
        except VmcoreFormatError as error:
            self._damage.append(error)
        if end > self.file_size:
            self._damage.append(VmcoreFormatError("file with its segments", end, self.file_size))
        return segments

    def _walk(self, segments: list[NoteSegment]) -> Iterator[Note]:
        index = 0
        for segment in segments:
            walk = NoteWalk(self._fd, self.file_size, segment, self.layout, index)
            for note in walk:
                index = note.index + 1
                yield note
            self._damage += walk.damage
            if index >= MAX_NOTES:
                return


def _add_segment(segments: list[NoteSegment], phdr: Any) -> None:
    if len(segments) == MAX_NOTE_SEGMENTS:
        raise VmcoreFormatError("note segments", f"at most {MAX_NOTE_SEGMENTS}", "more")
    align = 8 if phdr.p_align == 8 else 4
    segments.append(NoteSegment(int(phdr.p_offset), int(phdr.p_filesz), align))
