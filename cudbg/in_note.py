"""Dumps in the notes of a vmcore: whose they are, and how much of a note has to be read.

Knows a note only by what `Note` and `Source` say, which `vmcore.Note` and `vmcore.Reader` fit.
"""

from __future__ import annotations

from typing import Protocol

from vmcoredd.cudbg.dump import Dump, is_dump
from vmcoredd.cudbg.errors import DumpFormatError
from vmcoredd.plural import counted, exact

HEAD_BYTES = 64 << 10
"""Of a payload: enough for the headers of 1,024 entities."""
_SIGNATURE_BYTES = 4
_OURS = "cxgb4_"
"""What the names begin with that cxgb4 gives its dumps: another signature in one is damage."""
_MOST_NAMES = 8
"""Of entities that are lost."""


class Note(Protocol):
    """A note of a vmcore."""

    @property
    def index(self) -> int:
        """Its number in the file."""

    @property
    def name(self) -> str | None:
        """The name of a device dump; None for another note."""

    @property
    def present(self) -> int:
        """How many bytes of its payload the file has."""

    @property
    def is_device_dump(self) -> bool:
        """Whether it is a device dump."""

    @property
    def is_complete(self) -> bool:
        """Whether the file has its whole payload."""


class Source(Protocol):
    """What reads the payload of a note."""

    def payload(self, index: int, *, partial: bool = False, most: int | None = None) -> memoryview:
        """Returns the payload of note `index`, or its first `most` bytes."""


def is_foreign(source: Source, note: Note) -> bool:
    """Returns whether a device dump is another driver's, by its first bytes and its name."""
    if not note.is_device_dump or (note.name or "").startswith(_OURS):
        return False
    if note.present < _SIGNATURE_BYTES and not note.is_complete:
        return False  # cut before its signature
    return not is_dump(source.payload(note.index, partial=True, most=_SIGNATURE_BYTES))


def dump_of(source: Source, note: Note) -> Dump:
    """Returns the dump in a note. Reads only what its headers describe: the rest is unused, and a
    crash kernel, where a dump may be read, has little memory.

    Raises as `Source.payload` and `Dump` do.
    """
    try:
        head = Dump(source.payload(note.index, partial=True, most=HEAD_BYTES))
        most = None if head.unknowns or head.cut else head.end
    except DumpFormatError:
        most = None
    return Dump(source.payload(note.index, partial=True, most=most))


def cut_off(dump: Dump, note: Note, lost: list[str]) -> str:
    """Returns what is lost of a dump whose end is missing; empty if nothing is."""
    if not lost:
        return ""
    some = ", ".join(lost[:_MOST_NAMES]) + ("" if len(lost) <= _MOST_NAMES else ", ...")
    count = f"{counted(len(lost), 'entity is', 'entities are')} lost"
    return f"need {exact(dump.end, 'byte')}, have {note.present}: {count} ({some})"
