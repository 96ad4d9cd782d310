"""Runs a script in a guest, or a shell on the terminal."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import socket
import sys
import tempfile
import termios
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from vmcoredd import debs

from .errors import GuestError
from .guest import CRASH_KERNEL, Adapter, Result
from .prepare import DEFAULTS, Options, Prepared, folder_beside, prepare, unused
from .program import NO_DEBUGGING, Debugging

BOOT_SECONDS = 120.0
DRIVER_SECONDS = 900.0
SOCKET_PATH = 107  # bytes (struct sockaddr_un)
QEMUS = ".virtfs_metadata"
OURS = (*CRASH_KERNEL, QEMUS)
"""What we and QEMU put into the folder that a guest shares."""


def run_script(
    adapters: Sequence[Adapter],
    script: Path,
    *,
    options: Options = DEFAULTS,
    driver: bool = False,
    seconds: float = 900.0,
    console: Path,
    debugging: Debugging = NO_DEBUGGING,
    on_booted: Callable[[], None] = lambda: None,
    on_output: Callable[[str], None] = lambda text: None,
    progress: debs.Progress = debs.silent,
    prepared: Prepared | None = None,
) -> Result:
    """Boots a guest with `adapters` and runs `script` in it, after loading cxgb4 with `driver`.

    `on_booted` is called when the guest accepts commands. `on_output` receives the script's output
    as it is printed. The script may take `seconds`. The serial console is logged to `console`.
    `debugging`: sockets on which debuggers reach the guest meanwhile.

    Raises GuestError, also if a socket is taken, debs.Unavailable, and OSError if `script` cannot
    be read.
    """
    program = script.read_bytes()  # once, as it may be a pipe
    _check_sockets(debugging)
    prepared = prepared or _prepare(options, driver, progress)
    with (
        tempfile.TemporaryDirectory(prefix="guest-") as folder,
        prepared.guest(options, Path(folder), console, adapters, debugging=debugging) as guest,
    ):
        (guest.share / "script").write_bytes(program)
        (guest.share / "script").chmod(0o755)
        progress("booting the guest", None)
        guest.wait_for_kernel("first", BOOT_SECONDS)
        on_booted()
        if driver:
            progress("loading the driver", None)
            guest.run("load-driver --plain", DRIVER_SECONDS)
        progress(f"running {script.name} in the guest", None)
        return guest.run("/share/script", seconds, check=False, on_output=on_output)


def run_shell(
    adapters: Sequence[Adapter],
    *,
    options: Options = DEFAULTS,
    driver: bool = False,
    console: Path,
    debugging: Debugging = NO_DEBUGGING,
    share: Path | None = None,
    on_saved: Callable[[Path], None] = lambda path: None,
    progress: debs.Progress = debs.silent,
    prepared: Prepared | None = None,
) -> int:
    """Boots a guest with `adapters` and connects its console to stdin and stdout until it ends.

    It loads cxgb4 first with `driver`.

    `exit` or ^A x ends the guest. Everything shown is also logged to `console`. `debugging`: paths
    at which QEMU's monitor (for `live.dump_memory`, drgn) and its gdb stub are reached meanwhile.
    The guest's /share is the folder `share`. Without it, what the guest saves there is moved into a
    new folder beside `console` in the end, which `on_saved` receives. Returns QEMU's exit code.

    Raises GuestError, also if `share` holds files of our names or a socket is taken, and
    debs.Unavailable.
    """
    _check_sockets(debugging)
    prepared = prepared or _prepare(options, driver, progress)
    if driver:
        arguments = f"{options.kernel_arguments} guest.driver"
        options = dataclasses.replace(options, kernel_arguments=arguments)
    with folder_beside(console) as folder, _terminal_restored(), _shared(share) as own:
        guest = prepared.guest(
            options, folder, console, adapters, shell=True, debugging=debugging, share=own
        )
        try:
            with guest:
                return guest.wait_for_end("the end of the shell")
        finally:
            if not share and (saved := _bring_home(guest.share, console)):
                on_saved(saved)


def _prepare(options: Options, driver: bool, progress: debs.Progress) -> Prepared:
    return prepare(options.kernel, progress, module=options.module, driver=driver)


def _check_sockets(debugging: Debugging) -> None:
    for path in (debugging.monitor, debugging.gdb):
        if path:
            check_socket(path)


def check_socket(path: Path) -> Path:
    """Returns `path` if QEMU may make a socket there: it removes what it finds. Raises GuestError.

    A socket that nobody listens on any more is no hindrance.
    """
    if len(os.fsencode(path)) > SOCKET_PATH:
        raise GuestError(f"{path}: a socket's path has at most {SOCKET_PATH} bytes")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except FileNotFoundError:
            return path
        except ConnectionRefusedError:
            if path.is_socket():
                return path
            raise GuestError(f"{path} exists and is not a socket") from None
        except OSError as error:
            raise GuestError(f"{path}: {error.strerror}") from error
    raise GuestError(f"{path}: another program listens on this socket")


@contextlib.contextmanager
def _shared(share: Path | None) -> Iterator[Path | None]:
    """Lends a folder to a guest; removes from it what we and QEMU put there."""
    if not share:
        yield None
        return
    share.mkdir(parents=True, exist_ok=True)
    for name in OURS:
        if (share / name).exists():
            raise GuestError(f"{share / name} exists: a guest needs this name in its /share")
    before = set(share.rglob(QEMUS))
    try:
        yield share
    finally:
        _remove_ours(share, before)


def _bring_home(share: Path, console: Path) -> Path | None:
    """Moves what the guest saved in its /share beside `console`; returns the folder's new path."""
    if not share.is_dir():
        return None
    _remove_ours(share)
    if not any(share.iterdir()):
        return None
    return share.rename(unused(console.absolute().with_name("guest.share")))


def _remove_ours(share: Path, keep: Collection[Path] = ()) -> None:
    """Removes our files, and those of QEMU: in each folder where a guest made a file."""
    for name in CRASH_KERNEL:
        (share / name).unlink(missing_ok=True)
    for folder in set(share.rglob(QEMUS)).difference(keep):
        shutil.rmtree(folder, ignore_errors=True)


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
        with contextlib.suppress(termios.error):  # the terminal is closed
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
