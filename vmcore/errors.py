"""Errors of this package, a tree under `VmcoreError`.

Errors of the operating system (no such file, disk full) are raised as `OSError`.
"""

from __future__ import annotations

import os

from vmcoredd.plural import exact


class VmcoreError(Exception):
    """Base of this package's errors."""


class VmcoreFormatError(VmcoreError):
    """A file is truncated, invalid, or of an unsupported format.

    `what` names the part of the file; `need` and `have` are byte counts, or text if the problem is
    not one of size.
    """

    def __init__(self, what: str, need: int | str, have: int | str) -> None:
        super().__init__(what, need, have)
        self.what = what
        self.need = need
        self.have = have

    def __str__(self) -> str:
        return f"{self.what}: need {_amount(self.need)}, have {_amount(self.have)}"


class Cut(VmcoreFormatError):
    """A file ends before its contents do."""

    def __str__(self) -> str:
        return f"{super().__str__()}: the file is cut: copy it again"


class PayloadTooLarge(VmcoreError):
    """A payload of `size` bytes is not read into memory, which is limited to `most` bytes."""

    def __init__(self, what: str, size: int, most: int) -> None:
        super().__init__(what, size, most)
        self.what = what
        self.size = size
        self.most = most

    def __str__(self) -> str:
        return f"{self.what}: {self.size} bytes, at most {self.most} are read into memory"


class DumpRefused(VmcoreError, OSError):
    """A device dump was not added; `errno` is the kernel's error, positive."""

    def __init__(self, errno: int, why: str) -> None:
        super().__init__(errno, f"{os.strerror(errno)}: {why}")


class CallbackFailed(VmcoreError):
    """A dump's callback returned `returned`, which is not 0: a negative errno, as in the kernel."""

    def __init__(self, name: str, returned: int) -> None:
        super().__init__(name, returned)
        self.name = name
        self.returned = returned

    def __str__(self) -> str:
        return f"{self.name}: the dump callback returned {self.returned}"


class OutputExists(VmcoreError, FileExistsError):
    """The output exists already, and `force` was not given."""


class OutputUnsuitable(VmcoreError):
    """The output cannot be written there, or not safely; the text says why."""


class OutputClosed(VmcoreError):
    """The reader of a pipe went before it had all of the output."""


class NoSuchNote(VmcoreError, IndexError):
    """The file has no note with this index."""

    def __init__(self, index: int, count: int) -> None:
        super().__init__(index, count)
        self.index = index
        self.count = count

    def __str__(self) -> str:
        numbered = ", numbered from 0" * bool(self.count)
        return f"no note {self.index}: the file has {exact(self.count, 'note')}{numbered}"


def _amount(value: int | str) -> str:
    return f"{exact(value, 'byte')}" if isinstance(value, int) else value
