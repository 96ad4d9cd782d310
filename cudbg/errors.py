"""What can go wrong with a dump: one tree, each error with its place."""

from __future__ import annotations


class CudbgError(Exception):
    """Every error of this package."""


class DumpFormatError(CudbgError):
    """A dump (or a part of one) that is not what it claims to be."""

    def __init__(self, what: str, need: int | None = None, have: int | None = None) -> None:
        self.what, self.need, self.have = what, need, have
        sizes = "" if need is None else f": need {need} bytes, have {have}"
        super().__init__(what + sizes)


class Status(CudbgError):
    """How a collector fails: the code of its header, and the `sys_err` beside it.

    A `sys_err` other than 0 makes the code -29 in the header, as in the kernel.
    """

    def __init__(self, code: int, sys_err: int = 0) -> None:
        self.code, self.sys_err = code, sys_err
        super().__init__(f"status {code}, sys_err {sys_err}")
