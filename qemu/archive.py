"""A cpio archive in the kernel's format `newc` (Documentation: initramfs buffer format).

It is deterministic: equal contents give equal bytes. Members are sorted, owned by root and dated
1970; their folders are added. The kernel also unpacks archives that follow one another.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

MAGIC = b"070701"
TRAILER = "TRAILER!!!"
ALIGNMENT = 4


@dataclass(frozen=True)
class Member:
    """One inode of the archive: its mode with the type bits, and its content."""

    mode: int
    content: bytes = b""


def file(content: bytes, mode: int = 0o644) -> Member:
    """Returns a regular file."""
    return Member(stat.S_IFREG | mode, content)


def link(target: str) -> Member:
    """Returns a symbolic link."""
    return Member(stat.S_IFLNK | 0o777, os.fsencode(target))


def archive(members: Mapping[str, Member]) -> bytes:
    """Returns a cpio archive of `members`, keyed by absolute path without the leading `/`."""
    named = dict.fromkeys(_folders(members), Member(stat.S_IFDIR | 0o755)) | dict(members)
    records = [
        _record(inode, name, member)
        for inode, (name, member) in enumerate(sorted(named.items()), 1)
    ]
    return b"".join([*records, _record(0, TRAILER, Member(0))])


def _folders(names: Mapping[str, Member]) -> Iterator[str]:
    for name in names:
        for parent in PurePosixPath(name).parents:
            if parent != PurePosixPath("."):
                yield str(parent)


def _record(inode: int, name: str, member: Member) -> bytes:
    """Returns header (13 fields of 8 hex digits), name and content, each padded to 4 bytes."""
    path = os.fsencode(name) + b"\0"
    links = 2 if stat.S_ISDIR(member.mode) else 1
    owner, group, mtime = 0, 0, 0
    device = (0, 0, 0, 0)
    checksum = 0
    fields = (
        *(inode, member.mode, owner, group, links, mtime, len(member.content)),
        *(*device, len(path), checksum),
    )
    header = MAGIC + b"".join(b"%08X" % field for field in fields)
    return _padded(header + path) + _padded(member.content)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % ALIGNMENT)
