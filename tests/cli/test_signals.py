"""^C, SIGTERM and a closed terminal at any moment: no traceback, and nothing is left behind."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cliruns import PATIENCE, command, emulated, ended, ready
from readable import readable

from vmcoredd.cli.exit_codes import Exit
from vmcoredd.cli.signals import MESSAGES

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


LOST = {
    "del": """
        class Dying:
            def __del__(self):
                signal.raise_signal(number)
        Dying()
    """,
    "weak reference": """
        class Dying:
            pass
        dying = Dying()
        reference = weakref.ref(dying, lambda _: signal.raise_signal(number))
        del dying
    """,
    "word's hook": """
        core = Core(T6, {0: 0x80000})
        core.hook(T6.r.MPS_TRC_CFG, read=lambda element, stored: signal.raise_signal(number))
        core.access(0, int(T6.r.MPS_TRC_CFG), ffi.new("uint8_t[4]"), 4, write=False)
    """,
}


@pytest.mark.parametrize("number", ENDING)
@pytest.mark.parametrize("where", LOST)
def test_a_signal_ends_a_command_that_is_where_python_lets_no_exception_out(
    where: str, number: signal.Signals
) -> None:
    script = f"""
import signal, sys, time, weakref
from vmcoredd.chip import T6
from vmcoredd.cli import exit_codes, signals
from vmcoredd.emu._cffi import ffi
from vmcoredd.emu.core import Core

number = signal.Signals({int(number)})

def run():
{textwrap.indent(textwrap.dedent(LOST[where]), "    ")}
    time.sleep({PATIENCE})

signals.raise_ended()
sys.exit(exit_codes.reported(run))
"""
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=PATIENCE
    )
    assert result.returncode == 128 + number
    assert result.stderr == f"{MESSAGES[number]}\n"


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
