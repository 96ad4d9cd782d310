"""Errors about guests. Those of a guest or a build quote the end of its log."""

from __future__ import annotations

from pathlib import Path

TAIL_LINES = 15


class GuestError(Exception):
    """The base of all errors of this package."""


class UnknownKernel(GuestError):
    """No kernel has this name; the message lists those there are."""


class QemuUnusable(GuestError):
    """No QEMU can run these guests; the message has the reason."""


class BuildError(GuestError):
    """A step in building the guest's kernel or initramfs failed; `log` has its output."""

    def __init__(self, step: str, log: Path) -> None:
        super().__init__(f"{step} failed\nThe end of {log}:\n{tail(log)}")
        self.log = log


class RunError(GuestError):
    """A running guest failed; `log` has the details, usually its serial console."""

    def __init__(self, reason: str, log: Path) -> None:
        super().__init__(f"{reason}\nThe end of {log}:\n{tail(log)}")
        self.reason = reason
        self.log = log


class GuestTimeout(RunError):
    """An expected event did not happen in time."""

    def __init__(self, what: str, seconds: float, log: Path) -> None:
        super().__init__(f"waited {seconds:g} s for {what}", log)
        self.what = what


class GuestDied(RunError):
    """QEMU exited, or the guest's kernel panicked, during a wait."""


class PeerDied(RunError):
    """A process that the guest needs, such as an adapter's emulator, has ended."""


class CommandFailed(RunError):
    """A command in the guest exited with a code other than 0."""

    def __init__(self, command: str, code: int, output: str, log: Path) -> None:
        printed = output.strip() or "(nothing)"
        super().__init__(f"`{command}` exited with {code} in the guest and printed: {printed}", log)
        self.code = code
        self.output = output


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """Returns the last lines of a log for a message, or a text that says there are none."""
    try:
        text = log.read_bytes()[-lines * 300 :].decode(errors="replace")
    except FileNotFoundError:
        return "  (it does not exist)"
    kept = [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]
    return "\n".join(f"  {line}" for line in kept) or "  (it is empty)"
