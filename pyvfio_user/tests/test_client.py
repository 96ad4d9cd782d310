"""A client against scripted servers: correct, faulty, silent, dying."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from vfio_peers import (
    ACCESS,
    ERROR,
    GET_INFO,
    GET_REGION_INFO,
    HEADER,
    NO_REPLY,
    READ,
    REPLY,
    SET_IRQS,
    VERSION,
    WRITE,
    Message,
    Peer,
    message,
    read_request,
    scripted_server,
    serve_memory,
)

from pyvfio_user import (
    Client,
    ConnectError,
    PeerDied,
    ProtocolError,
    Refused,
    Timeout,
    memory_file,
)

DEADLINE = 0.3
Script = Callable[[Peer], object]


@contextlib.contextmanager
def connected(path: str, script: Script, deadline: float = 10) -> Iterator[Client]:
    """A client of a server that accepts the version and then follows the script."""

    def accepted(peer: Peer) -> None:
        peer.accept_version()
        script(peer)

    with scripted_server(path, accepted), Client(path, deadline=deadline) as client:
        yield client


# Making a connection


def test_a_missing_server_is_an_error(path: str) -> None:
    with pytest.raises(ConnectError, match=r"No such file") as caught:
        Client(path)
    assert caught.value.errno == errno.ENOENT


def test_a_socket_without_a_listener_is_an_error(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)
    with pytest.raises(ConnectError, match=r"refused") as caught:
        Client(path)
    assert caught.value.errno == errno.ECONNREFUSED


def test_a_path_that_is_too_long_is_an_error_with_both_lengths() -> None:
    with pytest.raises(ConnectError, match=r"has 200 bytes, a socket's may have 107"):
        Client("x" * 200)


def test_connecting_to_a_full_queue_times_out(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as busy, contextlib.ExitStack() as others:
        busy.bind(path)
        busy.listen(0)
        others.enter_context(socket.socket(socket.AF_UNIX)).connect(path)
        with pytest.raises(ConnectError, match=r"not accepted within 0\.1 s"):
            Client(path, deadline=0.1)


def test_a_server_that_never_replies_times_out(path: str) -> None:
    with (
        scripted_server(path, lambda peer: peer.is_cut_off() or None),
        pytest.raises(Timeout, match=r"VERSION: no answer within 0\.3 s") as caught,
    ):
        Client(path, deadline=DEADLINE)
    assert caught.value.errno == errno.ETIMEDOUT


def test_a_server_that_hangs_up_counts_as_dead(path: str) -> None:
    with (
        scripted_server(path, lambda peer: peer.receive() and None),
        pytest.raises(PeerDied) as caught,
    ):
        Client(path)
    assert caught.value.errno == errno.EIO


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0" * 64])
def test_a_server_that_speaks_another_protocol_breaks_ours(path: str, answer: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.receive()
        peer.send(answer)
        peer.is_cut_off()

    with scripted_server(path, script), pytest.raises(ProtocolError):
        Client(path)


@pytest.mark.parametrize(
    "payload", [b"", struct.pack("<HH", 1, 0), struct.pack("<HH", 0, 1) + b"{\0"]
)
def test_a_malformed_version_breaks_the_protocol(path: str, payload: bytes) -> None:
    with (
        scripted_server(path, lambda peer: peer.answer(peer.receive(), payload)),
        pytest.raises(ProtocolError, match=r"version|VERSION"),
    ):
        Client(path)


def test_a_refused_version_is_a_refusal(path: str) -> None:
    with (
        scripted_server(path, lambda peer: peer.answer(peer.receive(), error=errno.EINVAL)),
        pytest.raises(Refused, match=r"VERSION: refused, EINVAL"),
    ):
        Client(path)


def test_a_client_announces_its_limits(path: str) -> None:
    asked: list[Message] = []
    with scripted_server(path, lambda peer: asked.append(peer.accept_version())):
        Client(path).close()
    assert asked[0].command == VERSION
    assert b'"max_msg_fds": 8' in asked[0].payload
    assert b'"max_data_xfer_size": 32768' in asked[0].payload
    assert asked[0].payload.endswith(b"\0")


def test_a_closed_client_refuses_calls(path: str) -> None:
    with connected(path, lambda peer: None) as client:
        client.close()
        client.close()
        with pytest.raises(PeerDied, match=r"closed"):
            client.region_read(0, 0, 4)


# Region reads, and wrong replies to them


def answered(path: str, answer: Callable[[Peer, Message], object], deadline: float = 10) -> bytes:
    """Returns the 4 bytes that a client reads at 8 of region 0 if `answer` answers its request."""
    with connected(path, lambda peer: answer(peer, peer.receive()), deadline) as client:
        return client.region_read(0, 8, 4)


def test_a_reply_to_a_read_repeats_the_request(path: str) -> None:
    def answer(peer: Peer, asked: Message) -> None:
        assert (asked.command, asked.flags, read_request(asked)) == (READ, 0, (8, 0, 4))
        peer.answer(asked, asked.payload + b"data")

    assert answered(path, answer) == b"data"


def test_a_reply_in_pieces_is_assembled(path: str) -> None:
    def answer(peer: Peer, asked: Message) -> None:
        whole = message(READ, asked.payload + b"data", id=asked.id, flags=REPLY)
        for at in range(len(whole)):
            peer.send(whole[at : at + 1])

    assert answered(path, answer) == b"data"


@pytest.mark.parametrize("payload", [b"", ACCESS.pack(8, 0, 4), ACCESS.pack(8, 0, 4) + b"four"])
def test_a_refusal_may_have_any_payload_that_fits(path: str, payload: bytes) -> None:
    def answer(peer: Peer, asked: Message) -> None:
        peer.answer(asked, payload, error=errno.EACCES)
        asked = peer.receive()
        peer.answer(asked, asked.payload + b"good")

    with connected(path, lambda peer: answer(peer, peer.receive())) as client:
        with pytest.raises(Refused, match=r"EACCES") as caught:
            client.region_read(0, 8, 4)
        assert caught.value.errno == errno.EACCES
        assert client.region_read(0, 8, 4) == b"good"


def lie(**changes: int) -> Callable[[Peer, Message], None]:
    """Returns a reply that is correct except for `changes`."""

    def answer(peer: Peer, asked: Message) -> None:
        offset, region, count = read_request(asked)
        payload = ACCESS.pack(
            changes.get("offset", offset),
            changes.get("region", region),
            changes.get("count", count),
        ) + bytes(changes.get("length", 4))
        peer.send(
            HEADER.pack(
                changes.get("id", asked.id),
                changes.get("command", READ),
                changes.get("size", HEADER.size + len(payload)),
                changes.get("flags", REPLY),
                changes.get("error", 0),
            )
            + payload
        )
        peer.is_cut_off()

    return answer


@pytest.mark.parametrize(
    "changes",
    [
        {"id": 0x7777},
        {"command": WRITE},
        {"command": 0},
        {"flags": 0},
        {"flags": 2},
        {"size": 0},
        {"size": 15},
        {"size": 31},
        {"size": 0xFFFFFFFF},
        {"length": 5},
        {"length": 3},
        {"length": 1 << 20},
        {"offset": 4},
        {"region": 1},
        {"count": 8},
        {"count": 0},
        {"flags": REPLY | ERROR, "error": 0},
        {"flags": REPLY | ERROR, "error": 4096},
        {"flags": REPLY | ERROR, "error": 22, "length": 5},
        {"flags": REPLY | ERROR, "error": 22, "size": 1 << 30},
    ],
    ids=str,
)
def test_a_wrong_reply_ends_the_connection(path: str, changes: dict[str, int]) -> None:
    with pytest.raises(ProtocolError) as caught:
        answered(path, lie(**changes))
    assert caught.value.errno == errno.EPROTO


def test_a_reply_to_no_request_ends_the_connection(path: str) -> None:
    def answer(peer: Peer, asked: Message) -> None:
        peer.send(2 * message(READ, asked.payload + b"data", id=asked.id, flags=REPLY))

    with pytest.raises(ProtocolError):
        answered(path, answer)


def test_bytes_after_the_last_reply_end_the_connection_at_the_next_call(path: str) -> None:
    def answer(peer: Peer, asked: Message) -> None:
        peer.send(message(READ, asked.payload + b"data", id=asked.id, flags=REPLY) + b"abc")
        peer.is_cut_off()

    with connected(path, lambda peer: answer(peer, peer.receive())) as client:
        assert client.region_read(0, 8, 4) == b"data"
        with pytest.raises(ProtocolError):
            client.reset()


def test_a_server_that_falls_silent_times_out(path: str) -> None:
    with pytest.raises(Timeout, match=r"read at 0x8 of region 0"):
        answered(path, lambda peer, asked: peer.is_cut_off() or None, DEADLINE)


@pytest.mark.parametrize("sent", [1, 16, 20, 32, 34])
def test_a_server_that_falls_silent_within_a_reply_times_out(path: str, sent: int) -> None:
    def answer(peer: Peer, asked: Message) -> None:
        whole = message(READ, asked.payload + b"data", id=asked.id, flags=REPLY)
        peer.send(whole[:sent])
        peer.is_cut_off()

    with pytest.raises(Timeout):
        answered(path, answer, DEADLINE)


def test_a_server_that_sends_too_slowly_times_out(path: str) -> None:
    def answer(peer: Peer, asked: Message) -> None:
        asked = peer.receive()
        peer.send(message(READ, asked.payload, id=asked.id, flags=REPLY, size=32 + 1000))
        peer.socket.settimeout(DEADLINE / 4)
        while True:  # until the client hangs up
            peer.send(b"x")
            with contextlib.suppress(TimeoutError):
                if not peer.socket.recv(1):
                    return

    with connected(path, lambda peer: answer(peer, peer.receive()), DEADLINE) as client:
        client.region_write(0, 0, b"x", posted=True)
        with pytest.raises(Timeout):
            client.region_read(0, 8, 1000)


@pytest.mark.parametrize("sent", [0, 1, 16, 34])
def test_a_server_that_dies_within_a_reply_is_reported_as_dead(path: str, sent: int) -> None:
    def answer(peer: Peer, asked: Message) -> None:
        peer.send(message(READ, asked.payload + b"data", id=asked.id, flags=REPLY)[:sent])

    with pytest.raises(PeerDied, match=r"read at 0x8 of region 0"):
        answered(path, answer)


def test_the_first_error_is_kept(path: str) -> None:
    with connected(path, lambda peer: lie(id=9)(peer, peer.receive())) as client:
        for _ in range(2):
            with pytest.raises(ProtocolError):
                client.region_read(0, 8, 4)
        with pytest.raises(ProtocolError):
            client.reset()


def test_descriptors_in_a_reply_to_a_read_are_not_kept(path: str) -> None:
    def answer(peer: Peer, asked: Message) -> None:
        peer.answer(asked, asked.payload + b"data", fds=[0, 1, 2])
        peer.is_cut_off()

    with connected(path, lambda peer: answer(peer, peer.receive())) as client:
        before = len(os.listdir("/proc/self/fd"))
        assert client.region_read(0, 8, 4) == b"data"
        assert len(os.listdir("/proc/self/fd")) == before


# Long transfers and many requests


def test_a_long_read_is_split_at_the_servers_limit(path: str) -> None:
    memory = bytearray(os.urandom(100000))
    text = b'{"capabilities":{"max_data_xfer_size":1000}}\0'
    with (
        scripted_server(path, lambda peer: serve_memory(peer, memory, text)),
        Client(path) as client,
    ):
        before = client.counters
        assert client.region_read(0, 0, 100000) == memory
        assert client.counters.messages - before.messages == 100
        assert client.counters.round_trips - before.round_trips == 1


def test_a_long_write_is_split_at_the_size_that_arrives_in_one_piece(path: str) -> None:
    memory = bytearray(100000)
    data = os.urandom(100000)
    with scripted_server(path, lambda peer: serve_memory(peer, memory)), Client(path) as client:
        client.region_write(0, 0, data)
        assert client.counters.messages == 1 + 4
    assert memory == data


def test_two_thousand_requests_in_flight_are_all_answered(path: str) -> None:
    memory = bytearray(os.urandom(2000))
    text = b'{"capabilities":{"max_data_xfer_size":1}}\0'
    with (
        scripted_server(path, lambda peer: serve_memory(peer, memory, text)),
        Client(path) as client,
    ):
        assert client.region_read(0, 0, 2000) == memory


def test_replies_may_come_in_another_order(path: str) -> None:
    memory = os.urandom(256)

    def script(peer: Peer) -> None:
        peer.accept_version(b'{"capabilities":{"max_data_xfer_size":1}}\0')
        asked = [peer.receive() for _ in range(256)]
        for one in reversed(asked):
            at = read_request(one)[0]
            peer.answer(one, one.payload + memory[at : at + 1])

    with scripted_server(path, script), Client(path) as client:
        assert client.region_read(0, 0, 256) == memory


def test_one_refusal_among_many_replies_is_raised(path: str) -> None:
    def script(peer: Peer) -> None:
        peer.accept_version(b'{"capabilities":{"max_data_xfer_size":4}}\0')
        for at in range(5):
            asked = peer.receive()
            error = errno.EROFS if at == 2 else 0
            peer.answer(asked, asked.payload + b"data", error=error)

    with scripted_server(path, script), Client(path) as client:
        with pytest.raises(Refused, match=r"EROFS"):
            client.region_read(0, 0, 16)
        assert client.region_read(0, 0, 4) == b"data"


def test_posted_writes_request_no_reply_and_share_a_send(path: str) -> None:
    got: list[Message] = []

    def script(peer: Peer) -> None:
        got.extend(peer.receive() for _ in range(100))

    with connected(path, script) as client:
        before = client.counters
        for at in range(100):
            client.region_write(0, at, b"x", posted=True)
        client.flush()
        assert client.counters.sends - before.sends == 1
        assert client.counters.round_trips == before.round_trips
    assert {(one.command, one.flags) for one in got} == {(WRITE, NO_REPLY)}
    assert [read_offset(one) for one in got] == list(range(100))


def read_offset(asked: Message) -> int:
    return int(ACCESS.unpack_from(asked.payload)[0])


def test_a_server_that_does_not_read_times_out(path: str) -> None:
    done = threading.Event()

    def script(peer: Peer) -> None:
        done.wait(10)

    data = bytes(16 << 20)
    with connected(path, script, DEADLINE) as client:
        with pytest.raises(Timeout):
            client.region_write(0, 0, data, posted=True)
        done.set()


def test_a_server_that_sends_before_it_reads_causes_no_deadlock(path: str) -> None:
    """Requests and replies both fill the socket: each end would wait for the other to read."""
    memory = bytearray(os.urandom(1 << 20))

    def script(peer: Peer) -> None:
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        serve_memory(peer, memory, b'{"capabilities":{"max_data_xfer_size":32000}}\0')

    with scripted_server(path, script), Client(path) as client:
        for _ in range(4):
            client.region_write(0, 0, bytes(30000), posted=True)
            assert client.region_read(0, 30000, 1 << 19) == memory[30000 : 30000 + (1 << 19)]


# Commands


def test_a_call_sends_posted_writes_first(path: str) -> None:
    def script(peer: Peer) -> None:
        asked = peer.receive()
        assert asked.command == WRITE
        asked = peer.receive()
        peer.answer(asked, struct.pack("<IIII", 16, 3, 9, 5))

    with connected(path, script) as client:
        client.region_write(0, 0, b"x", posted=True)
        assert client.device_info.regions == 9


@pytest.mark.parametrize("payload", [b"", bytes(15), struct.pack("<IIII", 16, 3, 1 << 20, 5)])
def test_a_malformed_device_info_breaks_the_protocol(path: str, payload: bytes) -> None:
    with (
        connected(path, lambda peer: peer.answer(peer.receive(), payload)) as client,
        pytest.raises(ProtocolError),
    ):
        client.device_info  # noqa: B018 - the access is the point


def test_a_reply_of_absurd_size_breaks_the_protocol(path: str) -> None:
    def script(peer: Peer) -> None:
        asked = peer.receive()
        peer.send(message(GET_INFO, id=asked.id, flags=REPLY, size=1 << 31))
        peer.is_cut_off()

    with connected(path, script) as client, pytest.raises(ProtocolError):
        client.device_info  # noqa: B018


def test_region_info_that_does_not_fit_is_requested_again(path: str) -> None:
    sizes: list[int] = []
    areas = struct.pack("<HHIII", 1, 1, 0, 1, 0) + struct.pack("<QQ", 0x1000, 0x1000)

    def script(peer: Peer) -> None:
        asked = peer.receive()
        peer.answer(asked, struct.pack("<IIII", 16, 3, 1, 0))
        for fds in (None, [file]):
            asked = peer.receive()
            assert asked.command == GET_REGION_INFO
            sizes.append(struct.unpack_from("<I", asked.payload)[0])
            info = struct.pack("<IIIIQQ", 64, 15 if fds else 7, 0, 32 if fds else 0, 0x4000, 0)
            peer.answer(asked, info + (areas if fds else b""), fds=fds)

    file = os.memfd_create("region")
    os.ftruncate(file, 0x4000)
    os.pwrite(file, b"mapped", 0x1000)
    with connected(path, script) as client:
        assert client.mmap(0)[:6] == b"mapped"
    os.close(file)
    assert sizes == [32, 64]


def test_an_area_past_the_end_of_its_file_is_not_mapped(path: str) -> None:
    file = os.memfd_create("short")

    def script(peer: Peer) -> None:
        peer.answer(peer.receive(), struct.pack("<IIII", 16, 3, 1, 0))
        info = struct.pack("<IIIIQQ", 32, 7, 0, 0, 0x4000, 0)
        peer.answer(peer.receive(), info, fds=[file])

    with connected(path, script) as client, pytest.raises(ProtocolError, match=r"area 0"):
        client.mmap(0)
    os.close(file)


def region_in(file: int) -> Script:
    """A script that answers with one region of 16 KiB, whose content is a file."""

    def script(peer: Peer) -> None:
        peer.answer(peer.receive(), struct.pack("<IIII", 16, 3, 1, 0))
        info = struct.pack("<IIIIQQ", 32, 7, 0, 0, 0x4000, 0)
        peer.answer(peer.receive(), info, fds=[file])

    return script


def test_a_server_cannot_truncate_what_a_client_has_mapped(path: str) -> None:
    file = os.memfd_create("region", os.MFD_ALLOW_SEALING)
    os.ftruncate(file, 0x4000)
    with connected(path, region_in(file)) as client, client.mmap(0) as mapped:
        assert isinstance(mapped, mmap.mmap)
        with pytest.raises(PermissionError):
            os.ftruncate(file, 0)
        assert mapped[0x3FFC:] == bytes(4)
    os.close(file)


def test_a_file_that_a_server_truncates_is_an_error_and_no_signal(
    path: str, tmp_path: Path
) -> None:
    file = os.open(tmp_path / "region", os.O_RDWR | os.O_CREAT)
    os.ftruncate(file, 0x4000)
    with connected(path, region_in(file)) as client, client.mmap(0) as mapped:
        mapped[0x1000:0x1003] = b"abc"
        assert (os.pread(file, 3, 0x1000), mapped[0x1000:0x1003]) == (b"abc", b"abc")
        assert len(mapped[:]) == len(mapped) == 0x4000
        with pytest.raises(IndexError):
            mapped[0:4] = b"abc"
        os.ftruncate(file, 0x1000)
        with pytest.raises(ProtocolError, match=r"truncated"):
            mapped[0x1000:0x1003]
        with pytest.raises(ProtocolError, match=r"truncated"):
            mapped[0x1000:0x1003] = b"def"
    os.close(file)


def test_an_area_mapped_for_reading_cannot_be_written(path: str, tmp_path: Path) -> None:
    file = os.open(tmp_path / "region", os.O_RDWR | os.O_CREAT)
    os.ftruncate(file, 0x4000)
    with (
        connected(path, region_in(file)) as client,
        client.mmap(0, writable=False) as mapped,
        pytest.raises(TypeError),
    ):
        mapped[0:1] = b"x"
    os.close(file)


def test_the_size_of_a_memory_file_is_sealed() -> None:
    file = memory_file("lent", 0x2000)
    assert os.fstat(file).st_size == 0x2000
    for size in (0, 0x1000, 0x3000):
        with pytest.raises(PermissionError):
            os.ftruncate(file, size)
    assert (os.pwrite(file, b"x", 0x1FFF), os.pread(file, 1, 0x1FFF)) == (1, b"x")
    os.close(file)


def test_descriptors_travel_with_the_command(path: str) -> None:
    got: list[Message] = []

    def script(peer: Peer) -> None:
        got.append(peer.receive())
        peer.answer(got[0])

    with connected(path, script) as client:
        os.close(client.irq_eventfd(5))
    (asked,) = got
    assert (asked.command, len(asked.fds)) == (SET_IRQS, 1)
    assert struct.unpack("<IIIII", asked.payload) == (20, 0x24, 2, 5, 1)
    os.close(asked.fds[0])


def test_descriptors_of_a_refused_command_are_closed(path: str) -> None:
    def script(peer: Peer) -> None:
        peer.answer(peer.receive(), error=errno.EINVAL, fds=[0, 1, 2])

    with connected(path, script) as client:
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(Refused):
            client.reset()
        assert len(os.listdir("/proc/self/fd")) <= before
