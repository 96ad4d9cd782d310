"""`vmcoredd dump` of several sockets, in worker processes: order, deaths, ^C."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from cliruns import PATIENCE, SMALL_CARD, command, emulated, ended, ready, spawned
from readable import readable
from vmcorenotes import FIRST, SECOND, dumps

from vmcoredd.bench.processes import peak_together
from vmcoredd.cli.exit_codes import Exit

THIRD = "cxgb4_0000:00:04.0"
UCRED = struct.Struct("3i")

pytestmark = pytest.mark.skipif(
    len(os.sched_getaffinity(0)) < 2, reason="one cpu: a dump has no worker processes"
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Path]]:
    """The sockets of four adapters: of a T5, and of three small T6."""
    folder = tmp_path_factory.mktemp("served")
    small_card = folder / "small.toml"
    small_card.write_text(SMALL_CARD)
    cards = ["t520-cr", small_card, small_card, small_card]
    paths = [folder / f"{number}.sock" for number in range(len(cards))]
    with ExitStack() as stack:
        servers = [
            stack.enter_context(emulated("--card", card, "--socket", path))
            for card, path in zip(cards, paths, strict=True)
        ]
        for server in servers:
            ready(server)
        yield paths


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[socket.socket]:
    """A server that never answers."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "silent.sock"))
        listener.listen()
        listener.settimeout(PATIENCE)
        yield listener


@contextmanager
def dumping(paths: list[Path], output: Path) -> Iterator[subprocess.Popen[str]]:
    """The command, with patience for a silent server; killed at the end."""
    sockets = [word for path in paths for word in ("--socket", path)]
    words = command("dump", *sockets, "-o", output, "--deadline", PATIENCE)
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def worker_of(connection: socket.socket, process: subprocess.Popen[str]) -> int:
    """The process that made a connection: a child of the command."""
    pid, *_ = UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, UCRED.size))
    assert pid != process.pid
    return int(pid)


def has_ended(pidfd: int) -> bool:
    return bool(readable([pidfd], PATIENCE))


def test_the_dumps_are_in_the_order_of_the_sockets(served: list[Path], tmp_path: Path) -> None:
    sockets = [word for path in served for word in ("--socket", path)]
    done = spawned("dump", *sockets, "-o", tmp_path / "vmcore", "--compress", "zlib")
    assert (done.returncode, done.stderr) == (Exit.OK, "")
    found = dumps(tmp_path / "vmcore")
    assert [repr(dump.chip) for dump in found.values()] == ["T5", "T6", "T6", "T6"]
    assert list(found)[:3] == [FIRST, SECOND, THIRD]


def test_a_dead_server_costs_only_its_own_dump(served: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "vmcore"
    paths = [served[0], tmp_path / "absent.sock", *served[1:]]
    sockets = [word for path in paths for word in ("--socket", path)]
    done = spawned("dump", *sockets, "-o", output)
    assert done.returncode == Exit.INCOMPLETE
    says = f"cannot connect to {paths[1]}: No such file or directory\n"
    assert done.stderr == f"vmcoredd: {paths[1]}: {says}"
    assert SECOND not in dumps(output)
    assert len(dumps(output)) == 4


def test_a_worker_that_is_killed_costs_only_its_own_dumps(
    served: list[Path], silent: socket.socket, tmp_path: Path
) -> None:
    path = Path(silent.getsockname())
    with dumping([path, served[0]], tmp_path / "vmcore") as process:
        connection, _ = silent.accept()
        with connection:
            os.kill(worker_of(connection, process), signal.SIGKILL)
            _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == Exit.INCOMPLETE
    assert errors == f"vmcoredd: {path}: the process that dumped it was killed by SIGKILL\n"
    assert list(dumps(tmp_path / "vmcore")) == [SECOND]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_command_and_its_workers(
    silent: socket.socket, tmp_path: Path, number: signal.Signals
) -> None:
    path = Path(silent.getsockname())
    with dumping([path, path], tmp_path / "vmcore") as process, ExitStack() as stack:
        workers = []
        for _ in range(2):
            connection = stack.enter_context(silent.accept()[0])
            workers.append(os.pidfd_open(worker_of(connection, process)))
            stack.callback(os.close, workers[-1])
        result = ended(process, number)
        assert all(map(has_ended, workers))
    assert result.code == 128 + number
    assert "Traceback" not in result.err
    assert not (tmp_path / "vmcore").exists()


def test_a_command_that_is_killed_leaves_no_worker(silent: socket.socket, tmp_path: Path) -> None:
    path = Path(silent.getsockname())
    with dumping([path, path], tmp_path / "vmcore") as process:
        connection, _ = silent.accept()
        with connection, open(os.pidfd_open(worker_of(connection, process))) as worker:
            process.kill()
            assert has_ended(worker.fileno())


def test_a_further_adapter_costs_its_dump_and_little_else(
    served: list[Path], tmp_path: Path
) -> None:
    """No process holds a copy of a dump, and a worker's own memory does not grow by adapters."""
    peaks = {}
    for count in (2, 4):
        sockets = [word for path in served[:count] for word in ("--socket", str(path))]
        output = str(tmp_path / "vmcore")
        peaks[count] = peak_together("dump", *sockets, "-o", output, "--force")
    assert (peaks[4] - peaks[2]) / 2 < 16 << 20
