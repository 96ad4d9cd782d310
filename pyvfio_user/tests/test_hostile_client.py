"""Clients that break the protocol: the server refuses or cuts them off and serves the next."""

from __future__ import annotations

import logging
import os
import random
import socket
import struct
from collections.abc import Iterator

import pytest
from vfio_device import DEADLINE, Device
from vfio_peers import (
    ACCESS,
    DMA_MAP,
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

from pyvfio_user import Client

READ_FOUR = ACCESS.pack(0, 0, 4)


def descriptors(peer: Peer) -> int:
    """Returns how many this process has open once the server has handled all requests of `peer`."""
    assert peer.ask(READ, READ_FOUR).error == 0
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture(autouse=True)
def the_next_client_is_served(device: Device) -> Iterator[None]:
    yield
    with Client(device.path, deadline=10) as client:
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
