"""ELF notes: their types, and a walk over an untrusted note segment."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass

from vmcoredd.plural import exact
from vmcoredd.vmcore.elf import (
    NT_VMCOREDD,
    VMCOREDD_MAX_NAME_BYTES,
    VMCOREDD_NOTE_NAME,
    Layout,
    round_down,
    round_up,
)
from vmcoredd.vmcore.errors import VmcoreFormatError
from vmcoredd.vmcore.view import File, read_some

MAX_NOTES = 1 << 16  # a kernel writes one per processor (at most 8192) and adapter, and VMCOREINFO
MAX_PADDING = 64 << 20  # bytes of zeros that are searched for notes behind them
MAX_OWNER = 256  # bytes of an owner's name that are read
HEADER = 12  # sizeof(Elf64_Nhdr)
_SLICE = 1 << 20
_HEAD = HEADER + MAX_OWNER + 8 + VMCOREDD_MAX_NAME_BYTES  # read of a note, padding included

# include/uapi/linux/elf.h; a number's meaning depends on the owner.
_TYPES = {
    ("CORE", 1): "NT_PRSTATUS",
    ("CORE", 2): "NT_PRFPREG",
    ("CORE", 3): "NT_PRPSINFO",
    ("CORE", 4): "NT_TASKSTRUCT",
    ("CORE", 6): "NT_AUXV",
    ("CORE", 0x46494C45): "NT_FILE",
    ("CORE", 0x53494749): "NT_SIGINFO",
    ("LINUX", 0x200): "NT_386_TLS",
    ("LINUX", 0x202): "NT_X86_XSTATE",
    ("LINUX", NT_VMCOREDD): "NT_VMCOREDD",
}


@dataclass(frozen=True, slots=True)
class NoteSegment:
    """A run of notes in a file: `size` bytes at `offset`, each note padded to `align` (4 or 8)."""

    offset: int
    size: int
    align: int = 4

    @classmethod
    def aligned(cls, offset: int, size: int, align: int) -> NoteSegment:
        """Returns a segment with `align` from a header, where any number but 8 means 4."""
        return cls(offset, size, 8 if align == 8 else 4)


@dataclass(frozen=True, slots=True)
class Note:
    """One note of a file; offsets are from the start of the file, sizes in bytes.

    `offset` is that of the note's header and `size` its n_descsz. `name` is the name of a device
    dump, or None for any other note. `payload_offset` and `payload_size` locate the data of a
    device dump, after its 44-byte name, or the descriptor of another note. `present` is the number
    of payload bytes that the file contains. `owner` and `type` are None for a payload without a
    note, which is a whole file: see `of_payload`.
    """

    index: int
    offset: int
    size: int
    owner: str | None
    type: int | None
    name: str | None
    payload_offset: int
    payload_size: int
    present: int

    @classmethod
    def of_payload(cls, name: str, size: int) -> Note:
        """Describes a file of `size` bytes that is a device dump's payload, without a note."""
        return cls(0, 0, size, None, None, name, 0, size, size)

    @property
    def is_device_dump(self) -> bool:
        """Whether it is a device dump (NT_VMCOREDD of LINUX), or the payload of one."""
        return self.name is not None

    @property
    def is_complete(self) -> bool:
        """Whether the file contains the whole payload."""
        return self.present == self.payload_size

    @property
    def type_name(self) -> str | None:
        """The type's name, such as `NT_VMCOREDD`, or its number in hexadecimal if it has none."""
        if self.owner is None or self.type is None:
            return None
        return _TYPES.get((self.owner, self.type), f"0x{self.type:08x}")


class NoteWalk:
    """The notes of one segment; reads only their headers (a few hundred bytes each).

    `damage` collects the problems found; the walk continues as long as the next note's offset is
    known. Zeros after the last note are padding, as in the kernel's own buffers; zeros between two
    notes are damage. No more than `max_padding` bytes of zeros are read; `padding_left` is what
    remains of them. `is_cut` tells whether a limit ended the walk.
    """

    def __init__(
        self,
        fd: File,
        file_size: int,
        segment: NoteSegment,
        layout: Layout,
        first_index: int = 0,
        *,
        max_padding: int = MAX_PADDING,
    ) -> None:
        self._fd = fd
        self._file_size = file_size
        self._segment = segment
        self._layout = layout
        self._index = first_index
        self._next = segment.offset
        self._end = segment.offset + segment.size
        self.padding_left = max_padding
        self.is_cut = False
        self.damage: list[VmcoreFormatError] = []

    def __iter__(self) -> Iterator[Note]:
        while self._next < self._end:
            if self._index >= MAX_NOTES:
                self._cut("notes", f"at most {MAX_NOTES}", "more, which are not listed")
                return
            note = self._read(min(_HEAD, self._left()))
            if note is None:
                return
            yield note
            self._index += 1

    def _left(self) -> int:
        return self._end - self._next

    def _report(self, what: str, need: int | str, have: int | str) -> None:
        self.damage.append(VmcoreFormatError(what, need, have))

    def _cut(self, what: str, need: str, have: str) -> None:
        self._report(what, need, have)
        self.is_cut = True

    def _read(self, size: int) -> Note | None:
        """Reads the note at `_next` and advances; None at the end of the walk."""
        head = read_some(self._fd, self._next, size)
        if len(head) >= min(HEADER, size) and not any(head[:HEADER]):
            if not self._skip_zeros():
                return None
            head = read_some(self._fd, self._next, min(_HEAD, self._left()))
        what = f"note {self._index}"
        if len(head) < HEADER:
            self._report(f"{what}'s header", HEADER, len(head))
            return None
        header = self._layout.nhdr.from_buffer_copy(head)
        name_end = HEADER + header.n_namesz
        if name_end > self._left():
            self._report(f"{what}'s name", header.n_namesz, self._left() - HEADER)
            return None
        return self._describe(header, head, what)

    def _skip_zeros(self) -> bool:
        """Moves `_next` behind the zeros there; False if only zeros follow, or at a limit."""
        start, end = self._next, min(self._end, self._file_size)
        at = start
        while at < end:
            data = read_some(self._fd, at, min(_SLICE, end - at, self.padding_left))
            self.padding_left -= len(data)
            if rest := data.lstrip(b"\0"):
                at += len(data) - len(rest) - self._segment.offset
                self._next = self._segment.offset + round_down(at, self._segment.align)
                have = f"{exact(self._next - start, 'byte')} of zeros, then more bytes"
                self._report(f"note {self._index} at {start:#x}", "its header", have)
                return True
            if not data:
                self._cut(f"zeros at {start:#x}", f"at most {MAX_PADDING} bytes", "more")
                return False
            at += len(data)
        return False

    def _describe(self, header: ctypes.Structure, head: bytes, what: str) -> Note:
        offset, namesz, descsz = self._next, int(header.n_namesz), int(header.n_descsz)
        start = round_up(HEADER + namesz, self._segment.align)
        owner = _text(head[HEADER : HEADER + min(namesz, MAX_OWNER)])
        name, skip = self._dump_name(header.n_type, owner, descsz, head[start:], what)
        end = min(self._file_size, self._end)
        present = max(0, min(descsz - skip, end - offset - start - skip))
        self._next = offset + round_up(start + descsz, self._segment.align)
        if present < descsz - skip:
            have = max(0, min(descsz, end - offset - start))
            self._report(f"{what} ({owner})", descsz, have)
            self._next = self._end
        return Note(
            index=self._index,
            offset=offset,
            size=descsz,
            owner=owner,
            type=int(header.n_type),
            name=name,
            payload_offset=offset + start + skip,
            payload_size=descsz - skip,
            present=present,
        )

    def _dump_name(
        self, number: int, owner: str, descsz: int, desc: bytes, what: str
    ) -> tuple[str | None, int]:
        """Returns a device dump's name and its size in bytes; (None, 0) for any other note."""
        if number != NT_VMCOREDD or owner != VMCOREDD_NOTE_NAME.decode():
            return None, 0
        if descsz < VMCOREDD_MAX_NAME_BYTES:
            self._report(f"{what}'s device dump name", VMCOREDD_MAX_NAME_BYTES, descsz)
            return None, 0
        return _text(desc[:VMCOREDD_MAX_NAME_BYTES]), VMCOREDD_MAX_NAME_BYTES


def _text(raw: bytes) -> str:
    """Decodes a NUL-terminated name, with unprintable characters as escapes."""
    text = raw.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
