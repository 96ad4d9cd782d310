"""Clients that break the protocol: the server refuses or cuts them off and serves the next."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import random
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest
from pyvfio_user._server import ffi, lib
from vfio_device import DEADLINE, Device
from vfio_peers import (
    ACCESS,
    DMA_MAP,
    DMA_UNMAP,
    ERROR,
    GET_INFO,
    HEADER,
    READ,
    SET_IRQS,
    VERSION,
    WRITE,
    Peer,
    message,
    raw_client,
)

from pyvfio_user import Client, PeerDied, Refused

READ_FOUR = ACCESS.pack(0, 0, 4)


PAGE = os.sysconf("SC_PAGESIZE")
MSIX = 2
TRIGGER_NONE, TRIGGER_BOOL, TRIGGER_EVENTFD = 0x21, 0x22, 0x24
FULL = (1 << 64) - 2
"""The highest value of an eventfd. A write to one that is full sleeps until somebody reads."""


def set_irqs(flags: int, start: int, count: int, data: bytes = b"") -> bytes:
    return message(
        SET_IRQS, struct.pack("<IIIII", 20 + len(data), flags, MSIX, start, count) + data
    )


def dma_map(offset: int, address: int, size: int, flags: int = 3) -> bytes:
    return message(DMA_MAP, struct.pack("<IIQQQ", 32, flags, offset, address, size))


def descriptors(peer: Peer) -> int:
    """Returns how many this process has open once the server has handled all requests of `peer`."""
    assert peer.ask(READ, READ_FOUR).error == 0
    return len(os.listdir("/proc/self/fd"))


def connected(device: Device, attempts: int = 5) -> Client:
    """A good client. One that a busy machine kept silent for the server's deadline tries again."""
    while True:
        began, attempts = time.monotonic(), attempts - 1
        try:
            return Client(device.path, deadline=10)
        except PeerDied:
            if not attempts or time.monotonic() - began < DEADLINE:
                raise


@pytest.fixture(autouse=True)
def the_next_client_is_served(device: Device) -> Iterator[None]:
    yield
    with connected(device) as client:
        client.region_write(0, 0x100, b"still here")
        assert client.region_read(0, 0x100, 10) == b"still here"


@pytest.fixture
def peer(device: Device) -> Iterator[Peer]:
    with raw_client(device.path) as peer:
        peer.negotiate()
        yield peer


def test_a_silent_client_is_cut_off(device: Device) -> None:
    with raw_client(device.path) as peer:
        assert peer.is_cut_off()


def test_a_client_that_sends_half_a_version_is_cut_off(
    device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    with raw_client(device.path) as peer:
        peer.send(message(VERSION, b"\0\0", size=100))
        assert peer.is_cut_off()
    assert "in the middle of a message" in caplog.text


def test_a_client_that_speaks_another_protocol_is_cut_off(device: Device) -> None:
    with raw_client(device.path) as peer:
        peer.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert peer.is_cut_off()


def test_a_client_silent_within_a_header_is_cut_off(peer: Peer) -> None:
    peer.send(b"\1\0\4")
    assert peer.is_cut_off()


def test_a_client_silent_after_a_header_is_cut_off(
    peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    peer.send(message(READ, b"", size=32))
    assert peer.is_cut_off()
    assert "in the middle of a message" in caplog.text


def test_a_client_may_leave_in_the_middle_of_a_message(peer: Peer) -> None:
    peer.send(message(WRITE, ACCESS.pack(0, 0, 1 << 19) + b"x" * 100, size=(1 << 19) + 32))


def test_an_idle_client_is_not_cut_off(peer: Peer) -> None:
    peer.socket.settimeout(3 * DEADLINE)
    with pytest.raises(TimeoutError):
        peer.receive()
    peer.socket.settimeout(10)
    assert peer.ask(READ, READ_FOUR).error == 0


@pytest.mark.parametrize("size", [0, 1, 15])
def test_a_message_smaller_than_its_header_is_refused(peer: Peer, size: int) -> None:
    assert peer.ask(READ, size=size).flags & ERROR
    assert peer.ask(READ, READ_FOUR).error == 0


@pytest.mark.parametrize("size", [1 << 21, 1 << 31, 0xFFFFFFFF])
def test_a_message_of_a_huge_size_is_refused_without_its_payload(peer: Peer, size: int) -> None:
    assert peer.ask(WRITE, size=size).flags & ERROR
    assert peer.ask(READ, READ_FOUR).error == 0


def test_a_reply_to_no_request_is_refused(peer: Peer) -> None:
    assert peer.ask(READ, flags=1).flags & ERROR


@pytest.mark.parametrize("command", range(1, 20))
@pytest.mark.parametrize("length", [1, 4, 8, 16, 20, 24, 31])
def test_the_server_survives_short_payloads_of_all_commands(
    peer: Peer, command: int, length: int
) -> None:
    peer.ask(command, b"\xff" * length)
    assert peer.ask(READ, READ_FOUR).error == 0


def test_a_client_that_does_not_read_its_replies_is_cut_off(device: Device) -> None:
    with raw_client(device.path) as peer:
        peer.negotiate()
        asked = message(READ, ACCESS.pack(0, 0, 0x10000)) * 10000
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            peer.send(asked)


def test_unexpected_descriptors_are_closed(peer: Peer) -> None:
    before = descriptors(peer)
    for _ in range(20):
        peer.send(message(GET_INFO, struct.pack("<IIII", 16, 0, 0, 0)), [0, 1, 2])
        assert peer.receive().error == 0
    assert descriptors(peer) == before


def test_a_client_that_sends_too_many_descriptors_is_cut_off(device: Device) -> None:
    counts = []
    for count in (17, 100) * 3:
        with raw_client(device.path) as peer:
            peer.negotiate()
            peer.send(message(GET_INFO, struct.pack("<IIII", 16, 0, 0, 0)), [0] * count)
            assert peer.is_cut_off()
        assert device.clients_gone.acquire(timeout=10)
        counts.append(len(os.listdir("/proc/self/fd")))
    assert len(set(counts)) == 1


def test_descriptors_for_missing_interrupts_are_closed(peer: Peer) -> None:
    before = descriptors(peer)
    asked = struct.pack("<IIIII", 20, 0x24, 2, 7, 3)
    for _ in range(20):
        peer.send(message(SET_IRQS, asked), [0, 1, 2])
        assert peer.receive().flags & ERROR
    assert descriptors(peer) == before


def test_memory_that_cannot_be_mapped_is_refused_and_its_descriptor_closed(peer: Peer) -> None:
    one, other = socket.socketpair()
    with one, other:
        before = descriptors(peer)
        for _ in range(20):
            asked = struct.pack("<IIQQQ", 32, 3, 0, 0x1000, 0x1000)
            peer.send(message(DMA_MAP, asked), [one.fileno()])
            assert peer.receive().flags & ERROR
        assert descriptors(peer) == before


def full_eventfd() -> int:
    fd = os.eventfd(0)
    os.eventfd_write(fd, FULL)
    return fd


def test_an_interrupt_does_not_wait_for_an_eventfd_that_is_full(device: Device, peer: Peer) -> None:
    fd = full_eventfd()
    peer.send(set_irqs(TRIGGER_EVENTFD, 0, 1), [fd])
    assert peer.receive().error == 0
    assert device.server.irq(0)
    assert not fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK
    os.close(fd)


@pytest.mark.parametrize(
    ("flags", "data"), [(TRIGGER_NONE, b""), (TRIGGER_BOOL, b"\1\1"), (TRIGGER_BOOL, b"\0\1")]
)
def test_a_client_that_triggers_its_own_full_eventfd_waits_for_nothing(
    peer: Peer, flags: int, data: bytes
) -> None:
    for vector in 0, 1:
        fd = full_eventfd()
        peer.send(set_irqs(TRIGGER_EVENTFD, vector, 1), [fd])
        assert peer.receive().error == 0
        os.close(fd)
    peer.send(set_irqs(flags, 0, 2, data))
    assert peer.receive().error == 0


def test_an_eventfd_that_its_client_fills_and_drains_never_holds_up_the_server(
    device: Device, peer: Peer
) -> None:
    fd = os.eventfd(0)
    peer.send(set_irqs(TRIGGER_EVENTFD, 0, 1), [fd])
    assert peer.receive().error == 0
    done = threading.Event()

    def toggle() -> None:
        while not done.is_set():
            fcntl.fcntl(fd, fcntl.F_SETFL, os.O_NONBLOCK)
            try:
                os.eventfd_write(fd, FULL)
                fcntl.fcntl(fd, fcntl.F_SETFL, 0)
                os.eventfd_read(fd)
            except BlockingIOError:
                pass

    thread = threading.Thread(target=toggle)
    thread.start()
    for _ in range(20000):
        assert device.server.irq(0)
    done.set()
    thread.join()
    os.close(fd)


@pytest.mark.parametrize("kind", ["pipe", "socket", "file", "terminal", "epoll"])
def test_an_interrupt_goes_to_an_eventfd_only(peer: Peer, kind: str) -> None:
    fds = open_descriptors(kind)
    before = descriptors(peer)
    peer.send(set_irqs(TRIGGER_EVENTFD, 0, 1), fds[:1])
    assert peer.receive().error == errno.EINVAL
    assert descriptors(peer) == before
    for fd in fds:
        os.close(fd)


def open_descriptors(kind: str) -> list[int]:
    if kind == "pipe":
        return list(os.pipe())[::-1]
    if kind == "socket":
        return [end.detach() for end in socket.socketpair()]
    if kind == "terminal":
        return list(os.openpty())
    if kind == "epoll":
        with select.epoll() as poll:
            return [os.dup(poll.fileno())]
    return [os.memfd_create("file")]


@pytest.mark.parametrize(
    ("offset", "address", "size"),
    [
        (PAGE - 1, 0x10000, PAGE),
        (0, 0x10000 + 1, PAGE),
        (0, 0x10000, PAGE - 1),
        (0, 0x10000, 1),
        (0, 0x10000, (1 << 63) - PAGE),
        (0, 0x10000, 1 << 63),
        (0, 0x10000, (1 << 64) - (1 << 20)),
        ((1 << 63) - PAGE, 0x10000, 2 * PAGE),
        (1 << 63, 0x10000, PAGE),
        (0, (1 << 64) - PAGE, PAGE),
    ],
)
@pytest.mark.parametrize("shared", [False, True])
def test_memory_that_is_not_whole_pages_of_a_possible_size_is_refused(
    device: Device, peer: Peer, offset: int, address: int, size: int, shared: bool
) -> None:
    fd = os.memfd_create("memory")
    os.ftruncate(fd, 2 * PAGE)
    peer.send(dma_map(offset, address, size), [fd] if shared else None)
    assert peer.receive().error in (errno.EINVAL, errno.ENOSPC)
    os.close(fd)
    assert device.events == []
    with pytest.raises(Refused):
        device.server.dma_read(address, PAGE)


@pytest.mark.parametrize(
    ("address", "size"), [(1, PAGE), (0, PAGE - 1), (0, 1 << 63), (1 << 63, (1 << 64) - PAGE)]
)
def test_only_whole_pages_are_unmapped(peer: Peer, address: int, size: int) -> None:
    asked = struct.pack("<IIQQ", 24, 0, address, size)
    assert peer.ask(DMA_UNMAP, asked).error == errno.EINVAL


@pytest.mark.parametrize("length", [(1 << 64) - 0x10000, (1 << 64) - 0x10001, 1 << 63])
def test_a_transfer_beyond_the_last_address_is_refused(
    device: Device, peer: Peer, length: int
) -> None:
    fd = os.memfd_create("memory")
    os.ftruncate(fd, PAGE)
    peer.send(dma_map(0, 0x10000, PAGE), [fd])
    assert peer.receive().error == 0
    os.close(fd)
    assert device.server.dma_read(0x10000, PAGE) == bytes(PAGE)
    word = ffi.new("char[4]")
    assert lib.server_dma(device.server._live(), 0x10000, word, length, True) == -errno.ENOENT


def test_memory_that_its_client_truncates_is_an_error_and_no_signal(
    device: Device, peer: Peer
) -> None:
    fd = os.memfd_create("memory")
    os.ftruncate(fd, 2 * PAGE)
    peer.send(dma_map(0, 0x10000, 2 * PAGE), [fd])
    assert peer.receive().error == 0
    os.ftruncate(fd, PAGE)
    with pytest.raises(Refused):
        device.server.dma_read(0x10000, 2 * PAGE)
    with pytest.raises(Refused):
        device.server.dma_write(0x10000 + PAGE, b"lost")
    device.server.dma_write(0x10000, b"kept")
    assert os.pread(fd, 4, 0) == b"kept"
    os.close(fd)


@pytest.mark.parametrize("kind", ["pipe", "socket", "terminal", "epoll"])
def test_memory_is_a_regular_file_only(peer: Peer, kind: str) -> None:
    fds = open_descriptors(kind)
    before = descriptors(peer)
    peer.send(dma_map(0, 0x10000, PAGE), fds[:1])
    assert peer.receive().error == errno.EINVAL
    assert descriptors(peer) == before
    for fd in fds:
        os.close(fd)


def test_memory_whose_mapping_would_end_before_the_region_is_refused(peer: Peer) -> None:
    try:
        fd = os.memfd_create("huge pages", os.MFD_HUGETLB)
    except OSError as error:
        pytest.skip(f"this kernel has no huge pages: {error}")
    block = os.fstat(fd).st_blksize
    os.ftruncate(fd, 2 * block)
    peer.send(dma_map(block - PAGE, 0, 2 * PAGE), [fd])
    assert peer.receive().error == errno.EINVAL
    peer.send(dma_map(block, 0, block), [fd])
    assert peer.receive().error in (0, errno.ENOMEM)  # ENOMEM: no huge page is reserved
    os.close(fd)


def test_a_file_of_a_kind_whose_owner_can_hold_up_its_readers_is_no_memory(peer: Peer) -> None:
    with open("/proc/self/maps", "rb") as file:
        peer.send(dma_map(0, 0x10000, PAGE, flags=1), [file.fileno()])
        assert peer.receive().error == errno.EINVAL


def test_a_client_cannot_flood_the_log(device: Device, caplog: pytest.LogCaptureFixture) -> None:
    with raw_client(device.path) as peer:
        peer.negotiate()
        for _ in range(300):
            peer.ask(99, b"x" * 16)
            peer.ask(READ, ACCESS.pack(0, 0, 1 << 21))
    assert 10 <= len(caplog.records) < 100
    caplog.clear()
    device.server.log.flush()
    left_out = [message for message in caplog.messages if message.startswith("left out")]
    assert any(message.startswith("left out 290 times: ") for message in left_out)


def test_clients_that_come_and_go_cannot_flood_the_log(
    device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(50):
        with raw_client(device.path) as peer:
            peer.negotiate()
    assert len(caplog.records) < 50


def test_the_server_survives_garbage_of_all_kinds(device: Device) -> None:
    generator = random.Random(7)
    for _ in range(40):
        with raw_client(device.path) as peer:
            if generator.random() < 0.8:
                peer.negotiate()
            for _ in range(generator.randrange(1, 20)):
                payload = generator.randbytes(generator.choice([0, 1, 16, 20, 32, 48, 200]))
                header = HEADER.pack(
                    generator.randrange(1 << 16),
                    generator.randrange(20),
                    generator.choice([16 + len(payload)] * 8 + [0, 1 << 20]),
                    generator.choice([0, 0, 0, 0x10, 1, 0xFFFFFFFF]),
                    0,
                )
                try:
                    peer.send(header + payload)
                except (BrokenPipeError, ConnectionResetError):
                    break
