"""A guest for a module's tests: it runs commands, and modules built for its kernel."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from vmcoredd.qemu.errors import GuestError, GuestTimeout
from vmcoredd.qemu.prepare import Options, prepare, serve_cards
from vmcoredd.qemu.program import address
from vmcoredd.qemu.user_module import build_module
from vmcoredd.testing.seen import SETTLED

if TYPE_CHECKING:
    from vmcoredd import debs, emu
    from vmcoredd.qemu.guest import Guest, Result

BOOT_SECONDS = 240.0
CONSOLE = "console"
SECONDS_TO_SETTLE = 5.0


class RunningGuest:
    """A guest with one card.

    `card`: the emulated card, which a test may break while the guest makes no access. `address`:
    where the guest has it, such as `0000:01:00.0`. `share`: the host's folder that is /share in the
    guest. `console`: the log of its console. `kernel`: the name of its kernel.
    """

    def __init__(
        self,
        guest: Guest,
        card: emu.Card,
        kernel: str,
        stock: bool,
        build: Callable[[Path, Path], list[Path]],
    ) -> None:
        self._guest, self._build = guest, build
        self._numbers = itertools.count(1)
        self.card, self.kernel, self.address = card, kernel, address(0, stock)

    @property
    def share(self) -> Path:
        """The host's folder that is /share in the guest."""
        return self._guest.share

    @property
    def console(self) -> Path:
        """The log of the guest's console, kernel messages included."""
        return self._guest.console

    def run(self, script: str, seconds: float = 60.0, *, check: bool = True) -> Result:
        """Runs shell commands in the guest, as `sh -e` does; returns `code` and `output`.

        `seconds` bounds it. Raises CommandFailed, with the output, if it fails and `check` is set;
        GuestTimeout; GuestDied, with the panic and the console's end.
        """
        (self.share / "script").write_text(f"{script}\n")
        return self._guest.run("sh -e /share/script", seconds, check=check)

    def settle_console(self) -> int:
        """Waits until the console's log holds what the guest told until now; returns its bytes.

        The kernel prints messages after the command that caused them has ended. So this writes one
        more and waits until it is there. Raises as `run` does.
        """
        line = f"{next(self._numbers)} {SETTLED}"
        deadline = time.monotonic() + SECONDS_TO_SETTLE
        self.run(f"echo '{line}' >/dev/kmsg", SECONDS_TO_SETTLE)
        while line not in (told := self.console.read_bytes()).decode(errors="replace"):
            if time.monotonic() > deadline:
                raise GuestTimeout("the console to settle", SECONDS_TO_SETTLE, self.console)
            time.sleep(0.01)
        return len(told)

    def build_module(self, source: Path) -> str:
        """Builds the one kernel module of the folder `source` (kbuild); returns its path in the
        guest, for `insmod`. The folder stays as it is.

        Raises BuildError, with what the compiler said, and GuestError if there are several modules
        or the kernel is not Debian's.
        """
        folder = self.share.parent / f"module.{next(self._numbers)}"
        folder.mkdir()
        built, *others = self._build(source, folder)
        if others:
            raise GuestError(f"{source} has {len(others) + 1} modules; build each from its folder")
        shutil.copyfile(built, self.share / built.name)
        return f"/share/{built.name}"


@contextlib.contextmanager
def booted(
    card: emu.Card,
    kernel: str,
    folder: Path,
    progress: debs.Progress,
    before_build: Callable[[], None],
) -> Iterator[RunningGuest]:
    """Boots a guest with `card`; its files are in `folder`, its console is logged to CONSOLE there.

    `before_build` is called before a module is built. Raises GuestError and debs.Unavailable.
    """
    prepared, console = prepare(kernel, progress), folder / CONSOLE

    def build(source: Path, work: Path) -> list[Path]:
        before_build()
        return build_module(source, kernel, work, progress)

    with (
        tempfile.TemporaryDirectory(prefix="vmcoredd-") as sockets,
        serve_cards([card], Path(sockets)) as adapters,
        prepared.guest(Options(kernel=kernel, crashkernel=""), folder, console, adapters) as guest,
    ):
        progress(f"booting a guest, kernel {kernel}", None)
        guest.wait_for_kernel("first", BOOT_SECONDS)
        yield RunningGuest(guest, card, kernel, prepared.kernel.stock, build)
