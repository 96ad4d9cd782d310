"""The recorded form: a ZIP of NumPy arrays, which `numpy.load` opens and `unzip` unpacks.

    header.json         what was recorded: the card with its profile, seed, scene and faults
    records/00000000.npy, ...    arrays of records (`ring.h`), one after the other
    end.json            the mark of a complete trace: events, and how many the ring lost

The ZIP's directory comes last, so only a complete trace has one. The reader does without: it reads
the members in order, and of a trace whose recorder was killed as far as it goes.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from vmcoredd.trace.errors import TraceExists, TraceFormatError
from vmcoredd.trace.records import COLUMNS, RECORD_BYTES, Assembler, Record

FORMAT, VERSION = "vmcoredd trace", 1
HEADER, END, RECORDS = "header.json", "end.json", "records/"
LEVEL = 1
"""Of compression: fast."""
_NPY = b"\x93NUMPY\x01\x00"
_NPY_ALIGN = 64


class Writer:
    """Writes a trace to a new file; `header` is what its reader gets.

    Raises TraceExists unless `force`, and OSError.
    """

    def __init__(
        self, path: str | os.PathLike[str], header: Mapping[str, Any], *, force: bool = False
    ) -> None:
        self.path = Path(path)
        try:
            self._file = self.path.open("wb" if force else "xb")
        except FileExistsError as error:
            raise TraceExists(f"{self.path} exists") from error
        self._zip = zipfile.ZipFile(self._file, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL)
        self._arrays = 0
        self._put(HEADER, _json({"format": FORMAT, "version": VERSION, **header}))

    def add(self, records: bytes | bytearray | memoryview) -> None:
        """Adds whole records, as one array."""
        with self._zip.open(f"{RECORDS}{self._arrays:08}.npy", "w") as member:
            member.write(_npy_header(len(records) // RECORD_BYTES))
            member.write(records)
        self._file.flush()
        self._arrays += 1

    def finish(self, end: Mapping[str, Any]) -> None:
        """Marks the trace as complete, and closes it."""
        self._put(END, _json(end))
        self._zip.close()
        self._file.close()

    def abandon(self) -> None:
        """Closes the file without the mark."""
        self._zip.fp = None  # else it writes a directory, also when it is collected
        with contextlib.suppress(OSError):  # of what a full disk has not taken
            self._file.close()

    def _put(self, name: str, content: bytes) -> None:
        self._zip.writestr(name, content)
        self._file.flush()


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, indent=1).encode() + b"\n"


def _npy_header(count: int) -> bytes:
    """The head of an array of records (numpy.lib.format, version 1.0)."""
    text = repr({"descr": COLUMNS, "fortran_order": False, "shape": (count,)}).encode()
    room = -(len(_NPY) + 2 + len(text) + 1) % _NPY_ALIGN
    text += b" " * room + b"\n"
    return _NPY + struct.pack("<H", len(text)) + text


# Reading


def mark(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Returns end.json, if the file has a directory that leads to it; None: it is incomplete."""
    try:
        with zipfile.ZipFile(path) as whole, whole.open(END) as member:
            found = json.loads(member.read(JSON_MOST))
    except (
        zipfile.BadZipFile,
        KeyError,
        ValueError,
        RecursionError,
        OSError,
        NotImplementedError,
        zlib.error,
    ):
        return None
    return found if isinstance(found, dict) and _is_mark(found) else None


def _is_mark(found: Mapping[str, Any]) -> bool:
    """Returns whether it has the counts that the mark of a complete trace has."""
    counts = (found.get("events"), found.get("lost"))
    return all(type(count) is int and count >= 0 for count in counts)


_LOCAL = struct.Struct("<4s5H3I2H")
_LOCAL_MAGIC, _DIRECTORY_MAGIC = b"PK\x03\x04", (b"PK\x01\x02", b"PK\x05\x06")
_STORED, _DEFLATED = 0, 8
_PIECE = 1 << 20
JSON_MOST = 16 << 20
"""Bytes of header.json or end.json at most."""


class Reader:
    """Reads a trace: `header`, then `records()` in order, then `end`.

    A file that cannot be opened raises OSError, one that is no trace TraceFormatError.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file: IO[bytes] = self.path.open("rb")
        self._rest = b""
        self.header: dict[str, Any] = {}
        self.end: dict[str, Any] | None = None
        """What end.json says, once all records are read; None: the trace is incomplete."""
        self.damage = ""
        """Why not all of the file could be read, once as much as possible is."""
        try:
            self._read_header()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _read_header(self) -> None:
        try:
            found = self._next()
            content = self._json() if found == HEADER else None
        except (TraceFormatError, zlib.error) as error:
            raise TraceFormatError(f"it is no trace: {error}") from error
        if content is None or content.get("format") != FORMAT:
            raise TraceFormatError("it is no trace: it does not begin with a trace's header")
        if content.get("version") != VERSION:
            raise TraceFormatError(
                f"a trace of version {content.get('version')}, but this program knows {VERSION}"
            )
        if not isinstance(content.get("faults", []), list):
            raise TraceFormatError("a header whose faults are no list")
        self.header = content

    def records(self) -> Iterator[Record]:
        """Yields the records that can be read; sets `end` or `damage`."""
        whole = Assembler()
        try:
            while name := self._next():
                if name == END:
                    end = self._json()
                    if not _is_mark(end):
                        raise TraceFormatError("a mark without its counts")
                    self.end = end
                    return
                if not name.startswith(RECORDS):
                    raise TraceFormatError(f"a member {name!r}")
                yield from self._array(whole)
            self.damage = "it ends without its mark: whoever recorded it was killed"
        except (TraceFormatError, zlib.error) as error:
            self.damage = f"it is damaged: {error}"
        finally:
            if whole.unfinished and not self.damage:
                self.damage, self.end = "it is damaged: its last record lacks data", None

    # Members

    def _next(self) -> str:
        """Goes to the next member and returns its name; empty at the end of the members."""
        head = self._take(_LOCAL.size)
        if head[:4] in _DIRECTORY_MAGIC or not head:
            return ""
        if len(head) < _LOCAL.size:
            raise TraceFormatError("its last member is cut")
        magic, _, _, method, *_, name_bytes, extra_bytes = _LOCAL.unpack(head)
        if magic != _LOCAL_MAGIC or method != _DEFLATED:
            raise TraceFormatError("no member of a ZIP where one should begin")
        name = self._take(name_bytes + extra_bytes)[:name_bytes]
        return name.decode(errors="replace")

    def _take(self, size: int) -> bytes:
        while len(self._rest) < size and (more := self._file.read(_PIECE)):
            self._rest += more
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    def _inflated(self) -> Iterator[bytes]:
        """Yields the content of the member, in pieces of limited size.

        The sizes in its head are not needed, and those of one that was cut are not there.
        """
        inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        source = self._rest
        while not inflate.eof:
            source = source or self._file.read(_PIECE)
            if not source:
                self._rest = b""
                raise TraceFormatError("its last member is cut")
            if piece := inflate.decompress(source, _PIECE):
                yield piece
            source = inflate.unconsumed_tail
        self._rest = inflate.unused_data

    def _json(self) -> dict[str, Any]:
        content = bytearray()
        for piece in self._inflated():
            content += piece
            if len(content) > JSON_MOST:
                raise TraceFormatError("a header without end")
        try:
            found = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise TraceFormatError(f"a header that is no JSON: {error}") from error
        if not isinstance(found, dict):
            raise TraceFormatError("a header that is no JSON object")
        return found

    def _array(self, whole: Assembler) -> Iterator[Record]:
        rest, has_head = bytearray(), False
        for piece in self._inflated():
            rest += piece
            if not has_head:
                has_head = _skip_npy_header(rest)
            if has_head:
                end = len(rest) // RECORD_BYTES * RECORD_BYTES
                yield from whole.add(bytes(rest[:end]))
                del rest[:end]
        if rest or not has_head:
            raise TraceFormatError("an array that does not end with a record")


def _skip_npy_header(content: bytearray) -> bool:
    """Removes the head of an array, and returns whether it was whole."""
    start = len(_NPY) + 2
    if len(content) < start:
        return False
    if content[: len(_NPY)] != _NPY:
        raise TraceFormatError("a member that is no array")
    (size,) = struct.unpack_from("<H", content, len(_NPY))
    if len(content) < start + size:
        return False
    if repr(COLUMNS).encode() not in content[start : start + size]:
        raise TraceFormatError("an array of other columns than records have")
    del content[: start + size]
    return True
