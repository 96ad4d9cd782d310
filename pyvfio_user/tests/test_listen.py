"""A server's socket file, and the end of a server."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import pyvfio_user
from pyvfio_user import ListenError, Server, lock

PROGRAM = """
import signal, sys
import pyvfio_user
with pyvfio_user.Server(sys.argv[1]) as server:
    server.region(0, 4096, lambda offset, data, is_write: None)
    with server.stopped_by(signal.SIGTERM, signal.SIGINT):
        print("ready", flush=True)
        server.run()
print("ended", flush=True)
"""


UNSEEN = """
import os, signal, sys, threading
import pyvfio_user

def send():
    while "poll" not in open(f"/proc/self/task/{threading.main_thread().native_id}/wchan").read():
        pass
    os.kill(os.getpid(), signal.SIGTERM)

with pyvfio_user.Server(sys.argv[1]) as server:
    server.region(0, 4096, lambda offset, data, is_write: None)
    with server.stopped_by(signal.SIGTERM):
        threading.Thread(target=send).start()
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        server.run()
"""
"""Another thread gets the signal, so the server's wait continues, as if the signal had arrived just
before it."""


def test_a_signal_just_before_the_wait_for_a_client_is_not_lost(path: str) -> None:
    done = subprocess.run([sys.executable, "-c", UNSEEN, path], timeout=20, check=False)
    assert done.returncode == 0


def test_a_socket_is_private_by_default(path: str) -> None:
    with Server(path):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_a_socket_has_the_mode_that_is_given(path: str) -> None:
    with Server(path, mode=0o660):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o660


def test_a_socket_has_the_owner_that_is_given(path: str) -> None:
    with Server(path, owner=os.getuid()):
        assert os.stat(path).st_uid == os.getuid()


def test_an_unknown_owner_is_refused(path: str) -> None:
    with pytest.raises(ListenError, match=r"no user"):
        Server(path, owner="nobody-has-this-name")
    assert not os.path.exists(path)


def test_the_socket_is_gone_after_close(path: str) -> None:
    Server(path).close()
    assert not os.path.exists(path)


def test_close_keeps_a_file_that_replaced_its_socket(path: str) -> None:
    server = Server(path)
    os.unlink(path)
    Path(path).write_text("mine")
    server.close()
    assert Path(path).read_text() == "mine"


def test_a_stale_socket_is_replaced(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)
    with Server(path):
        assert stat.S_ISSOCK(os.stat(path).st_mode)


def test_the_socket_of_a_live_server_is_kept(path: str) -> None:
    with Server(path):
        with pytest.raises(ListenError, match=r"another server"):
            Server(path)
        assert os.path.exists(path)


def test_a_file_that_is_not_a_socket_is_kept(path: str) -> None:
    Path(path).write_text("mine")
    with pytest.raises(ListenError, match=r"no socket"):
        Server(path)
    assert Path(path).read_text() == "mine"


def test_a_path_that_is_too_long_is_refused_with_both_lengths(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 120)
    with pytest.raises(ListenError, match=r"has \d+ bytes, a socket's may have 107"):
        Server(long)


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ListenError, match=r"No such file"):
        Server(tmp_path / "none" / "socket")


def test_clients_may_connect_before_run(path: str) -> None:
    with Server(path) as server, socket.socket(socket.AF_UNIX) as early:
        early.connect(path)
        server.region(0, 4096, lambda offset, data, is_write: None)


def test_stop_ends_a_run_that_waits_for_a_client(path: str) -> None:
    with Server(path) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        server.stop()
        thread.join(10)
        assert not thread.is_alive()


def test_stop_before_run_ends_it_at_once(path: str) -> None:
    with Server(path) as server:
        server.stop()
        server.run()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("attached", [False, True])
def test_a_signal_ends_a_server_and_leaves_no_files(
    path: str, number: signal.Signals, attached: bool
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, path], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        client = pyvfio_user.Client(path) if attached else None
        process.send_signal(number)
        assert process.stdout.read() == "ended\n"
        assert process.wait(10) == 0
        if client:
            client.close()
    assert not os.path.exists(path)


def test_a_closed_server_refuses_calls(path: str) -> None:
    server = Server(path)
    server.close()
    server.close()
    with pytest.raises(ListenError, match=r"closed"):
        server.irq(0)


def test_a_relative_path_may_be_in_a_folder_with_a_long_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    monkeypatch.chdir(folder)
    with Server("socket"):
        monkeypatch.chdir(tmp_path)
    assert os.listdir(folder) == []


# The lock


def test_a_lock_on_the_folder_holds_up_nobody(tmp_path: Path, path: str) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    with Server(path):
        assert os.listdir(tmp_path) == ["socket"]
    os.close(folder)


def test_a_server_that_never_finishes_to_start_is_named_after_a_while(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "WAIT", 0.1)
    with (
        lock.held(path + ".lock"),
        pytest.raises(ListenError, match=r"has been starting .* it holds .*socket\.lock"),
    ):
        Server(path)
    with Server(path):
        pass


def test_a_server_waits_for_another_that_starts(path: str) -> None:
    with lock.held(path + ".lock"):
        thread = threading.Thread(target=lambda: Server(path).close())
        thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert not os.path.exists(path + ".lock")


def test_the_lock_of_a_killed_server_is_taken(path: str) -> None:
    Path(path + ".lock").touch(0o600)
    with Server(path):
        assert not os.path.exists(path + ".lock")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's file")
def test_another_users_lock_file_is_an_error_that_says_so(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "WAIT", 0.1)
    Path(path + ".lock").touch(0o600)
    os.chown(path + ".lock", 65534, -1)
    with pytest.raises(ListenError, match=r"belongs to user 65534"):
        Server(path)
    assert os.path.exists(path + ".lock")


def test_only_its_user_can_open_the_lock(path: str) -> None:
    with lock.held(path + ".lock"):
        assert stat.S_IMODE(os.stat(path + ".lock").st_mode) == 0o600


def test_a_symbolic_link_is_no_lock(tmp_path: Path, path: str) -> None:
    os.symlink(tmp_path / "mine", path + ".lock")
    with pytest.raises(ListenError):
        Server(path)
    assert not (tmp_path / "mine").exists()


def test_servers_that_start_together_leave_one_that_listens(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)
    servers: list[Server] = []
    refusals: list[ListenError] = []

    def start() -> None:
        try:
            servers.append(Server(path))
        except ListenError as error:
            refusals.append(error)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(servers), len(refusals)) == (1, 7)
    assert all("another server listens" in str(refusal) for refusal in refusals)
    servers[0].close()
