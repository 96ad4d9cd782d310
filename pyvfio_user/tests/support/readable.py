"""Waits for what can be read, whatever the numbers of the descriptors."""

from __future__ import annotations

import select
from collections.abc import Sequence
from typing import Protocol, TypeVar


class _File(Protocol):
    def fileno(self) -> int: ...


File = TypeVar("File", bound=int | _File)


def readable(files: Sequence[File], seconds: float | None = None) -> list[File]:
    """Returns those that can be read or are at their end, once there is one or the time is up.

    select.select() refuses descriptors above 1023.
    """
    poll, by_number = select.poll(), {}
    for file in files:
        poll.register(file, select.POLLIN)
        by_number[file if isinstance(file, int) else file.fileno()] = file
    found = poll.poll(None if seconds is None else max(seconds, 0) * 1000)
    return [by_number[number] for number, _ in found]
