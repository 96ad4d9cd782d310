"""A guest whose memory is taken from outside, running or panicked, and its adapters with it."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from vmcoredd import debs
from vmcoredd.debs.cache import silent

from . import livedump
from .arguments import OnPanic
from .errors import GuestTimeout
from .guest import Adapter
from .kdump import PATIENT, Deadlines
from .parts import DEFAULTS, Options, Parts, obtain


def run(
    adapters: Sequence[Adapter],
    base: Path,
    *,
    panic: bool = False,
    driver: bool = False,
    options: Options = DEFAULTS,
    deadlines: Deadlines = PATIENT,
    force: bool = False,
    console: Path,
    while_stopped: Callable[[], None] = lambda: None,
    progress: debs.Progress = silent,
    parts: Parts | None = None,
) -> None:
    """Boot a guest with `adapters`, load its `driver` or not, let it `panic` or not, and stop it.

    Its memory is written to `base`, an ELF core. Then `while_stopped` is called: nobody touches the
    adapters meanwhile, so that their emulator can be asked for a dump through another socket, or
    directly. The guest ends afterwards.

    Raises GuestError, debs.Unavailable; vmcore.OutputExists and its kin for an unfit `base`.
    """
    parts = parts or obtain(options.kernel, progress)
    options = dataclasses.replace(options, crashkernel="", on_panic=OnPanic.PAUSE)
    with (
        tempfile.TemporaryDirectory(prefix="guest-") as folder,
        parts.guest(options, Path(folder), console, adapters) as guest,
    ):
        progress("booting the guest", None)
        guest.wait_for_kernel("first", deadlines.boot)
        if driver:
            progress("loading the driver in the guest", None)
            guest.run("load-driver --plain", deadlines.driver * max(len(adapters), 1))
        if panic:
            guest.panic()
            if guest.monitor.event("GUEST_PANICKED", deadlines.boot) is None:
                raise GuestTimeout("the guest to panic", deadlines.boot, console)
        guest.monitor.execute("stop")
        livedump.dump(guest.monitor, base, seconds=deadlines.save, force=force, progress=progress)
        while_stopped()
