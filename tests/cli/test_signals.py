"""^C, SIGTERM and a closed terminal at any moment: no traceback, and nothing is left behind."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cliruns import PATIENCE, command, emulated, ended, ready
from readable import readable

from vmcoredd.cli.exit_codes import Exit

ENDING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@contextmanager
def demo(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The demo in its own process; temporary files go to `folder/t`.

    Its output is a pipe that holds one write, so it waits after each line until the one before
    was read, however slowly the test runs.
    """
    (folder / "t").mkdir()
    reading, writing = os.pipe2(os.O_DIRECT | os.O_CLOEXEC)
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    with (
        open(reading) as shown,
        subprocess.Popen(
            command("demo", "-o", folder / "vmcore"),
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(folder / "t")},
        ) as process,
    ):
        os.close(writing)
        process.stdout = shown
        try:
            yield process
        finally:
            process.kill()


def wait_for_a_line(process: subprocess.Popen[str]) -> None:
    """Waits until the demo has printed another line, which stays in its pipe."""
    assert readable([process.stdout], PATIENCE)


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_during_the_imports_ends_the_command_without_a_traceback(
    number: signal.Signals,
) -> None:
    with subprocess.Popen(
        [*command("demo")[:1], "-X", "importtime", *command("cards")[1:]],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        for name in ("vmcoredd.cli.signals", "typing"):  # one of the command's own imports
            assert any(name in line for line in iter(process.stderr.readline, ""))
        process.send_signal(number)
        rest = process.stderr.read()
    assert process.returncode == 128 + number
    assert "Traceback" not in rest


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_ends_the_demo_and_its_servers_and_removes_its_folder(
    tmp_path: Path, number: signal.Signals
) -> None:
    with demo(tmp_path) as process:
        wait_for_a_line(process)  # it is about to start the first server
        result = ended(process, number)
    assert result.code == 128 + number
    assert "Traceback" not in result.err
    assert list((tmp_path / "t").iterdir()) == []
    assert not (tmp_path / "vmcore").exists()


def test_a_killed_demos_server_ends(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        assert process.stdout is not None
        process.stdout.readline()
        wait_for_a_line(process)  # the first server is ready, and the demo cannot go past the next
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        with open(os.pidfd_open(int(children[0]))) as server:
            process.kill()
            assert readable([server], PATIENCE)
    assert list(tmp_path.glob("t/*/t62100-cr.sock")) == []


def test_a_closed_terminal_ends_the_emulator_which_removes_its_socket(tmp_path: Path) -> None:
    path = tmp_path / "t6.sock"
    process_id, terminal = pty.fork()
    if not process_id:
        words = command("emulate", "--card", "t62100-cr", "--socket", path)
        os.execv(words[0], words)
    shown = b""
    while not shown.rstrip().endswith(b"}'"):  # it is ready
        shown += os.read(terminal, 4096)
    assert path.is_socket()
    os.close(terminal)
    _, status = os.waitpid(process_id, 0)
    assert os.waitstatus_to_exitcode(status) == Exit.OK
    assert list(tmp_path.iterdir()) == []


def test_nohup_keeps_the_emulator_running(tmp_path: Path) -> None:
    arguments = ["--card", "t62100-cr", "--socket", tmp_path / "t6.sock"]

    def ignore() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    with emulated(*arguments, preexec_fn=ignore) as process:
        ready(process)
        process.send_signal(signal.SIGHUP)
        assert ended(process, signal.SIGTERM).code == Exit.OK
