"""Opens what the user names: a vmcore, a device dump without a vmcore around it, or `-`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmcoredd import cudbg, vmcore

STDIN = 0
_STREAM = re.compile(r"/(?:dev|proc/self)/fd/(\d+)|/dev/stdin|-")
"""Names of descriptors: `-`, and what shells give for `<(command)`."""


def opened(path: str | Path) -> vmcore.Reader:
    """Opens a vmcore, or a bare dump: what `extract`, `crash` and `ethtool -w` write.

    Found by its first bytes. Standard input (`-`) is copied to a file without a name where it is a
    pipe. Raises as `vmcore.Reader`.
    """
    from vmcoredd import vmcore

    fd = stream(path)
    spool = None if fd is None else vmcore.spooled(fd)
    return vmcore.Reader(path, fd=spool, is_payload=_is_dump)


def dump_of(reader: vmcore.Reader, note: vmcore.Note) -> cudbg.Dump:
    """Returns the dump in a note; see `cudbg.in_note`."""
    from vmcoredd.cudbg import in_note

    return in_note.dump_of(reader, note)


def stream(path: str | Path) -> int | None:
    """Returns the descriptor that `path` names; None if it names a file."""
    found = _STREAM.fullmatch(str(path))
    return found and int(found[1] or STDIN)


def _is_dump(start: bytes) -> bool:
    from vmcoredd import cudbg

    return cudbg.is_dump(start)
