"""Functions that other threads submit: they run in the server's thread, between two messages."""

from __future__ import annotations

import mmap
import os
import struct
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from functools import partial

import pytest
from vfio_device import Device
from vfio_peers import READ, message, raw_client

import pyvfio_user

PATIENCE = 10.0
TICK = 0.5
"""The longest time that a server sleeps: what takes less was woken."""


def thread_of(device: Device) -> int:
    return device.server.submit(threading.get_ident).result(PATIENCE)


def is_woken_at_once(device: Device) -> bool:
    """Whether functions run without waiting for the server to look around; there are a few tries,
    since other programs may have the processors meanwhile."""
    for _ in range(5):
        time.sleep(0.01)  # the server sleeps by now
        began = time.monotonic()
        device.server.submit(int).result(PATIENCE)
        if time.monotonic() - began < TICK / 5:
            return True
    return False


def test_a_function_runs_in_the_servers_thread(device: Device) -> None:
    (server,) = (each for each in threading.enumerate() if each.name.endswith("(run)"))
    assert thread_of(device) == server.ident


def test_it_runs_at_once_without_a_client(device: Device) -> None:
    assert is_woken_at_once(device)


def test_it_runs_at_once_while_a_client_is_idle(device: Device, client: pyvfio_user.Client) -> None:
    client.region_read(0, 0, 4)
    assert is_woken_at_once(device)


def test_it_runs_between_the_messages_of_a_busy_client(
    device: Device, client: pyvfio_user.Client
) -> None:
    stop = threading.Event()

    def count_up() -> int:
        """A word that a client reads twice in a message, and finds to be the same."""
        number = int.from_bytes(device.memory[:4], "little") + 1
        device.memory[:8] = struct.pack("<II", number, number)
        return number

    def read() -> set[bool]:
        halves = set()
        while not stop.is_set():
            data = client.region_read(0, 0, 8)
            halves.add(data[:4] == data[4:])
        return halves

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(read)
        futures = [device.server.submit(count_up) for _ in range(500)]
        numbers = [future.result(PATIENCE) for future in futures]
        stop.set()
        assert reader.result() == {True}
    assert numbers == list(range(1, 501))


def test_a_message_that_has_come_is_served_before_the_next_function(
    device: Device, client: pyvfio_user.Client
) -> None:
    ran: list[int] = []

    def slow(number: int) -> None:
        time.sleep(0.01)
        ran.append(number)

    futures = [device.server.submit(partial(slow, number)) for number in range(100)]
    client.region_read(0, 0, 4)
    assert len(ran) < 100
    futures[-1].result(PATIENCE)
    assert ran == list(range(100))


def test_it_waits_for_the_end_of_a_message(device: Device) -> None:
    with raw_client(device.path) as peer:
        peer.negotiate()
        peer.send(message(READ, size=32))
        peer.wait_until_taken()
        late = device.server.submit(int)
        with pytest.raises(NotYet):
            late.result(0.05)
        assert late.result(PATIENCE) == 0  # the client is cut off


def test_what_was_cancelled_does_not_run(make_device: Callable[[], Device]) -> None:
    device = make_device()
    ran: list[int] = []
    first, second = (device.server.submit(partial(ran.append, number)) for number in range(2))
    assert first.cancel()
    with device.serving():
        second.result(PATIENCE)
    assert ran == [1]


def test_what_was_submitted_before_run_runs_then(make_device: Callable[[], Device]) -> None:
    device = make_device()
    early = device.server.submit(threading.get_ident)
    with device.serving():
        assert early.result(PATIENCE) != threading.get_ident()


def test_an_exception_is_the_submitters_and_the_server_goes_on(device: Device) -> None:
    with pytest.raises(ZeroDivisionError):
        device.server.submit(lambda: 1 // 0).result(PATIENCE)
    assert device.server.submit(lambda: 5).result(PATIENCE) == 5


def test_a_function_may_submit_another(device: Device) -> None:
    inner = device.server.submit(lambda: device.server.submit(lambda: 7)).result(PATIENCE)
    assert inner.result(PATIENCE) == 7


def test_it_reaches_interrupts_and_the_clients_memory(
    device: Device, client: pyvfio_user.Client
) -> None:
    fd = pyvfio_user.memory_file("memory", mmap.PAGESIZE)
    client.dma_map(fd, 0x4000, mmap.PAGESIZE)
    device.server.submit(lambda: device.server.dma_write(0x4000, b"here")).result(PATIENCE)
    assert os.pread(fd, 4, 0) == b"here"
    assert device.server.submit(lambda: device.server.irq(0)).result(PATIENCE) is False
    os.close(fd)


def test_a_closed_server_cancels_what_has_not_run_and_takes_no_more(
    make_device: Callable[[], Device],
) -> None:
    server = make_device().server
    future = server.submit(int)
    server.close()
    with pytest.raises(CancelledError):
        future.result(0)
    with pytest.raises(pyvfio_user.ListenError, match="this server is closed"):
        server.submit(int)


def test_the_server_knows_its_client(device: Device) -> None:
    assert device.server.peer is None
    with pyvfio_user.Client(device.path, deadline=PATIENCE) as client:
        client.region_read(0, 0, 4)
        assert device.server.peer == (os.getpid(), os.getuid())


def test_the_server_counts_messages(device: Device, client: pyvfio_user.Client) -> None:
    client.region_read(0, 0, 4)
    before = device.server.messages
    for _ in range(10):
        client.region_read(0, 0, 4)
    assert device.server.messages == before + 10
