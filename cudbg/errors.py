"""What can go wrong: one tree, each error with its place."""

from __future__ import annotations

import errno
import os


class CudbgError(Exception):
    """Every error of this package."""


class FormatError(CudbgError):
    """A dump (or a part of one) that is not what it claims to be."""

    def __init__(self, what: str, need: int | None = None, have: int | None = None) -> None:
        self.what, self.need, self.have = what, need, have
        sizes = "" if need is None else f": need {need} bytes, have {have}"
        super().__init__(what + sizes)


class DeviceError(CudbgError):
    """The device answered, but not as it must; `code` is the kernel's (-errno).

    `rows` and `used` tell how many rows of the program were completed, and the bytes they gave.
    """

    def __init__(self, code: int, what: str, *, rows: int = 0, used: int = 0) -> None:
        self.code, self.what, self.rows, self.used = code, what, rows, used
        super().__init__(f"{what}: {errno_name(code)}")


class DeadDevice(DeviceError):
    """The way to the device is gone; no later access will succeed either."""

    def __init__(self, code: int, what: str, *, rows: int = 0, used: int = 0) -> None:
        super().__init__(code, what, rows=rows, used=used)
        self.args = (f"{_DEATHS.get(-code, 'the device cannot be reached')} ({self})",)


class Status(CudbgError):
    """How a collector fails: the code of its header, and the `sys_err` beside it.

    A `sys_err` other than 0 makes the code -29 in the header, as in the kernel.
    """

    def __init__(self, code: int, sys_err: int = 0) -> None:
        self.code, self.sys_err = code, sys_err
        super().__init__(f"status {code}, sys_err {sys_err}")


_DEATHS = {
    errno.EIO: "the device is gone",
    errno.ETIMEDOUT: "the device did not answer in time",
    errno.EPROTO: "the device's server broke the protocol",
}


def errno_name(code: int) -> str:
    """`-EAGAIN (Resource temporarily unavailable)` for -11."""
    name = errno.errorcode.get(-code)
    return f"-{name} ({os.strerror(-code)})" if name else str(code)
