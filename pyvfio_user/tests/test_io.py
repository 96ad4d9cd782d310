"""`struct io` over a socket, called as C calls it: posted writes, split reads, a fence."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyvfio_user._client import ffi
from vfio_device import SIZE, Device
from vfio_peers import (
    ACCESS,
    NO_REPLY,
    READ,
    REPLY,
    WRITE,
    WRITE_MULTI,
    Message,
    Peer,
    message,
    scripted_server,
)

from pyvfio_user import Client

DEADLINE = 0.3


class Io:
    """The functions behind an address, with a region's cookie filled in."""

    def __init__(self, address: int) -> None:
        self._io: Any = ffi.cast("struct io *", address)

    def write(self, offset: int, data: bytes | bytearray, width: int = 4) -> int:
        buffer = ffi.from_buffer(data)
        return int(self._io.write(self._io.cookie, offset, buffer, width, len(data) // width))

    def read(self, offset: int, into: bytearray, width: int = 4) -> int:
        buffer = ffi.from_buffer(into)
        return int(self._io.read(self._io.cookie, offset, buffer, width, len(into) // width))

    def fence(self) -> int:
        return int(self._io.fence(self._io.cookie))


@pytest.fixture
def io(client: Client) -> Io:
    return Io(client.io(0))


def test_a_read_is_complete_after_the_fence(io: Io, device: Device) -> None:
    device.memory[16:20] = b"word"
    into = bytearray(4)
    assert (io.read(16, into), io.fence()) == (0, 0)
    assert into == b"word"


def test_a_write_has_taken_effect_when_a_later_read_is_fenced(io: Io) -> None:
    into = bytearray(4)
    assert (io.write(16, b"word"), io.read(16, into), io.fence()) == (0, 0, 0)
    assert into == b"word"


def test_written_data_may_be_reused_at_once(io: Io, device: Device) -> None:
    data = bytearray(b"word")
    io.write(0, data)
    data[:] = b"gone"
    into = bytearray(4)
    io.read(0, into)
    assert io.fence() == 0
    assert into == b"word"


@pytest.mark.parametrize("width", [4, 8])
def test_a_run_of_any_length_needs_one_wait(io: Io, client: Client, width: int) -> None:
    data = os.urandom(SIZE)
    into = bytearray(SIZE)
    before = client.counters.round_trips
    assert (io.write(0, data, width), io.read(0, into, width), io.fence()) == (0, 0, 0)
    assert into == data
    assert client.counters.round_trips - before == 1


def test_a_thousand_reads_need_few_sends_and_few_waits(io: Io, client: Client) -> None:
    into = [bytearray(4) for _ in range(1000)]
    before = client.counters
    for at, buffer in enumerate(into):
        assert io.read(4 * at, buffer) == 0
    assert io.fence() == 0
    after = client.counters
    assert after.messages - before.messages == 1000
    assert after.sends - before.sends < 12
    assert after.round_trips - before.round_trips < 12


def test_a_thousand_writes_do_not_wait(io: Io, client: Client, device: Device) -> None:
    before = client.counters.round_trips
    for at in range(1000):
        assert io.write(4 * at, struct.pack("<I", at)) == 0
    assert io.fence() == 0
    assert client.counters.round_trips == before
    assert client.region_read(0, 0, 4000) == struct.pack("<1000I", *range(1000))


def test_a_fence_with_nothing_in_flight_sends_no_message(io: Io, client: Client) -> None:
    before = client.counters
    assert io.fence() == 0
    assert client.counters == before


def test_all_calls_return_the_error_of_a_refused_read(io: Io, client: Client) -> None:
    into = bytearray(4)
    assert io.read(SIZE, into) == 0
    assert io.fence() == -errno.EINVAL
    assert io.read(0, into) == io.write(0, b"word") == io.fence() == -errno.EINVAL
    assert client.region_read(0, 0, 4) == bytes(4)


def test_a_refused_write_goes_unnoticed(io: Io) -> None:
    assert (io.write(SIZE, b"word"), io.fence()) == (0, 0)


@pytest.mark.parametrize("width", [0, 1, 2, 3, 16])
def test_an_unsupported_width_is_an_error(client: Client, width: int) -> None:
    raw = ffi.cast("struct io *", client.io(0))
    into = ffi.new("uint8_t[16]")
    assert raw.read(raw.cookie, 0, into, width, 1) == -errno.EINVAL


def test_the_ios_of_two_regions_have_separate_errors(
    make_device: Callable[[], Device],
) -> None:
    device = make_device()
    device.server.region(0, SIZE, device.access)
    device.server.region(2, SIZE, device.access)
    with device.serving(), Client(device.path) as client:
        one, other = Io(client.io(0)), Io(client.io(2))
        into = bytearray(4)
        one.read(SIZE, into)
        other.read(0, into)
        assert other.fence() == 0
        assert one.fence() == -errno.EINVAL


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 500), st.integers(1, 40), st.sampled_from([4, 8])),
        max_size=60,
    )
)
def test_accesses_in_any_order_behave_as_memory(
    device: Device, io: Io, steps: list[tuple[bool, int, int, int]]
) -> None:
    model = bytearray(SIZE)
    assert io.read(0, model) == io.fence() == 0
    reads: list[tuple[bytearray, bytes]] = []
    for number, (is_write, word, count, width) in enumerate(steps):
        span = slice(word * 8, word * 8 + count * width)
        if is_write:
            model[span] = bytes([number % 256]) * (count * width)
            assert io.write(span.start, bytes(model[span]), width) == 0
        else:
            reads.append((bytearray(count * width), bytes(model[span])))
            assert io.read(span.start, reads[-1][0], width) == 0
    assert io.fence() == 0
    assert all(into == expected for into, expected in reads)


# Servers that fail


def io_of(path: str, script: Callable[[Peer], object], text: bytes = b"") -> Iterator[Io]:
    def accepted(peer: Peer) -> None:
        peer.accept_version(text)
        script(peer)

    with scripted_server(path, accepted), Client(path, deadline=DEADLINE) as client:
        yield Io(client.io(0))


def test_a_dead_server_is_eio(path: str) -> None:
    for io in io_of(path, lambda peer: peer.receive() and None):
        into = bytearray(4)
        assert io.read(0, into) == 0
        assert io.fence() == -errno.EIO
        assert io.read(0, into) == io.write(0, b"word") == io.fence() == -errno.EIO


def test_a_silent_server_is_etimedout(path: str) -> None:
    for io in io_of(path, lambda peer: peer.is_cut_off() or None):
        io.read(0, bytearray(4))
        assert io.fence() == -errno.ETIMEDOUT
        assert io.fence() == -errno.ETIMEDOUT


def test_reads_answered_before_the_server_died_are_kept(path: str) -> None:
    def script(peer: Peer) -> None:
        for _ in range(10):
            asked = peer.receive()
            peer.answer(asked, asked.payload + b"good")

    for io in io_of(path, script):
        into = [bytearray(4) for _ in range(300)]
        results = {io.read(0, buffer) for buffer in into} | {io.fence()}
        assert results - {0} == {-errno.EIO}
        assert [bytes(buffer) for buffer in into[:10]] == [b"good"] * 10
        assert not any(any(buffer) for buffer in into[10:])


def test_a_server_that_breaks_the_protocol_is_eproto(path: str) -> None:
    def script(peer: Peer) -> None:
        asked = peer.receive()
        peer.send(message(READ, ACCESS.pack(99, 0, 4) + b"data", id=asked.id, flags=REPLY))
        peer.is_cut_off()

    for io in io_of(path, script):
        into = bytearray(4)
        io.read(0, into)
        assert io.fence() == -errno.EPROTO
        assert into == bytes(4)


# REGION_WRITE_MULTI


def writes_of(asked: Message) -> list[tuple[int, int, bytes]]:
    """Returns offset, region and data of each write in a REGION_WRITE_MULTI."""
    (count,) = struct.unpack_from("<Q", asked.payload)
    assert len(asked.payload) == 8 + 24 * count
    found = []
    for at in range(count):
        offset, region, length = ACCESS.unpack_from(asked.payload, 8 + 24 * at)
        data = asked.payload[8 + 24 * at + 16 :][:length]
        found.append((offset, region, data))
    return found


def received(path: str, expected: int, calls: Callable[[Io], object], text: bytes) -> list[Message]:
    got: list[Message] = []

    def script(peer: Peer) -> None:
        got.extend(peer.receive() for _ in range(expected))

    for io in io_of(path, script, text):
        calls(io)
        assert io.fence() == 0
    return got


MULTIPLE = b'{"capabilities":{"write_multiple":true}}\0'


def test_small_writes_share_a_message_if_the_server_supports_it(path: str) -> None:
    def calls(io: Io) -> None:
        io.write(0, b"four")
        io.write(8, b"eightbyt", 8)

    (asked,) = received(path, 1, calls, MULTIPLE)
    assert (asked.command, asked.flags) == (WRITE_MULTI, NO_REPLY)
    assert writes_of(asked) == [(0, 0, b"four"), (8, 0, b"eightbyt")]


def test_small_writes_are_separate_messages_otherwise(path: str) -> None:
    got = received(path, 2, lambda io: [io.write(at, b"four") for at in (0, 4)] and None, b"")
    assert [asked.command for asked in got] == [WRITE, WRITE]


def test_a_shared_message_holds_at_most_200_writes(path: str) -> None:
    def calls(io: Io) -> None:
        for at in range(450):
            io.write(4 * at, b"four")

    got = received(path, 3, calls, MULTIPLE)
    assert [len(writes_of(asked)) for asked in got] == [200, 200, 50]
    assert [one[0] for asked in got for one in writes_of(asked)] == list(range(0, 1800, 4))


def test_the_order_of_small_and_large_writes_is_kept(path: str) -> None:
    def calls(io: Io) -> None:
        io.write(0, b"four")
        io.write(4, b"twelve bytes")
        io.write(16, b"four")

    got = received(path, 3, calls, MULTIPLE)
    assert [asked.command for asked in got] == [WRITE_MULTI, WRITE, WRITE_MULTI]
