"""What can go wrong with a guest. Every error that concerns one carries the tail of its log."""

from __future__ import annotations

from pathlib import Path

TAIL_LINES = 15


class GuestError(Exception):
    """The root of all errors of this package."""


class QemuUnusable(GuestError):
    """There is no QEMU that can do what we need, why, and what a person can do about it."""


class BuildError(GuestError):
    """A step in making the guest's kernel or initramfs failed; its output is in `log`."""

    def __init__(self, step: str, log: Path) -> None:
        super().__init__(f"{step} failed\nThe end of {log}:\n{tail(log)}")
        self.log = log


class RunError(GuestError):
    """Something went wrong in a guest that was running; its serial console is in `log`."""

    def __init__(self, reason: str, log: Path) -> None:
        super().__init__(f"{reason}\nThe end of {log}:\n{tail(log)}")
        self.reason = reason
        self.log = log


class GuestTimeout(RunError):
    """Something that was waited for did not happen in time."""

    def __init__(self, what: str, seconds: float, log: Path) -> None:
        super().__init__(f"waited {seconds:g} s in vain for {what}", log)
        self.what = what


class GuestDied(RunError):
    """QEMU ended, or the guest's kernel panicked, while something was waited for."""


class PeerDied(RunError):
    """A process the guest depends on (an adapter's emulator) ended under it."""


class CommandFailed(RunError):
    """A command in the guest ended with another exit code than 0."""

    def __init__(self, command: str, code: int, output: str, log: Path) -> None:
        said = output.strip() or "(nothing)"
        super().__init__(f"`{command}` ended with {code} in the guest and said: {said}", log)
        self.code = code
        self.output = output


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a log, for a message; says so when there are none."""
    try:
        text = log.read_bytes()[-lines * 300 :].decode(errors="replace")
    except FileNotFoundError:
        return "  (it does not exist)"
    kept = [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]
    return "\n".join(f"  {line}" for line in kept) or "  (it is empty)"
