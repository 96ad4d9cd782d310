"""A cpio archive as the kernel unpacks it: format `newc` (Documentation: initramfs buffer format).

Deterministic: the same entries give the same bytes. Everything belongs to root and is as old as the
epoch; entries are sorted, and their folders are added.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

MAGIC = b"070701"
TRAILER = "TRAILER!!!"
ALIGNMENT = 4


@dataclass(frozen=True)
class Entry:
    """One inode: its mode with the type bits, and its content (a symlink's target)."""

    mode: int
    content: bytes = b""


def file(content: bytes, mode: int = 0o644) -> Entry:
    """A regular file."""
    return Entry(stat.S_IFREG | mode, content)


def symlink(target: str) -> Entry:
    """A symbolic link."""
    return Entry(stat.S_IFLNK | 0o777, target.encode())


def archive(entries: Mapping[str, Entry]) -> bytes:
    """The archive of `entries`, which are named by their absolute path without the first `/`."""
    named = dict.fromkeys(_folders(entries), Entry(stat.S_IFDIR | 0o755)) | dict(entries)
    records = [
        _record(inode, name, entry) for inode, (name, entry) in enumerate(sorted(named.items()), 1)
    ]
    return b"".join([*records, _record(0, TRAILER, Entry(0))])


def _folders(names: Mapping[str, Entry]) -> Iterator[str]:
    for name in names:
        for parent in PurePosixPath(name).parents:
            if parent != PurePosixPath("."):
                yield str(parent)


def _record(inode: int, name: str, entry: Entry) -> bytes:
    """Header (13 fields of 8 hex digits), name and content, each padded to 4 bytes."""
    path = name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    owner, group, mtime = 0, 0, 0
    device = (0, 0, 0, 0)
    checksum = 0
    fields = (
        *(inode, entry.mode, owner, group, links, mtime, len(entry.content)),
        *(*device, len(path), checksum),
    )
    header = MAGIC + b"".join(b"%08X" % field for field in fields)
    return _padded(header + path) + _padded(entry.content)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % ALIGNMENT)
