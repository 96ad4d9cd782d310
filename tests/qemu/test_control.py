"""The control line, with a socket pair as the serial port and real processes to watch."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from vmcoredd.qemu.control import ControlLine
from vmcoredd.qemu.errors import GuestTimeout, PeerDied, RunError


@pytest.fixture
def console(tmp_path: Path) -> Path:
    path = tmp_path / "console.log"
    path.write_text("[    0.0] Linux\nlast words\n")
    return path


@pytest.fixture
def line(console: Path) -> Iterator[tuple[ControlLine, socket.socket]]:
    ours, theirs = socket.socketpair()
    control = ControlLine(ours, console)
    with theirs:
        yield control, theirs
        control.close()


def test_lines_are_returned_one_by_one_however_they_arrive(line):
    control, guest = line
    guest.sendall(b"ready fi")
    guest.sendall(b"rst\r\nexit 1 0\n")
    assert control.next_line("a", 5) == "ready first"
    assert control.next_line("b", 5) == "exit 1 0"


def test_a_wait_ends_at_its_deadline_and_names_what_it_waited_for(line):
    control, _ = line
    with pytest.raises(GuestTimeout, match=r"0\.01 s for the moon(.|\n)*last words"):
        control.next_line("the moon", 0.01)


def test_a_wait_calls_on_tick(line):
    control, guest = line
    guest.sendall(b"one\n")
    ticks: list[None] = []
    control.next_line("a line", 5, lambda: ticks.append(None))
    assert ticks


def test_a_failure_reported_by_the_guest_is_raised(line):
    control, guest = line
    guest.sendall(b"failed no folder\n")
    with pytest.raises(RunError, match="the guest reports: no folder"):
        control.next_line("anything", 5)


def test_the_end_of_a_watched_process_ends_the_wait(line, console):
    control, _ = line
    with subprocess.Popen(["sleep", "60"]) as process:
        control.watch(process.pid, lambda: PeerDied("it is gone", console))
        process.kill()
        with pytest.raises(PeerDied, match="it is gone"):
            control.next_line("anything", 30)


def test_a_process_that_has_ended_cannot_be_watched(line, console):
    control, _ = line
    process = subprocess.Popen(["true"])
    process.wait()
    with pytest.raises(PeerDied):
        control.watch(process.pid, lambda: PeerDied("it is gone", console))


def test_sending_to_a_guest_that_is_gone_raises_nothing(line):
    control, guest = line
    guest.close()
    control.send("1 true")
    control.send("2 true")
