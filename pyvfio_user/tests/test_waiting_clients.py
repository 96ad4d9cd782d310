"""Clients that compete for a server: silent ones, idle ones, and those that left work behind."""

from __future__ import annotations

import contextlib
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from vfio_device import SIZE, Device
from vfio_peers import ACCESS, HEADER, NO_REPLY, READ, VERSION, WRITE, Peer, message, raw_client

from pyvfio_user import Client, Server

SLOW = 0.05
DEADLINE = 5.0
QUICK = 1.0
"""Seconds, far below the servers' deadline here."""
GONE = 0.5
"""Seconds that the server works for a client that is gone (server_loop.c, GONE_US)."""
VERSION_TEXT = struct.pack("<HH", 0, 1) + b'{"capabilities":{"max_msg_fds":8}}\0'


class Slow:
    """A region whose accesses take time, and what was done."""

    def __init__(self) -> None:
        self.reads = 0
        self.written = b""
        self.began = threading.Event()

    def access(self, offset: int, data: memoryview, is_write: bool) -> None:
        self.began.set()
        if is_write:
            self.written += bytes(data)
        elif len(data) > 4:
            self.reads += 1
            threading.Event().wait(SLOW)


@contextlib.contextmanager
def served(path: str, idle: float | None = None, deadline: float = DEADLINE) -> Iterator[Slow]:
    """A served region of the class above."""
    slow = Slow()
    with Server(path, deadline=deadline, idle=idle) as server:
        server.region(0, SIZE, slow.access)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield slow
        finally:
            server.stop()
            thread.join(20)
            assert not thread.is_alive()


def seconds(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def is_served(path: str) -> None:
    with Client(path, deadline=30) as client:
        assert client.region_read(0, 0, 4) == bytes(4)


@pytest.mark.parametrize("count", [1, 8, 40])
@pytest.mark.parametrize("sent", [b"", b"\1\0", message(VERSION, VERSION_TEXT)[:-1]])
def test_silent_clients_cost_a_good_one_nothing(path: str, count: int, sent: bytes) -> None:
    with served(path), contextlib.ExitStack() as stack:
        for _ in range(count):
            peer = stack.enter_context(raw_client(path))
            peer.send(sent) if sent else None
        assert seconds(lambda: is_served(path)) < QUICK


def test_a_version_in_late_pieces_has_one_deadline(path: str) -> None:
    whole = message(VERSION, VERSION_TEXT)
    with served(path, deadline=0.6), raw_client(path) as peer:
        began = time.monotonic()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for byte in whole:
                peer.send(bytes([byte]))
                threading.Event().wait(0.1)
        assert peer.is_cut_off()
        assert time.monotonic() - began < 3


def test_a_version_in_pieces_that_are_in_time_is_accepted(path: str) -> None:
    with served(path), raw_client(path) as peer:
        for byte in message(VERSION, VERSION_TEXT):
            peer.send(bytes([byte]))
        assert peer.receive().error == 0


def test_a_request_right_behind_the_version_is_answered(path: str) -> None:
    with served(path), raw_client(path) as peer:
        peer.send(message(VERSION, VERSION_TEXT) + message(READ, ACCESS.pack(0, 0, 4)))
        assert [peer.receive().error for _ in range(2)] == [0, 0]


@pytest.mark.parametrize("size", [0, 15, 5000, 0xFFFFFFFF])
def test_a_version_of_an_impossible_size_is_turned_away_at_once(path: str, size: int) -> None:
    with served(path), raw_client(path) as peer:
        peer.send(HEADER.pack(1, VERSION, size, 0, 0))
        assert seconds(peer.is_cut_off) < QUICK


def test_a_client_that_is_gone_does_not_keep_the_server_busy(path: str) -> None:
    with served(path) as slow:
        with raw_client(path) as peer:
            peer.negotiate()
            peer.send(message(READ, ACCESS.pack(0, 0, 0x8000), flags=NO_REPLY) * 400)
        assert seconds(lambda: is_served(path)) < 200 * SLOW
    assert slow.reads < 100


def test_the_last_writes_of_a_client_that_is_gone_take_effect(path: str) -> None:
    """Within the time that the server has for them; where a busy machine takes that, once more."""
    for _ in range(5):
        with served(path) as slow:
            with raw_client(path) as peer:
                peer.negotiate()
                peer.send(message(WRITE, ACCESS.pack(0, 0, 4) + b"last", flags=NO_REPLY) * 500)
            took = seconds(lambda: is_served(path))
        if slow.written == b"last" * 500 or took < GONE:
            break
    assert slow.written == b"last" * 500


def test_stop_does_not_wait_for_what_a_client_has_asked(path: str) -> None:
    with served(path) as slow, raw_client(path) as peer:
        peer.negotiate()
        peer.send(message(READ, ACCESS.pack(0, 0, 0x8000), flags=NO_REPLY) * 400)
        assert slow.began.wait(10)
    assert slow.reads < 100


PROGRAM = """
import ctypes, signal, sys
import pyvfio_user
libc = ctypes.CDLL(None)
FUNCTION = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int
)
sleep = ctypes.cast(libc.usleep, ctypes.c_void_p).value
access = pyvfio_user.NativeAccess(sleep, 50000)
with pyvfio_user.Server(sys.argv[1]) as server:
    server.region(0, 0x10000, access)
    with server.stopped_by(signal.SIGTERM):
        print("ready", flush=True)
        server.run()
"""
"""The region's function is usleep(50000): native, as long as each access takes."""


def test_a_signal_is_heard_between_the_messages_of_a_busy_client(path: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, path], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        with raw_client(path) as peer:
            peer.negotiate()
            peer.send(message(READ, ACCESS.pack(0, 0, 4), flags=NO_REPLY) * 400)
            process.send_signal(signal.SIGTERM)
            assert seconds(lambda: process.wait(60)) < 200 * SLOW


def test_an_idle_client_gives_way_to_a_new_one(path: str) -> None:
    with served(path, idle=0.2), raw_client(path) as peer:
        peer.negotiate()
        assert seconds(lambda: is_served(path)) < DEADLINE
        assert peer.is_cut_off()


def test_an_idle_client_does_not_give_way_to_a_silent_one(path: str) -> None:
    with served(path, idle=0.2), raw_client(path) as peer, raw_client(path):
        peer.negotiate()
        peer.socket.settimeout(2)
        with pytest.raises(TimeoutError):
            peer.receive()
        assert peer.ask(READ, ACCESS.pack(0, 0, 4)).error == 0


def test_a_client_at_work_does_not_give_way(path: str) -> None:
    with served(path, idle=5.0), raw_client(path) as peer, socket.socket(socket.AF_UNIX) as other:
        peer.negotiate()
        other.connect(path)
        Peer(other).send(message(VERSION, VERSION_TEXT))
        for _ in range(20):
            assert peer.ask(READ, ACCESS.pack(0, 0, 8)).error == 0
        peer.socket.close()
        assert Peer(other).receive().error == 0


def test_an_idle_client_stays_without_the_option(device: Device) -> None:
    with raw_client(device.path) as peer, raw_client(device.path) as other:
        peer.negotiate()
        other.send(message(VERSION, VERSION_TEXT))
        other.socket.settimeout(1.5)
        with pytest.raises(TimeoutError):
            other.receive()
        assert peer.ask(READ, ACCESS.pack(0, 0, 4)).error == 0
