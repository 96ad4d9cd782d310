"""How long either end waits for the other: a slow peer is told from a dead one."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from vfio_device import DEADLINE, Device
from vfio_peers import (
    ACCESS,
    READ,
    REPLY,
    WRITE,
    Message,
    Peer,
    message,
    raw_client,
    scripted_server,
)

from pyvfio_user import Client, Timeout

SUPPORT = Path(__file__).parent / "support"
LONG = 3 * DEADLINE
PROGRAM = """
import contextlib, socket, sys, time
sys.path.insert(0, sys.argv[2])
from vfio_peers import *
path = sys.argv[1]

def work(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
"""
SERVER = """
with socket.socket(socket.AF_UNIX) as listener:
    listener.bind(path)
    listener.listen()
    print("ready", flush=True)
    peer = Peer(listener.accept()[0])
    peer.accept_version()
    asked = peer.receive()
    {before}
    with contextlib.suppress(OSError):
        peer.answer(asked, asked.payload + b"data")
    sys.stdin.read()
"""
CLIENT = """
with raw_client(path) as peer:
    peer.negotiate()
    count = 400
    asked = message(READ, ACCESS.pack(0, 0, 0x10000))
    peer.send(asked * count)
    print("sent", flush=True)
    {before}
    try:
        print(sum(len(peer.receive().payload) == 0x10010 for _ in range(count)), flush=True)
    except (EOFError, ConnectionResetError):
        print("cut off", flush=True)
"""


@contextlib.contextmanager
def running(program: str, path: str) -> Iterator[subprocess.Popen[str]]:
    """A peer in a process of its own, once it has printed its first line."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM + program, path, str(SUPPORT)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        try:
            assert process.stdout.readline()
            yield process
        finally:
            process.kill()


# A client that waits for a server


@pytest.mark.parametrize("seconds", [0, LONG])
def test_a_server_at_work_is_waited_for(path: str, seconds: float) -> None:
    with (
        running(SERVER.format(before=f"work({seconds})"), path),
        Client(path, deadline=DEADLINE) as client,
    ):
        assert client.region_read(0, 8, 4) == b"data"


@pytest.mark.parametrize("before", ["sys.stdin.read()", "import os; os.kill(os.getpid(), 19)"])
def test_a_server_that_sleeps_or_is_stopped_times_out(path: str, before: str) -> None:
    with (
        running(SERVER.format(before=before), path),
        Client(path, deadline=DEADLINE) as client,
        pytest.raises(Timeout),
    ):
        client.region_read(0, 8, 4)


def test_a_server_at_work_is_not_waited_for_for_ever(path: str) -> None:
    with (
        running(SERVER.format(before="work(1000)"), path),
        Client(path, deadline=0.1) as client,
    ):
        began = time.monotonic()
        with pytest.raises(Timeout):
            client.region_read(0, 8, 4)
        assert 12 * 0.1 < time.monotonic() - began < 12 * 0.1 + 2


def test_a_reply_whose_bytes_keep_coming_is_waited_for(path: str) -> None:
    def script(peer: Peer) -> None:
        peer.accept_version()
        asked: Message = peer.receive()
        whole = message(READ, asked.payload + b"data", id=asked.id, flags=REPLY)
        for at in range(0, len(whole), 4):
            peer.send(whole[at : at + 4])
            pause(peer)

    with scripted_server(path, script), Client(path, deadline=DEADLINE) as client:
        assert client.region_read(0, 8, 4) == b"data"


def pause(peer: Peer) -> None:
    """Waits for two thirds of the deadline, while the other end has nothing to say."""
    peer.socket.settimeout(DEADLINE * 2 / 3)
    with contextlib.suppress(TimeoutError):
        peer.socket.recv(1)


# A server that waits for a client


def test_a_message_whose_bytes_keep_coming_is_waited_for(device: Device) -> None:
    whole = message(WRITE, ACCESS.pack(0, 0, 8) + b"slowsent")
    with raw_client(device.path) as peer:
        peer.negotiate()
        for at in range(0, len(whole), 8):
            peer.send(whole[at : at + 8])
            if at + 8 < len(whole):
                pause(peer)
        peer.socket.settimeout(10)
        assert peer.receive().error == 0
    assert bytes(device.memory[:8]) == b"slowsent"


def test_a_client_at_work_may_read_its_replies_later(device: Device) -> None:
    with running(CLIENT.format(before=f"work({LONG})"), device.path) as client:
        assert client.stdout
        assert client.stdout.readline() == "400\n"


def test_a_client_that_sleeps_on_unread_replies_is_cut_off(device: Device) -> None:
    with running(CLIENT.format(before="sys.stdin.readline()"), device.path) as client:
        assert device.clients_gone.acquire(timeout=10)
        out, _ = client.communicate("\n", timeout=10)
        assert out == "cut off\n"


def test_a_client_that_works_for_ever_on_unread_replies_is_cut_off(device: Device) -> None:
    with running(CLIENT.format(before="work(1000)"), device.path):
        assert device.clients_gone.acquire(timeout=12 * DEADLINE + 10)


SERVE = """
import signal
from pyvfio_user import Server, pci
with Server(path, deadline=60) as server:
    server.config_space(pci.header(0x1425, 0x6407))
    server.region(0, 0x10000, lambda offset, data, is_write: None)
    with server.stopped_by(signal.SIGTERM):
        print("ready", flush=True)
        server.run()
"""


@pytest.mark.parametrize("unsent", [0, 10])
def test_a_server_that_waits_for_a_client_hears_signals(path: str, unsent: int) -> None:
    """It waits for a client that reads no reply, or does not send the rest of a message."""
    with running(SERVE, path) as process, raw_client(path) as peer:
        peer.negotiate()
        if unsent:
            peer.send(message(READ, ACCESS.pack(0, 0, 4))[:-unsent])
        else:
            fill(peer)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def fill(peer: Peer) -> None:
    """Sends requests until the server, whose replies nobody reads, reads no more of them."""
    asked = message(READ, ACCESS.pack(0, 0, 0x10000))
    peer.socket.settimeout(1)
    with contextlib.suppress(TimeoutError):
        while True:
            peer.socket.sendall(asked)
