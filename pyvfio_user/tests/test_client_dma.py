"""A server that requests a client's memory by messages (DMA_READ, DMA_WRITE)."""

from __future__ import annotations

import contextlib
import errno
import os
import struct
from collections.abc import Callable, Iterator

import pytest
from pyvfio_user._client import ffi
from vfio_device import Device
from vfio_peers import (
    ACCESS,
    DMA_MAP,
    DMA_UNMAP,
    ERROR,
    HEADER,
    NO_REPLY,
    READ,
    REPLY,
    Message,
    Peer,
    message,
    read_request,
    scripted_server,
)

from pyvfio_user import Client, DmaFlag, PeerDied, ProtocolError, Refused, Timeout, memory_file

DMA_READ, DMA_WRITE = 11, 12
BASE, SIZE = 0x100000, 0x20000
LIMIT = 32768  # what the client announces
DMA = struct.Struct("<QQ")  # address, count
Requests = Callable[[Peer], object]


def dma_read(address: int, count: int, **options: int) -> bytes:
    return message(DMA_READ, DMA.pack(address, count), **options)


def dma_write(address: int, data: bytes, **options: int) -> bytes:
    return message(DMA_WRITE, DMA.pack(address, len(data)) + data, **options)


@pytest.fixture
def memory() -> Iterator[int]:
    fd = memory_file("memory", SIZE)
    os.pwrite(fd, b"in the client", 0x1000)
    yield fd
    os.close(fd)


@contextlib.contextmanager
def shared(
    path: str, memory: int, requests: Requests, flags: DmaFlag = DmaFlag.READ | DmaFlag.WRITE
) -> Iterator[Client]:
    """A client that shares memory without a descriptor, of a server that makes `requests`."""

    def script(peer: Peer) -> None:
        peer.accept_version()
        asked = peer.receive()
        assert (asked.command, asked.fds) == (DMA_MAP, [])
        peer.answer(asked)
        requests(peer)

    with scripted_server(path, script), Client(path, deadline=2) as client:
        client.dma_map(memory, BASE, SIZE, flags=flags, by_message=True)
        yield client


def answer_read(peer: Peer, asked: Message) -> None:
    _, _, count = read_request(asked)
    peer.answer(asked, asked.payload + b"d" * count)


def test_a_server_reads_and_writes_memory_before_it_answers(path: str, memory: int) -> None:
    got: list[Message] = []

    def requests(peer: Peer) -> None:
        asked = peer.receive()
        peer.send(dma_read(BASE + 0x1000, 13, id=77))
        got.append(peer.receive())
        peer.send(dma_write(BASE + 0x2000, b"from the server", id=78))
        got.append(peer.receive())
        answer_read(peer, asked)

    with shared(path, memory, requests) as client:
        assert client.region_read(0, 0, 4) == b"dddd"
    read, written = got
    assert (read.id, read.command, read.flags) == (77, DMA_READ, REPLY)
    assert read.payload == DMA.pack(BASE + 0x1000, 13) + b"in the client"
    assert (written.id, written.command, written.flags) == (78, DMA_WRITE, REPLY)
    assert written.payload == DMA.pack(BASE + 0x2000, 15)
    assert os.pread(memory, 15, 0x2000) == b"from the server"


def test_a_server_requests_memory_before_it_answers_a_call(path: str, memory: int) -> None:
    got: list[Message] = []

    def requests(peer: Peer) -> None:
        asked = peer.receive()
        for _ in range(3):
            peer.send(dma_read(BASE + 0x1000, 2))
            got.append(peer.receive())
        peer.answer(asked)

    with shared(path, memory, requests) as client:
        client.reset()
    assert [one.payload[DMA.size :] for one in got] == [b"in"] * 3


def test_requests_that_arrive_together_with_replies_are_all_answered(
    path: str, memory: int
) -> None:
    got: list[Message] = []

    def requests(peer: Peer) -> None:
        asked = [peer.receive() for _ in range(2)]
        reply = [message(READ, one.payload + b"d" * 4, id=one.id, flags=REPLY) for one in asked]
        ask = [dma_read(BASE + 0x1000, 2, id=number) for number in range(3)]
        peer.send(ask[0] + reply[0] + ask[1] + ask[2] + reply[1])
        got.extend(peer.receive() for _ in range(3))

    def read(client: Client) -> bytes:
        io, into = ffi.cast("struct io *", client.io(0)), ffi.new("uint32_t[]", 2)
        for at in range(2):
            assert io.read(io.cookie, 0, into + at, 4, 1) == 0
        assert io.fence(io.cookie) == 0
        return bytes(ffi.buffer(into))

    with shared(path, memory, requests) as client:
        assert read(client) == b"dddddddd"
    assert [(one.id, one.payload[DMA.size :]) for one in got] == [(n, b"in") for n in range(3)]


def test_a_request_in_pieces_is_served(path: str, memory: int) -> None:
    def requests(peer: Peer) -> None:
        asked = peer.receive()
        whole = dma_write(BASE, b"x" * LIMIT)
        for at in range(0, len(whole), 10000):
            peer.send(whole[at : at + 10000])
        assert peer.receive().flags == REPLY
        answer_read(peer, asked)

    with shared(path, memory, requests) as client:
        client.region_read(0, 0, 4)
    assert os.pread(memory, LIMIT + 1, 0) == b"x" * LIMIT + b"\0"


def test_a_client_may_wait_for_requests_alone(path: str, memory: int) -> None:
    def requests(peer: Peer) -> None:
        peer.send(dma_write(BASE, b"alone"))
        assert peer.receive().flags == REPLY
        peer.send(dma_write(BASE + 5, b", no reply", flags=NO_REPLY))
        peer.receive()

    with shared(path, memory, requests) as client:
        assert [client.serve_dma(5), client.serve_dma(5)] == [1, 1]
        assert client.serve_dma(0) == 0
    assert os.pread(memory, 15, 0) == b"alone, no reply"


def test_a_request_may_cross_from_one_piece_of_memory_to_the_next(path: str, memory: int) -> None:
    got: list[Message] = []

    def requests(peer: Peer) -> None:
        peer.answer(peer.receive())
        peer.send(dma_read(BASE + SIZE - 4, 8))
        got.append(peer.receive())

    with shared(path, memory, requests) as client:
        os.pwrite(memory, b"next", 0x3000)
        os.pwrite(memory, b"last", SIZE - 4)
        client.dma_map(memory, BASE + SIZE, 0x1000, offset=0x3000, by_message=True)
        assert client.serve_dma(5) == 1
    assert got[0].payload[DMA.size :] == b"lastnext"


@pytest.mark.parametrize(
    ("request_", "flags", "number"),
    [
        (dma_read(BASE - 1, 4), DmaFlag.READ, errno.ENOENT),
        (dma_read(BASE + SIZE, 4), DmaFlag.READ, errno.ENOENT),
        (dma_read(BASE + SIZE - 2, 4), DmaFlag.READ, errno.ENOENT),
        (dma_read((1 << 64) - 2, 4), DmaFlag.READ, errno.ENOENT),
        (dma_read(BASE, 4), DmaFlag.WRITE, errno.EACCES),
        (dma_write(BASE, b"four"), DmaFlag.READ, errno.EACCES),
        (dma_read(BASE, LIMIT + 1), DmaFlag.READ, errno.EINVAL),
        (dma_read(BASE, 1 << 63), DmaFlag.READ, errno.EINVAL),
        (message(DMA_WRITE, DMA.pack(BASE, 8) + b"four"), DmaFlag.WRITE, errno.EINVAL),
        (message(DMA_READ, DMA.pack(BASE, 4) + b"more"), DmaFlag.READ, errno.EINVAL),
    ],
)
def test_a_request_that_the_client_cannot_serve_is_refused_and_the_next_is_served(
    path: str, memory: int, request_: bytes, flags: DmaFlag, number: int
) -> None:
    got: list[Message] = []

    def requests(peer: Peer) -> None:
        asked = peer.receive()
        peer.send(request_)
        got.append(peer.receive())
        answer_read(peer, asked)

    with shared(path, memory, requests, flags) as client:
        assert client.region_read(0, 0, 4) == b"dddd"
    assert (got[0].flags, got[0].error) == (REPLY | ERROR, number)


@pytest.mark.parametrize(
    "request_",
    [
        message(READ, ACCESS.pack(0, 0, 4)),
        message(DMA_READ, b"short"),
        message(DMA_READ, DMA.pack(BASE, 4), size=8),
        message(DMA_WRITE, DMA.pack(BASE, LIMIT + 1), size=32 + LIMIT + 1),
    ],
)
@pytest.mark.parametrize("call", [Client.reset, lambda client: client.region_read(0, 0, 4)])
def test_a_request_that_no_server_may_send_ends_the_connection(
    path: str, memory: int, request_: bytes, call: Callable[[Client], object]
) -> None:
    def requests(peer: Peer) -> None:
        peer.receive()
        peer.send(request_)
        assert peer.is_cut_off()

    with shared(path, memory, requests) as client, pytest.raises(ProtocolError):
        call(client)


def test_memory_in_a_file_that_became_short_is_refused(path: str) -> None:
    fd = os.memfd_create("short")
    os.ftruncate(fd, SIZE)
    got: list[Message] = []

    def requests(peer: Peer) -> None:
        asked = peer.receive()
        os.ftruncate(fd, 0)
        peer.send(dma_read(BASE, 4))
        got.append(peer.receive())
        answer_read(peer, asked)

    with shared(path, fd, requests) as client:
        client.region_read(0, 0, 4)
    os.close(fd)
    assert got[0].error == errno.EFAULT


def test_memory_that_is_no_longer_shared_is_refused(path: str, memory: int) -> None:
    got: list[Message] = []

    def requests(peer: Peer) -> None:
        asked = peer.receive()
        assert asked.command == DMA_UNMAP
        peer.answer(asked)
        peer.send(dma_read(BASE, 4))
        got.append(peer.receive())

    with shared(path, memory, requests) as client:
        client.dma_unmap(BASE, SIZE)
        assert client.serve_dma(5) == 1
    assert got[0].error == errno.ENOENT


def test_memory_that_the_server_refuses_is_not_shared(path: str, memory: int) -> None:
    got: list[Message] = []

    def requests(peer: Peer) -> None:
        peer.answer(peer.receive(), error=errno.EEXIST)
        peer.send(dma_read(BASE + 0x1000, 2))
        got.append(peer.receive())

    other = memory_file("other", SIZE)
    before = len(os.listdir("/proc/self/fd"))
    with shared(path, memory, requests) as client:
        with pytest.raises(Refused):
            client.dma_map(other, BASE, SIZE, by_message=True)
        assert client.serve_dma(5) == 1
    os.close(other)
    assert got[0].payload[DMA.size :] == b"in"  # the first mapping still holds
    assert len(os.listdir("/proc/self/fd")) == before - 1


def test_memory_beyond_the_clients_table_needs_a_file(device: Device, memory: int) -> None:
    with Client(device.path, deadline=10) as client:
        for number in range(512):
            client.dma_map(memory, number << 12, 0x1000)
        client.dma_unmap(0, 0x1000)
        client.dma_map(memory, 0, 0x1000, by_message=True)
        with pytest.raises(Refused, match=r"memory at 0x200000: refused, ENOSPC"):
            client.dma_map(memory, 512 << 12, 0x1000, by_message=True)
        with pytest.raises(Refused, match=r"DMA_MAP: refused, ENOSPC"):
            client.dma_map(memory, 512 << 12, 0x1000)


def test_a_server_that_only_ever_requests_memory_times_out(path: str, memory: int) -> None:
    def requests(peer: Peer) -> None:
        peer.receive()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError, EOFError):
            while True:
                peer.ask(DMA_READ, DMA.pack(BASE, 4))

    def script(peer: Peer) -> None:
        peer.accept_version()
        peer.answer(peer.receive())
        requests(peer)

    for call in (Client.reset, lambda client: client.region_read(0, 0, 4)):
        with scripted_server(path, script), Client(path, deadline=0.05) as client:
            client.dma_map(memory, BASE, SIZE, by_message=True)
            with pytest.raises(Timeout):
                call(client)
        os.unlink(path)


def test_a_server_that_dies_instead_of_a_request_is_reported_as_dead(
    path: str, memory: int
) -> None:
    def requests(peer: Peer) -> None:
        peer.send(dma_read(BASE, 4)[: HEADER.size + 3])

    with shared(path, memory, requests) as client, pytest.raises(PeerDied):
        client.serve_dma(5)
