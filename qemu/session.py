"""Runs a script in a guest, or a shell on the terminal."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
import termios
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from vmcoredd import debs

from .guest import Adapter, Result
from .prepare import DEFAULTS, Options, Prepared, prepare

BOOT_SECONDS = 120.0
DRIVER_SECONDS = 900.0


def run_script(
    adapters: Sequence[Adapter],
    script: Path,
    *,
    options: Options = DEFAULTS,
    driver: bool = False,
    seconds: float = 900.0,
    console: Path,
    on_output: Callable[[str], None] = lambda text: None,
    progress: debs.Progress = debs.silent,
    prepared: Prepared | None = None,
) -> Result:
    """Boots a guest with `adapters` and runs `script` in it, after loading cxgb4 with `driver`.

    `on_output` receives the script's output as it is printed. The script may take `seconds`. The
    serial console is logged to `console`.

    Raises GuestError, debs.Unavailable, and OSError if `script` cannot be read.
    """
    prepared = prepared or prepare(options.kernel, progress)
    with (
        tempfile.TemporaryDirectory(prefix="guest-") as folder,
        prepared.guest(options, Path(folder), console, adapters) as guest,
    ):
        shutil.copyfile(script, guest.share / "script")
        (guest.share / "script").chmod(0o755)
        progress("booting the guest", None)
        guest.wait_for_kernel("first", BOOT_SECONDS)
        if driver:
            progress("loading the driver", None)
            guest.run("load-driver --plain", DRIVER_SECONDS)
        progress(f"running {script.name} in the guest", None)
        return guest.run("/share/script", seconds, check=False, on_output=on_output)


def run_shell(
    adapters: Sequence[Adapter],
    *,
    options: Options = DEFAULTS,
    console: Path,
    monitor: Path | None = None,
    progress: debs.Progress = debs.silent,
    prepared: Prepared | None = None,
) -> int:
    """Boots a guest with `adapters` and connects its console to stdin and stdout until it ends.

    `exit` or ^A x ends the guest. Everything shown is also logged to `console`. `monitor` is the
    path of a socket on which QEMU's monitor can be reached meanwhile (for `live.dump_memory`).
    Returns QEMU's exit code.

    Raises GuestError and debs.Unavailable.
    """
    prepared = prepared or prepare(options.kernel, progress)
    with tempfile.TemporaryDirectory(prefix="guest-") as folder, _terminal_restored():
        guest = prepared.guest(
            options, Path(folder), console, adapters, shell=True, extra_monitor=monitor
        )
        with guest:
            return guest.wait_for_end("the end of the shell")


@contextlib.contextmanager
def _terminal_restored() -> Iterator[None]:
    """Restores the terminal, which a killed QEMU leaves in raw mode."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
