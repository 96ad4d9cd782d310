"""Reads a note's payload into memory.

It is read, not mapped: if the file becomes shorter, an access to a mapping kills the process
(SIGBUS), and nothing can prevent that. Holes of the file take no memory.
"""

from __future__ import annotations

import mmap
import os

from vmcoredd.vmcore.copying import data_runs
from vmcoredd.vmcore.errors import PayloadTooLarge, VmcoreFormatError
from vmcoredd.vmcore.view import File, descriptor, pieces

MAX_PAYLOAD = 1 << 30  # bytes; cxgb4 requests 32 MiB
PIECE = 8 << 20  # bytes per system call


def read_payload(file: File, offset: int, size: int, what: str) -> memoryview:
    """Returns a read-only view of `size` bytes at `offset` of the vmcore.

    Raises `PayloadTooLarge` for more than `MAX_PAYLOAD` bytes, `VmcoreFormatError` if the file is
    too short; `what` names the bytes.
    """
    if size > MAX_PAYLOAD:
        raise PayloadTooLarge(what, size, MAX_PAYLOAD)
    if not size:
        return memoryview(b"")
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    view, fd, end_of_all = memoryview(memory), descriptor(file), 0
    for piece in pieces(file, offset, size):
        shift, end_of_piece = piece.start - offset - piece.place, piece.place + piece.size
        for start, end in data_runs(fd, piece.place, end_of_piece):
            _fill(fd, start, view[start + shift : end + shift])
        end_of_all = max(end_of_all, end_of_piece)
    have = os.lseek(fd, 0, os.SEEK_END)
    if have < end_of_all:
        what = f"{what}, whose file became shorter while it was read"
        raise VmcoreFormatError(what, size, max(0, size - (end_of_all - have)))
    return view.toreadonly()


def _fill(fd: int, offset: int, view: memoryview) -> None:
    """Reads into `view` until it is full or the file ends."""
    done = 0
    while done < len(view) and (read := os.preadv(fd, [view[done : done + PIECE]], offset + done)):
        done += read
