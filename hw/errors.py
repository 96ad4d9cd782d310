"""Errors of register accesses, each with the kernel's -errno."""

from __future__ import annotations

import errno
import os
from typing import ClassVar


class DeviceError(Exception):
    """The device did something unexpected; `code` is the -errno that the kernel's driver returns.

    `rows` counts the program's completed rows, `used` the bytes that they kept.
    """

    def __init__(self, code: int, what: str, *, rows: int = 0, used: int = 0) -> None:
        self.code, self.what, self.rows, self.used = code, what, rows, used
        super().__init__(f"{what}: {errno_name(code)}")


class DeadDevice(DeviceError):
    """The device can no longer be reached; all later accesses fail too."""

    death: ClassVar[str] = ""
    """What has happened; empty if the code says that."""

    def __init__(self, code: int, what: str, *, rows: int = 0, used: int = 0) -> None:
        super().__init__(code, what, rows=rows, used=used)
        death = self.death or _DEATHS.get(-code, "the device cannot be reached")
        self.args = (f"{death} ({self})",)


class AdapterGone(DeadDevice):
    """The connection works, but the adapter's registers read all ones, as after its removal."""

    death = "the adapter reads all ones: it is gone"


_DEATHS = {
    errno.EIO: "the device is gone",
    errno.ETIMEDOUT: "the device did not answer in time",
    errno.EPROTO: "the device's server broke the protocol",
}


def errno_name(code: int) -> str:
    """Returns `-EAGAIN (Resource temporarily unavailable)` for -11."""
    name = errno.errorcode.get(-code)
    return f"-{name} ({os.strerror(-code)})" if name else str(code)
