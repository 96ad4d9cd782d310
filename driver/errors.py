"""What can go wrong in the driver; what goes wrong at the registers is `cudbg.errors`."""

from __future__ import annotations

from vmcoredd.hw.errors import DeviceError


class DriverError(Exception):
    """Every error of this package that is not a device's."""


class ProbeError(DriverError):
    """The adapter could not be brought up; `step` names the kernel's function that failed."""

    def __init__(self, step: str, why: str) -> None:
        self.step, self.why = step, why
        super().__init__(f"{step}: {why}")


class MailboxError(DeviceError):
    """A command that the firmware refused, or did not answer; `retval` is an errno."""

    def __init__(self, op: str, retval: int, what: str = "") -> None:
        self.op, self.retval = op, retval
        super().__init__(-retval, f"mailbox command {op}{what}")
