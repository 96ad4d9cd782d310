"""Errors of the driver; those of register accesses are in `hw.errors`."""

from __future__ import annotations

from vmcoredd.hw.errors import DeviceError


class DriverError(Exception):
    """Base of the driver's errors, except those that are `DeviceError`s."""


class ProbeError(DriverError):
    """The probe failed; `step` names the kernel function of the failed step."""

    def __init__(self, step: str, why: str) -> None:
        self.step, self.why = step, why
        super().__init__(f"{step}: {why}")


class MailboxError(DeviceError):
    """The firmware refused or did not answer command `op`; `retval` is a positive errno."""

    def __init__(self, op: str, retval: int, what: str = "") -> None:
        self.op, self.retval = op, retval
        super().__init__(-retval, f"mailbox command {op}{what}")


class WorkerDied(DriverError):
    """The process that was to dump an adapter ended before it had done so."""
