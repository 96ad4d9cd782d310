"""A script in a guest; its output and its exit code here."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from vmcoredd import debs
from vmcoredd.debs.cache import silent

from .guest import Adapter, Result
from .parts import DEFAULTS, Options, Parts, obtain

SECONDS_TO_BOOT = 120.0
SECONDS_FOR_DRIVER = 900.0


def run(
    adapters: Sequence[Adapter],
    script: Path,
    *,
    options: Options = DEFAULTS,
    driver: bool = False,
    seconds: float = 900.0,
    console: Path,
    on_output: Callable[[str], None] = lambda text: None,
    progress: debs.Progress = silent,
    parts: Parts | None = None,
) -> Result:
    """Boot a guest with `adapters` and run `script` in it; with `driver`, cxgb4 is loaded before.

    `on_output` is given what the script prints, as it prints; `seconds` is how long it may take.
    The serial console is logged to `console`.

    Raises GuestError, debs.Unavailable, and OSError when `script` cannot be read.
    """
    parts = parts or obtain(options.kernel, progress)
    with (
        tempfile.TemporaryDirectory(prefix="guest-") as folder,
        parts.guest(options, Path(folder), console, adapters) as guest,
    ):
        shutil.copyfile(script, guest.share / "script")
        (guest.share / "script").chmod(0o755)
        progress("booting the guest", None)
        guest.wait_for_kernel("first", SECONDS_TO_BOOT)
        if driver:
            progress("loading the driver", None)
            guest.run("load-driver --plain", SECONDS_FOR_DRIVER)
        progress(f"running {script.name} in the guest", None)
        return guest.run("/share/script", seconds, check=False, on_output=on_output)
