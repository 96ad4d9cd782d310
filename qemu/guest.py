"""A running guest: starts it, runs commands in it, and ends it in every case.

Commands, their output and files pass through a folder that host and guest share; the second serial
port says which command is next (see `inside/init`). Every wait has a deadline, and ends early if
QEMU exits or if a process exits that the guest needs.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, Self

from vmcoredd import debs, vmcore

from .control import ControlLine
from .errors import CommandFailed, GuestDied, GuestTimeout, PeerDied, RunError, tail
from .monitor import Monitor
from .program import NO_DEBUGGING, Debugging, HostEnds, Machine, OnPanic, Qemu, arguments

Role = Literal["first", "crash"]
SECONDS_TO_END = 5.0
SECONDS_TO_BEGIN = 120.0
SECONDS_UNTIL_SENT_AGAIN = 1.0
LOST = (b"failed to read header", b"Unable to write to socket")
"""QEMU logs this when an adapter's server is gone; the guest's reads then return all ones."""
TOO_LATE = b"unexpected reply"
"""QEMU logs this when a server replies to a message that it gave up after five seconds. It takes
the rest of the reply for another message, and ends the connection."""
CRASH_KERNEL = ("bzImage", "initramfs")
"""What `arm-crash-kernel` loads from the guest's /share."""
PANIC = re.compile(rb"Kernel panic - not syncing: ([^\r\n]*)")


@dataclass(frozen=True)
class Adapter:
    """An adapter on a vfio-user socket, and the process that serves it: its `pid` and `log`.

    `any_device`: it need not be one whose driver is cxgb4.
    """

    socket: Path
    pid: int | None = None
    log: Path | None = None
    any_device: bool = False


@dataclass(frozen=True)
class Result:
    """The exit code and output of a command in the guest."""

    code: int
    output: str


class Guest:
    """A guest on `machine` that runs while the context is open.

    `folder` is an empty folder for its files; `share`, by default a folder in it, is the guest's
    /share. The serial console is logged to `console`. QEMU exits too if the thread that entered the
    context ends. `affinity` restricts QEMU to these CPUs. A crash kernel gets `crash_initramfs`, by
    default the machine's.

    Methods that wait raise GuestTimeout, GuestDied, PeerDied, RunError.
    """

    def __init__(
        self,
        qemu: Qemu,
        machine: Machine,
        folder: Path,
        console: Path,
        adapters: Sequence[Adapter] = (),
        *,
        affinity: frozenset[int] | None = None,
        debugging: Debugging = NO_DEBUGGING,
        share: Path | None = None,
        crash_initramfs: Path | None = None,
    ) -> None:
        self.share = share or folder / "share"
        self.console = console
        self._qemu = qemu
        self._machine = machine
        self._adapters = adapters
        self._affinity = affinity
        self._debugging = debugging
        self._crash_initramfs = crash_initramfs or machine.initramfs
        self._log = folder / "qemu.log"
        self._number = 0
        self._kernel_began = 0  # offset in the console log, in bytes

    def __enter__(self) -> Self:
        self._prepare_share()
        with contextlib.ExitStack() as cleanup:
            control, control_of_qemu = _socket_pair(cleanup)
            self._monitor_end, monitor_of_qemu = _socket_pair(cleanup)
            with os.fdopen(vmcore.open_log(self.console), "wb") as console:
                self._process = self._start(control_of_qemu, monitor_of_qemu, console)
            cleanup.callback(self._end)
            control_of_qemu.close()
            monitor_of_qemu.close()
            self._control = ControlLine(control, self.console)
            cleanup.callback(self._control.close)
            self._watch_processes()
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._cleanup.close()

    @property
    def pid(self) -> int:
        """QEMU's process id."""
        return self._process.pid

    @functools.cached_property
    def monitor(self) -> Monitor:
        """QEMU's monitor."""
        monitor = Monitor(self._monitor_end)
        self._cleanup.callback(monitor.close)
        return monitor

    def wait_for_kernel(self, role: Role, seconds: float) -> None:
        """Waits until the first kernel, or the crash kernel, accepts commands."""
        what = f"the guest's {role} kernel to start"
        line = self._control.next_line(what, seconds, self._check_connections)
        if line != f"ready {role}":
            raise RunError(f"waiting for {what}, the guest sent {line!r}", self.console)

    def run(
        self,
        command: str,
        seconds: float,
        *,
        check: bool = True,
        on_output: Callable[[str], None] = lambda text: None,
    ) -> Result:
        """Runs a line of shell in the guest. `on_output` receives its output as it is printed.

        Raises CommandFailed if it fails and `check` is set.
        """
        number = self._next(command)
        asked, path = self._files(number)
        beginning, appended = self._begin(number), _appended(path, on_output)

        def poll() -> None:
            self._check_connections()
            next(beginning, None)
            next(appended)

        words = self._end_of(number, command, seconds, poll)
        poll()
        result = Result(int(words[2]), path.read_text(errors="replace"))
        asked.unlink()
        path.unlink()
        if check and result.code:
            raise CommandFailed(command, result.code, result.output, self.console)
        return result

    def _end_of(
        self, number: int, command: str, seconds: float, poll: Callable[[], None]
    ) -> list[str]:
        """Waits for the end of a command: `exit`, its number, its code.

        An earlier one, whose end nobody waited for any more, may end first; the wait then begins
        anew.
        """
        while True:
            line = self._control.next_line(f"`{command}` in the guest", seconds, poll)
            words = line.split()
            if words[:2] == ["exit", str(number)]:
                return words
            if words[:1] != ["exit"] or int(words[1]) > number:
                raise RunError(f"running `{command}`, the guest sent {line!r}", self.console)

    def start(self, command: str) -> None:
        """Has the guest begin a command that does not end, such as one that restarts it."""
        deadline = time.monotonic() + SECONDS_TO_BEGIN
        for _ in self._begin(self._next(command)):
            if self._process.poll() is not None:
                return  # the next wait raises the reason
            if time.monotonic() > deadline:
                raise GuestTimeout(f"`{command}` to begin", SECONDS_TO_BEGIN, self.console)
            time.sleep(0.01)

    def panic(self) -> None:
        """Crashes the running kernel; returns when it has been told to."""
        self._kernel_began = self.console.stat().st_size
        if self._machine.on_panic is OnPanic.PAUSE:
            _ = self.monitor  # QEMU tells a session only of what happens after its beginning
        self.start("panic")

    def wait_for_end(self, what: str, seconds: float | None = None) -> int:
        """Waits until QEMU exits by itself; returns its exit code."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise GuestTimeout(what, error.timeout, self.console) from error

    def panicked(self) -> str | None:
        """Returns the reason of the last panic since `panic` was called, from the console."""
        with self.console.open("rb") as file:
            file.seek(self._kernel_began)
            found = PANIC.findall(file.read())
        return found[-1].decode(errors="replace") if found else None

    def _prepare_share(self) -> None:
        self.share.mkdir(exist_ok=True)
        shutil.copyfile(self._machine.image, self.share / CRASH_KERNEL[0])
        shutil.copyfile(self._crash_initramfs, self.share / CRASH_KERNEL[1])

    def _start(
        self, control: socket.socket, monitor: socket.socket, console: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        descriptors = control.fileno(), monitor.fileno(), console.fileno()
        ends = HostEnds(*descriptors, self.share, self._debugging)
        sockets = [adapter.socket for adapter in self._adapters]
        command = debs.bound([*self._qemu.command, *arguments(self._machine, ends, sockets)])
        with self._log.open("wb") as log, _on_cpus(self._affinity):
            return subprocess.Popen(
                command,
                stdin=None if self._machine.shell else subprocess.DEVNULL,
                stdout=None if self._machine.shell else log,
                stderr=log,
                pass_fds=descriptors,
            )

    def _watch_processes(self) -> None:
        self._control.watch(self.pid, self._death)
        for adapter in self._adapters:
            if adapter.pid:
                self._control.watch(adapter.pid, functools.partial(self._peer_death, adapter))

    def _files(self, number: int) -> tuple[Path, Path]:
        """Returns where the command of that number is, and its output."""
        return self.share / f"command.{number}", self.share / f"output.{number}"

    def _next(self, command: str) -> int:
        """Returns the number of a command, which the guest can read now."""
        self._number += 1
        self._files(self._number)[0].write_text(command)
        return self._number

    def _begin(self, number: int) -> Iterator[None]:
        """Sends the command's number, at each step once more if time has passed, until its output
        appears: a serial port can lose what comes while its guest is busy."""
        _, output = self._files(number)
        again = 0.0
        while not output.exists():
            if time.monotonic() >= again:
                self._control.send(str(number))
                again = time.monotonic() + SECONDS_UNTIL_SENT_AGAIN
            yield

    def _check_connections(self) -> None:
        with self._log.open("rb") as file:
            logged = file.read(1 << 16)
        if TOO_LATE in logged:
            reason = "an adapter's server replied too late: QEMU waits five seconds, then"
            raise PeerDied(f"{reason} it has lost its connection to the adapter", self._log)
        if any(message in logged for message in LOST):
            raise PeerDied("QEMU lost its connection to an adapter", self._log)

    def _peer_death(self, adapter: Adapter) -> RunError:
        reason = f"the emulator of {adapter.socket} ended while the guest was running"
        return PeerDied(reason, adapter.log or self.console)

    def _death(self) -> RunError:
        """Returns why QEMU exited: its guest's panic, or QEMU's own log."""
        code = self._process.wait()
        panic = self.console.exists() and self.panicked()
        if panic:
            return GuestDied(f"the guest's kernel panicked: {panic}", self.console)
        reason = f"QEMU exited with code {code} and printed:\n{tail(self._log)}\n"
        return GuestDied(reason, self.console)

    def _end(self) -> None:
        """Asks QEMU to exit, so that it closes its connections, and kills it if it does not."""
        self._process.terminate()
        try:
            self._process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _appended(path: Path, on_output: Callable[[str], None]) -> Iterator[None]:
    """Passes on, at each step, the text appended to the file since the previous step."""
    offset = 0
    while True:
        if path.exists():
            with path.open("rb") as file:
                file.seek(offset)
                new = file.read()
            offset += len(new)
            if new:
                on_output(new.decode(errors="replace"))
        yield


def _socket_pair(cleanup: contextlib.ExitStack) -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair()
    cleanup.callback(ours.close)
    cleanup.callback(theirs.close)
    return ours, theirs


@contextlib.contextmanager
def _on_cpus(cpus: frozenset[int] | None) -> Iterator[None]:
    """Runs the processes started in this context on `cpus`."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
