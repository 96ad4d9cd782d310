"""The notes of a base: every byte of its note segments finds a place in the vmcore made from it.

Readers of vmcores expect one PT_NOTE whose notes are padded to four bytes; makedumpfile and crash
look at a single one. So segments that hold only notes are merged into one run. A segment that
cannot be merged, because it holds something else or has notes behind a zero header, is kept byte
for byte: the first one at the end of the run, where it hides no other, the others as PT_NOTEs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from vmcoredd.vmcore.copying import data_runs
from vmcoredd.vmcore.elf import Layout, round_up
from vmcoredd.vmcore.extents import Source
from vmcoredd.vmcore.notes import HEADER, MAX_NOTES, MAX_OWNER, NoteSegment
from vmcoredd.vmcore.view import read_some

MAX_ZEROS = 256 << 20  # bytes of padding behind notes that are read, in all
CHUNK = 1 << 20
_TRIES = {8: ((8, True), (4, True), (8, False), (4, False)), 4: ((4, False),)}
"""By a segment's alignment: paddings to try, and whether each note must have a readable name.

Some writers align a segment to 8 bytes and pad its notes to 4.
"""


class Piece(NamedTuple):
    """`size` bytes of notes: those of `source` at `offset`, or zeros."""

    source: Source | None
    offset: int
    size: int


class _Place(NamedTuple):
    """A note in its segment: offsets from the segment's start, sizes in bytes."""

    offset: int
    name_end: int
    desc: int
    end: int


class BaseNotes:
    """Collects the note segments of the core file `file`.

    `merged` is the run of notes with padding to four bytes, `separate` are the segments that are
    kept on their own. At most `MAX_NOTES` notes and `MAX_ZEROS` bytes of padding are examined; what
    is behind them is kept as it is.
    """

    def __init__(self, file: Source, layout: Layout) -> None:
        self._file = file
        self._layout = layout
        self._notes_left = MAX_NOTES
        self._zeros_left = MAX_ZEROS
        self._merged: list[Piece] = []
        self._last: list[Piece] = []
        self.separate: list[NoteSegment] = []

    @property
    def merged(self) -> list[Piece]:
        """The run of notes, in order."""
        return self._merged + self._last

    def add(self, segment: NoteSegment) -> None:
        """Adds a segment. With `align` 8 the notes are padded to eight bytes, or to four."""
        for align, named in _TRIES[segment.align]:
            places = self._places(segment, align, named)
            if places is not None:
                self._merged += self._pieces(segment, places, align)
                return
        if segment.align != 8 and not self._last:
            self._last = [*_padded(Piece(self._file, segment.offset, segment.size))]
        else:
            self.separate.append(segment)

    def _pieces(self, segment: NoteSegment, places: list[_Place], align: int) -> Iterator[Piece]:
        if align == 4 and places:
            yield from _padded(Piece(self._file, segment.offset, places[-1].end))
        elif align == 8:
            for place in places:
                for start, end in ((place.offset, place.name_end), (place.desc, place.end)):
                    yield from _padded(Piece(self._file, segment.offset + start, end - start))

    def _places(self, segment: NoteSegment, align: int, named: bool) -> list[_Place] | None:
        """Returns the notes of a segment; None unless they, and zeros behind them, are all of it.

        With `named`, each must have a readable name: a walk with the wrong padding finds none.
        """
        places: list[_Place] = []
        at = 0
        while at < segment.size:
            size = min(HEADER + MAX_OWNER, segment.size - at)
            head = read_some(self._file.fileno(), segment.offset + at, size)
            if not any(head[:HEADER]):
                behind = self._only_zeros(segment.offset + at, segment.offset + segment.size)
                return places if behind else None
            place = self._place(head, at, align)
            if place is None or place.end > segment.size or not self._notes_left:
                return None
            if named and not _is_name(head[HEADER : place.name_end - at]):
                return None
            self._notes_left -= 1
            places.append(place)
            at = round_up(place.end, align)
        return places

    def _place(self, head: bytes, at: int, align: int) -> _Place | None:
        """Returns the note at `at`, which is a multiple of `align`; None for a part of a header."""
        if len(head) < HEADER:
            return None
        header = self._layout.nhdr.from_buffer_copy(head)
        name_end = at + HEADER + header.n_namesz
        desc = round_up(name_end, align) if header.n_descsz else name_end
        return _Place(at, name_end, desc, desc + header.n_descsz)

    def _only_zeros(self, start: int, end: int) -> bool:
        for first, last in data_runs(self._file.fileno(), start, end):
            for at in range(first, last, CHUNK):
                self._zeros_left -= CHUNK
                data = os.pread(self._file.fileno(), min(CHUNK, last - at), at)
                if self._zeros_left < 0 or data.count(0) < len(data):
                    return False
        return True


def _is_name(data: bytes) -> bool:
    return data.endswith(b"\0") and data[:-1].isascii() and data[:-1].decode("ascii").isprintable()


def _padded(piece: Piece) -> Iterator[Piece]:
    if piece.size:
        yield piece
    if padding := -piece.size % 4:
        yield Piece(None, 0, padding)
