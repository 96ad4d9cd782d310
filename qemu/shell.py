"""A shell in a guest, on the caller's terminal."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import termios
from collections.abc import Iterator, Sequence
from pathlib import Path

from vmcoredd import debs
from vmcoredd.debs.cache import silent

from .guest import Adapter
from .parts import DEFAULTS, Options, Parts, obtain


def run(
    adapters: Sequence[Adapter],
    *,
    options: Options = DEFAULTS,
    console: Path,
    monitor: Path | None = None,
    progress: debs.Progress = silent,
    parts: Parts | None = None,
) -> int:
    """Boot a guest with `adapters` and connect its console with stdin and stdout until it ends.

    `exit` ends the guest, and so does ^A x. What is seen is logged to `console` as well. `monitor`
    is where QEMU's monitor may be reached meanwhile (a socket's path, for livedump). Returns QEMU's
    exit code.

    Raises GuestError and debs.Unavailable.
    """
    parts = parts or obtain(options.kernel, progress)
    with tempfile.TemporaryDirectory(prefix="guest-") as folder, _terminal_restored():
        guest = parts.guest(
            options, Path(folder), console, adapters, shell=True, extra_monitor=monitor
        )
        with guest:
            return guest.wait_for_end("the end of the shell")


@contextlib.contextmanager
def _terminal_restored() -> Iterator[None]:
    """QEMU makes the terminal raw; a killed QEMU would leave it so."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
