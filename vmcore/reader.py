"""Reads the notes of a vmcore of any size, even if it is damaged."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from vmcoredd.vmcore.elf import Layout
from vmcoredd.vmcore.elf_notes import NoteSegments
from vmcoredd.vmcore.elffile import ElfHeaders
from vmcoredd.vmcore.errors import NoSuchNote, VmcoreFormatError
from vmcoredd.vmcore.files import HEAD, Format, IsPayload, identify, open_for_reading
from vmcoredd.vmcore.flattened import Flattened, is_flattened
from vmcoredd.vmcore.kdump import recognise
from vmcoredd.vmcore.kdump_pages import damage_of
from vmcoredd.vmcore.notes import MAX_PADDING, Note, NoteSegment, NoteWalk
from vmcoredd.vmcore.output import Output
from vmcoredd.vmcore.payload import read_payload
from vmcoredd.vmcore.view import File, end_of, pieces, size_of


class Reader:
    """The notes of the vmcore at `path`: ELF, or makedumpfile's kdump-compressed format.

    Supports ELF64 and ELF32 in both byte orders, /proc/vmcore itself, and the flattened form of
    either format. Needs no vmlinux. Only headers are read (and a kdump file's bitmap, a bit for
    each page), so time and memory do not depend on the file's size; those of a flattened file's
    records are headers too.

    Raises `VmcoreFormatError` if the file is not a vmcore, `OSError` if it cannot be read. If the
    file is damaged further on, as much as possible is read, and `damage` lists the problems. The
    file may become shorter at any time: what is read later then raises `VmcoreFormatError`.

    A file that is no vmcore but, as `is_payload` says of its first bytes, a device dump's payload
    is read as one device dump. With `fd`, reads this descriptor, which it closes, and `path` is
    only a name.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        fd: int | None = None,
        is_payload: IsPayload | None = None,
    ) -> None:
        self.path = os.fspath(path)
        self._fd = open_for_reading(path) if fd is None else fd
        try:
            self._damage: list[VmcoreFormatError] = []
            self._file = self._view()
            self.file_size = size_of(self._file)
            self.format: Format = identify(self._file, is_payload)
            self._notes = tuple(self._found())
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

    def payload(self, index: int, *, partial: bool = False, most: int | None = None) -> memoryview:
        """Reads the payload of note `index`, or its first `most` bytes; returns a read-only view.

        Raises `NoSuchNote` for an invalid index, `VmcoreFormatError` if the payload is truncated;
        with `partial`, returns the bytes that are present instead. Raises `PayloadTooLarge` for
        more than a GiB, which `extract` copies, and `VmcoreFormatError` if the file has become
        shorter.
        """
        note = self._present(index, partial)
        size = note.present if most is None else min(most, note.present)
        return read_payload(self._file, note.payload_offset, size, f"note {index}'s payload")

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

        with Output(out, force=force) as output:
            copier = output.copier(advance)
            for piece in pieces(self._file, note.payload_offset, note.present):
                to = piece.start - note.payload_offset
                copier.copy(self._fd, piece.place, piece.size, to)
            copier.end(note.present)
        advance(note.present)
        return note.present

    def fileno(self) -> int:
        """Returns the file's descriptor; -1 once it is closed."""
        return self._fd

    @property
    def view(self) -> File:
        """The vmcore in the file, which may be flattened."""
        return self._file

    def close(self) -> None:
        """Closes the file; payloads remain valid."""
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

    def _view(self) -> File:
        """Returns the file, or a view of it if it is flattened."""
        if not is_flattened(os.pread(self._fd, HEAD, 0)):
            return self._fd
        view = Flattened(self._fd, end_of(self._fd))
        self._damage += view.damage
        return view

    def _found(self) -> Iterator[Note]:
        if self.format == "payload":
            yield Note.of_payload(os.path.basename(self.path), self.file_size)
        else:
            yield from self._walk(*self._segments())

    def _segments(self) -> tuple[Layout, list[NoteSegment]]:
        if self.format == "kdump":
            kdump = recognise(self._file, self.file_size)
            self._damage += damage_of(self._file, self.file_size, kdump)
            return kdump.layout, [kdump.notes]
        headers = ElfHeaders(self._file)
        found = NoteSegments(headers, self.file_size)
        self._damage += found.damage
        return headers.layout, found.segments

    def _walk(self, layout: Layout, segments: list[NoteSegment]) -> Iterator[Note]:
        index, padding = 0, MAX_PADDING
        for segment in segments:
            walk = NoteWalk(self._file, self.file_size, segment, layout, index, max_padding=padding)
            for note in walk:
                index = note.index + 1
                yield note
            self._damage += walk.damage
            padding = walk.padding_left
            if walk.is_cut:
                return
        if self.format == "kdump" and not index:
            self._damage.append(VmcoreFormatError("kdump file", "notes", "none"))
