"""A served device, command by command, with its refusals."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import struct
import threading
from collections.abc import Callable, Iterator

import pytest
from pyvfio_user.protocol import IrqSet
from vfio_device import SIZE, Device
from vfio_peers import (
    ACCESS,
    DIRTY_PAGES,
    ERROR,
    GET_INFO,
    GET_IRQ_INFO,
    GET_REGION_INFO,
    GET_REGION_IO_FDS,
    READ,
    REPLY,
    RESET,
    SET_IRQS,
    VERSION,
    WRITE,
    WRITE_MULTI,
    Peer,
    message,
    raw_client,
)

from pyvfio_user import (
    Area,
    Client,
    DmaFlag,
    DmaRegion,
    IrqIndex,
    NativeAccess,
    Refused,
    RegionAccess,
    RegionFlag,
    ResetReason,
    Server,
    library_version,
    pci,
)

DMA_REGIONS = 512  # README


@contextlib.contextmanager
def refused(number: int) -> Iterator[None]:
    with pytest.raises(Refused) as caught:
        yield
    assert caught.value.errno == number


@contextlib.contextmanager
def memory_file(size: int) -> Iterator[int]:
    fd = os.memfd_create("test")
    try:
        os.ftruncate(fd, size)
        yield fd
    finally:
        os.close(fd)


@pytest.fixture
def peer(device: Device) -> Iterator[Peer]:
    """A raw client whose version was accepted."""
    with raw_client(device.path) as peer:
        assert peer.negotiate().flags == REPLY
        yield peer


def test_the_library_has_a_version_and_an_origin() -> None:
    assert library_version()


# VERSION


def test_the_reply_to_a_version_has_the_servers_limits(client: Client) -> None:
    assert client.capabilities.max_transfer == 1 << 20
    assert client.capabilities.max_dma_maps == DMA_REGIONS
    assert (client.capabilities.major, client.capabilities.minor) == (0, 1)


@pytest.mark.parametrize(
    "payload",
    [struct.pack("<HH", 1, 0), struct.pack("<HH", 0, 1) + b"{", b"\0\0", b"x" * 100],
)
def test_a_malformed_version_is_refused(device: Device, payload: bytes) -> None:
    with raw_client(device.path) as peer:
        assert peer.ask(VERSION, payload).flags & ERROR
        assert peer.is_cut_off()


def test_a_command_before_the_version_is_refused(device: Device) -> None:
    with raw_client(device.path) as peer:
        assert peer.ask(GET_INFO, struct.pack("<IIII", 16, 0, 0, 0)).flags & ERROR
        assert peer.is_cut_off()


# DEVICE_GET_INFO, DEVICE_GET_REGION_INFO, DEVICE_GET_IRQ_INFO, DEVICE_GET_REGION_IO_FDS


def test_device_info_counts_regions_and_interrupt_indexes(client: Client) -> None:
    assert client.device_info.irqs == 5
    assert client.device_info.regions >= 9


def test_a_short_request_for_device_info_is_refused(peer: Peer) -> None:
    reply = peer.ask(GET_INFO, struct.pack("<I", 16))
    assert (reply.flags, reply.error) == (REPLY | ERROR, errno.EINVAL)


def test_region_info_has_size_and_rights(client: Client) -> None:
    region = client.regions[0]
    assert (region.size, region.areas) == (SIZE, ())
    assert region.flags == RegionFlag.READ | RegionFlag.WRITE
    assert client.regions[7].size == 4096
    assert client.regions[1].size == 0


def test_info_of_a_missing_region_is_refused(peer: Peer) -> None:
    reply = peer.ask(GET_REGION_INFO, struct.pack("<IIIIQQ", 32, 0, 99, 0, 0, 0))
    assert reply.error == errno.EINVAL


def test_irq_info_counts_the_vectors(client: Client) -> None:
    assert [irq.count for irq in client.irqs] == [0, 0, 8, 1, 1]


def test_info_of_a_missing_interrupt_index_is_refused(peer: Peer) -> None:
    reply = peer.ask(GET_IRQ_INFO, struct.pack("<IIII", 16, 0, 9, 0))
    assert reply.error == errno.EINVAL


def test_a_region_has_no_io_fds(peer: Peer) -> None:
    reply = peer.ask(GET_REGION_IO_FDS, struct.pack("<IIII", 4096, 0, 0, 0))
    assert struct.unpack("<IIII", reply.payload)[3] == 0


# REGION_READ, REGION_WRITE


@pytest.mark.parametrize("length", [1, 2, 4, 8, 3, 100, SIZE])
def test_a_region_reads_back_what_was_written(client: Client, length: int) -> None:
    data = bytes(at % 251 for at in range(length))
    client.region_write(0, 0, data)
    assert client.region_read(0, 0, length) == data


def test_a_posted_write_takes_effect_before_the_next_read(client: Client) -> None:
    client.region_write(0, 16, b"posted", posted=True)
    assert client.region_read(0, 16, 6) == b"posted"


def test_accesses_in_flight_together_are_made_in_order_and_each_has_its_answer(
    client: Client,
) -> None:
    before = client.counters.round_trips
    made = [
        RegionAccess(0, 8, data=b"abcd"),
        RegionAccess(0, 8, 4),
        RegionAccess(40, 0, 4),
        RegionAccess(0, 8, data=b"efgh"),
        RegionAccess(0, 8, 4),
    ]
    wrote, read, refusal, _, again = client.access_all(made)
    assert (wrote, read, again) == (b"", b"abcd", b"efgh")
    assert isinstance(refusal, Refused)
    assert client.counters.round_trips == before + 1
    assert client.access_all([]) == []


@pytest.mark.parametrize(
    ("offset", "length"), [(SIZE, 1), (SIZE - 3, 4), ((1 << 64) - 4, 8), (1 << 63, 4)]
)
def test_a_read_past_the_end_of_the_region_is_refused(
    client: Client, offset: int, length: int
) -> None:
    with refused(errno.EINVAL):
        client.region_read(0, offset, length)
    assert client.region_read(0, 0, 1) == b"\0"


def test_a_write_past_the_end_of_the_region_is_refused(client: Client) -> None:
    with refused(errno.EINVAL):
        client.region_write(0, SIZE - 1, b"ab")


def test_an_access_to_a_missing_region_is_refused(client: Client) -> None:
    with refused(errno.EINVAL):
        client.region_read(99, 0, 4)
    with refused(errno.EINVAL):
        client.region_read(1, 0, 4)


def test_a_write_whose_count_differs_from_its_data_is_refused(peer: Peer) -> None:
    assert peer.ask(WRITE, ACCESS.pack(0, 0, 8) + b"four").error == errno.EINVAL


def test_a_read_beyond_the_servers_limit_is_refused(peer: Peer) -> None:
    assert peer.ask(READ, ACCESS.pack(0, 0, (1 << 20) + 1)).error == errno.EINVAL


@pytest.mark.parametrize("command", [READ, WRITE])
def test_the_reply_to_an_access_to_nothing_repeats_the_request(peer: Peer, command: int) -> None:
    reply = peer.ask(command, ACCESS.pack(8, 0, 0))
    assert (reply.flags, reply.payload) == (REPLY, ACCESS.pack(8, 0, 0))


def test_pipelined_requests_are_answered_in_order(peer: Peer, device: Device) -> None:
    device.memory[:256] = bytes(range(256))
    requests = [
        struct.pack("<HHIII", at, READ, 32, 0, 0) + ACCESS.pack(at, 0, 1) for at in range(200)
    ]
    peer.send(b"".join(requests))
    replies = [peer.receive() for _ in requests]
    assert [reply.id for reply in replies] == list(range(200))
    assert b"".join(reply.payload[16:] for reply in replies) == bytes(range(200))


def test_requests_and_posted_writes_may_share_a_send(peer: Peer, device: Device) -> None:
    write = struct.pack("<HHIII", 0, WRITE, 33, 0x10, 0) + ACCESS.pack(5, 0, 1) + b"x"
    read = struct.pack("<HHIII", 7, READ, 32, 0, 0) + ACCESS.pack(5, 0, 1)
    peer.send(read + write + read + write)
    assert [peer.receive().payload[16:] for _ in range(2)] == [b"\0", b"x"]


ACCESSES = (
    (READ, ACCESS.pack(0, 0, 4)),
    (WRITE, ACCESS.pack(8, 0, 8) + b"together"),
    (READ, ACCESS.pack(8, 0, 8)),
    (READ, ACCESS.pack(SIZE, 0, 4)),  # past the end
    (READ, ACCESS.pack((1 << 64) - 4, 0, 8)),
    (WRITE, ACCESS.pack(SIZE - 1, 0, 2) + b"xx"),
    (WRITE, ACCESS.pack(0, 0, 4) + b"shorter"),
    (READ, ACCESS.pack(0, 0, 0)),
    (READ, ACCESS.pack(0, 0, 4) + b"more"),
    (READ, ACCESS.pack(4096, 0, 4)),  # refused by the device
    (WRITE, ACCESS.pack(4096, 0, 4) + b"okay"),
    (READ, ACCESS.pack(0, 1, 4)),  # no such region
    (READ, ACCESS.pack(0, 99, 4)),
    (READ, ACCESS.pack(0, 7, 4)),  # config space
    (WRITE, ACCESS.pack(4, 7, 2) + b"\2\0"),
    (READ, ACCESS.pack(0, 0, 4)[:9]),
    (GET_INFO, struct.pack("<IIII", 16, 0, 0, 0)),
    (READ, ACCESS.pack(100, 0, 20000)),
    (99, b"????"),
)


@pytest.mark.parametrize("level", [logging.INFO, logging.DEBUG])
def test_accesses_that_arrive_together_are_answered_as_those_that_come_alone(
    make_device: Callable[[], Device], caplog: pytest.LogCaptureFixture, level: int
) -> None:
    """If it logs at the level DEBUG, the server leaves all messages to libvfio-user."""
    caplog.set_level(level, "pyvfio_user")
    device = make_device()

    def access(offset: int, data: memoryview, is_write: bool) -> None:
        if offset == 4096:
            raise PermissionError(errno.EACCES, "not this one")
        device.access(offset, data, is_write)

    device.server.region(0, SIZE, access)
    messages = [
        message(command, payload, id=number * 100 + one, flags=flags)
        for number in range(8)
        for flags in (0, 0x10)  # no reply, which says nothing of what comes with it
        for one, (command, payload) in enumerate(ACCESSES)
        if command != READ or not flags
    ]
    with device.serving(), raw_client(device.path) as peer:
        assert peer.negotiate().flags == REPLY
        alone = []
        for one in messages:
            peer.send(one)
            if not one[8]:
                alone.append(peer.receive())
        device.memory[:] = bytes(SIZE)
        peer.send(b"".join(messages))
        together = [peer.receive() for _ in alone]
    assert together == alone
    assert {reply.error for reply in alone} == {0, errno.EINVAL, errno.EACCES}


def test_a_message_in_pieces_is_assembled(peer: Peer, device: Device) -> None:
    device.memory[0:4] = b"abcd"
    whole = struct.pack("<HHIII", 3, READ, 32, 0, 0) + ACCESS.pack(0, 0, 4)
    for at in range(len(whole)):
        peer.send(whole[at : at + 1])
    assert peer.receive().payload[16:] == b"abcd"


def test_a_write_larger_than_the_servers_buffer_arrives_whole(peer: Peer, device: Device) -> None:
    data = bytes(at % 253 for at in range(SIZE))
    peer.send(struct.pack("<HHIII", 3, WRITE, 32 + SIZE, 0, 0) + ACCESS.pack(0, 0, SIZE) + data)
    assert peer.receive().error == 0
    assert device.memory == data


def test_an_oserror_in_a_callback_refuses_the_request_with_its_errno(
    make_device: Callable[[], Device],
) -> None:
    def access(offset: int, data: memoryview, is_write: bool) -> None:
        raise PermissionError(errno.EACCES, "not this one")

    device = make_device()
    device.server.region(0, SIZE, access)
    with device.serving(), Client(device.path) as client, refused(errno.EACCES):
        client.region_read(0, 0, 4)


@pytest.mark.parametrize("command", [READ, WRITE])
def test_an_error_has_no_payload(make_device: Callable[[], Device], command: int) -> None:
    def access(offset: int, data: memoryview, is_write: bool) -> None:
        raise PermissionError(errno.EACCES, "not this one")

    device = make_device()
    device.server.region(0, SIZE, access)
    with device.serving(), raw_client(device.path) as peer:
        peer.negotiate()
        payload = ACCESS.pack(0, 0, 4) + (b"four" if command == WRITE else b"")
        reply = peer.ask(command, payload)
    assert (reply.error, reply.payload) == (errno.EACCES, b"")


def test_a_bug_in_a_callback_is_an_error_and_never_a_zero(
    make_device: Callable[[], Device], caplog: pytest.LogCaptureFixture
) -> None:
    def access(offset: int, data: memoryview, is_write: bool) -> None:
        raise ZeroDivisionError

    device = make_device()
    device.server.region(0, SIZE, access)
    with device.serving(), Client(device.path) as client:
        with refused(errno.EIO):
            client.region_read(0, 0, 4)
        with refused(errno.EIO):
            client.region_write(0, 0, b"four")
    assert "a callback failed" in caplog.text


def test_the_data_of_an_access_is_valid_only_during_the_call(
    make_device: Callable[[], Device],
) -> None:
    kept = []
    device = make_device()
    device.server.region(0, SIZE, lambda offset, data, is_write: kept.append(data))
    with device.serving(), Client(device.path) as client:
        client.region_read(0, 0, 4)
    with pytest.raises(ValueError, match=r"released"):
        bytes(kept[0])


def test_a_native_function_serves_a_region(make_device: Callable[[], Device]) -> None:
    ctypes = pytest.importorskip("ctypes")
    signature = ctypes.CFUNCTYPE(
        ctypes.c_int,
        ctypes.c_void_p,
        ctypes.c_uint64,
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
    )

    def access(cookie: int, offset: int, data: int, length: int, is_write: int) -> int:
        if is_write:
            return -errno.EROFS
        ctypes.memset(data, cookie, length)
        return 0

    function = signature(access)
    native = NativeAccess(ctypes.cast(function, ctypes.c_void_p).value, 0x5A)
    device = make_device()
    device.server.region(2, 4096, native)
    with device.serving(), Client(device.path) as client:
        assert client.regions[2].size == 4096
        assert client.region_read(2, 0, 4) == b"ZZZZ"
        with refused(errno.EROFS):
            client.region_write(2, 0, b"four")


def test_a_region_of_four_gib_is_refused(path: str) -> None:
    with Server(path) as server, refused(errno.EINVAL):
        server.region(0, 1 << 32, lambda offset, data, is_write: None)


# Mapped areas


def test_a_mapped_area_is_shared_memory(make_device: Callable[[], Device]) -> None:
    device = make_device()
    with memory_file(SIZE) as fd:
        area = Area(fd, 0x3000, 0x3000, 0x1000)
        device.server.region(0, SIZE, device.access, bits64=True, mmap=area)
        with device.serving(), Client(device.path) as client:
            (area,) = client.regions[0].areas
            assert (area.fd_offset, area.offset, area.length) == (0x3000, 0x3000, 0x1000)
            with client.mmap(0) as mapped:
                mapped[0:5] = b"hello"
            assert os.pread(fd, 5, 0x3000) == b"hello"
            with pytest.raises(IndexError):
                client.mmap(0, 1)


@pytest.mark.parametrize(
    "area",
    [
        Area(0, 0x3000, 0x3001, 0x1000),
        Area(0, 0x1000, 0x3000, 0x1000),
        Area(0, 0x3000, 0x3000, 0),
        Area(0, SIZE, SIZE, 0x1000),
    ],
)
def test_an_area_that_no_client_could_map_is_refused(path: str, area: Area) -> None:
    with Server(path) as server, pytest.raises(ValueError, match=r"area"):
        server.region(0, SIZE, lambda offset, data, is_write: None, mmap=area)


# Config space


def test_config_space_shows_identity_bars_and_capabilities(
    make_device: Callable[[], Device],
) -> None:
    device = make_device()
    device.server.region(0, SIZE, device.access, bits64=True, prefetch=True)
    device.server.region(4, 0x2000, device.access)
    device.server.capability(0x40, pci.power_management())
    device.server.capability(0x50, pci.express())
    device.server.capability(0x90, pci.msix(8, (4, 0), (4, 0x1000)))
    device.server.capability(0xA0, pci.vital_product_data())
    with device.serving(), Client(device.path) as client:
        config = client.region_read(7, 0, 256)
    assert config[:4] == b"\x25\x14\x07\x64"
    assert struct.unpack_from("<6I", config, 0x10) == (0xC, 0, 0, 0, 0, 0)
    at, found = config[0x34], []
    while at:
        found.append((at, config[at]))
        at = config[at + 1]
    assert found == [(0x40, 0x01), (0x50, 0x10), (0x90, 0x11), (0xA0, 0x03)]
    assert config[6] & 0x10


def test_a_capability_over_another_is_refused(path: str) -> None:
    with Server(path) as server:
        server.config_space(b"")
        server.capability(0x40, pci.power_management())
        with refused(errno.EINVAL):
            server.capability(0x44, pci.power_management())


def test_the_command_register_can_be_written(client: Client) -> None:
    client.region_write(7, 4, b"\x06\x00")
    assert client.region_read(7, 4, 2) == b"\x06\x00"


@pytest.mark.parametrize(
    ("offset", "data"),
    [(4, b"\x06"), (5, b"\0\0"), (0x10, b"\xff"), (0x40, bytes(64)), (0x90, b"abc")],
)
def test_a_config_write_that_pci_does_not_allow_is_refused(
    client: Client, offset: int, data: bytes
) -> None:
    with refused(errno.EINVAL):
        client.region_write(7, offset, data)


def test_a_device_may_serve_the_whole_config_space(make_device: Callable[[], Device]) -> None:
    device = make_device()
    device.server.config_space(b"", device.access)
    with device.serving(), Client(device.path) as client:
        client.region_write(7, 0, b"all of it")
        assert client.region_read(7, 0, 9) == b"all of it"
    assert device.memory.startswith(b"all of it")


# DEVICE_SET_IRQS


def test_an_interrupt_reaches_the_clients_eventfd(device: Device, client: Client) -> None:
    fd = client.irq_eventfd(3)
    try:
        assert device.server.irq(3)
        assert os.eventfd_read(fd) == 1
    finally:
        os.close(fd)


def test_an_interrupt_without_a_listener_returns_false(device: Device, client: Client) -> None:
    assert client.irqs
    assert not device.server.irq(2)


def test_a_missing_vector_is_refused(device: Device, client: Client) -> None:
    with refused(errno.EINVAL):
        client.irq_eventfd(8)
    with refused(errno.EINVAL):
        device.server.irq(8)


def test_disabled_interrupts_have_no_listener(device: Device, client: Client) -> None:
    os.close(client.irq_eventfd(0))
    client.irq_disable(IrqIndex.MSIX)
    assert not device.server.irq(0)


def test_an_interrupt_may_be_raised_in_a_callback(make_device: Callable[[], Device]) -> None:
    device = make_device()
    raised = []
    device.server.irqs(msix=1)
    device.server.region(
        0, SIZE, lambda offset, data, is_write: raised.append(device.server.irq(0))
    )
    with device.serving(), Client(device.path) as client:
        fd = client.irq_eventfd(0)
        client.region_read(0, 0, 4)
        assert os.eventfd_read(fd) == 1
        os.close(fd)
    assert raised == [True]


@pytest.mark.parametrize("own_config", [True, False], ids=["own config space", "the library's"])
def test_an_intx_that_is_still_asserted_is_told_again_when_the_client_unmasks_it(
    make_device: Callable[[], Device], own_config: bool
) -> None:
    device = make_device()
    device.server.irqs(intx=1)
    device.server.config_space(b"", device.access if own_config else None)

    def told() -> int:
        with contextlib.suppress(BlockingIOError):
            return os.eventfd_read(heard)
        return 0

    def told_after(action: IrqSet, peer: Peer) -> int:
        flags = action | IrqSet.DATA_NONE
        reply = peer.ask(SET_IRQS, struct.pack("<IIIII", 20, flags, IrqIndex.INTX, 0, 1))
        assert not reply.error
        return told()

    with device.serving(), raw_client(device.path) as peer:
        peer.negotiate()
        heard = os.eventfd(0, os.EFD_NONBLOCK)
        flags = IrqSet.ACTION_TRIGGER | IrqSet.DATA_EVENTFD
        listen = struct.pack("<IIIII", 20, flags, IrqIndex.INTX, 0, 1)
        peer.send(message(SET_IRQS, listen), [heard])
        assert not peer.receive().error
        seen = []
        for status in (0, 8, 8, 0):
            if own_config:
                device.memory[6] = status
            else:
                device.server.intx(status != 0)
                told()
            seen.append(told_after(IrqSet.ACTION_MASK, peer))
            seen.append(told_after(IrqSet.ACTION_UNMASK, peer))
        os.close(heard)
    assert seen == [0, 0, 0, 1, 0, 1, 0, 0]


def test_intx_is_a_level_that_the_status_shows_and_is_told_when_it_rises(
    make_device: Callable[[], Device],
) -> None:
    device = make_device()
    device.server.irqs(intx=1)
    device.server.config_space(pci.header(0x1234, 0x5678, interrupt_pin=1))
    seen = []
    with device.serving(), Client(device.path) as client:
        assert not device.server.intx(True)  # nobody listens
        assert device.server.intx(False)
        heard = client.irq_eventfd(0, IrqIndex.INTX)
        for level in (True, True, False, False, True):
            os.eventfd_write(heard, 1)  # a read of 0 would wait
            assert device.server.intx(level)
            status = client.region_read(7, 6, 1)[0]
            seen.append((os.eventfd_read(heard) - 1, status >> 3 & 1))
        os.close(heard)
    assert seen == [(1, 1), (0, 1), (0, 0), (0, 0), (1, 1)]


def test_input_is_passed_on_by_the_servers_thread_until_it_ends(
    make_device: Callable[[], Device],
) -> None:
    device, (source, sink) = make_device(), os.pipe()
    passed: list[tuple[bytes, str]] = []
    arrived = threading.Semaphore(0)

    def receive(data: bytes) -> None:
        passed.append((data, threading.current_thread().name))
        arrived.release()

    device.server.irqs(intx=1)
    device.server.on_input(source, receive)
    with device.serving(), Client(device.path) as client:
        os.close(client.irq_eventfd(0, IrqIndex.INTX))  # which makes the server look for work
        for data in (b"one", b"two"):
            os.write(sink, data)
            assert arrived.acquire(timeout=10)
        os.close(sink)
        client.region_read(7, 0, 4)
    os.close(source)
    assert [data for data, _ in passed] == [b"one", b"two"]
    assert {name for _, name in passed} != {threading.current_thread().name}


def test_input_whose_function_fails_is_logged_and_read_no_more(
    make_device: Callable[[], Device], caplog: pytest.LogCaptureFixture
) -> None:
    device, (source, sink) = make_device(), os.pipe()
    calls = []

    def receive(data: bytes) -> None:
        calls.append(data)
        raise ZeroDivisionError

    device.server.on_input(source, receive)
    os.write(sink, b"x")
    with device.serving(), Client(device.path) as client:
        client.region_read(7, 0, 4)
        os.write(sink, b"y")
        for _ in range(10):
            client.region_read(7, 0, 4)
    for fd in (source, sink):
        os.close(fd)
    assert calls == [b"x"]
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    ("start", "count"), [(0, 9), (9, 1), (1, 0xFFFFFFFF), (1, 0), (7, 0xFFFFFFFA)]
)
def test_interrupts_out_of_range_are_refused(peer: Peer, start: int, count: int) -> None:
    for flags in (0x21, 0x24, 0x22):
        reply = peer.ask(SET_IRQS, struct.pack("<IIIII", 20, flags, 2, start, count))
        assert reply.error == errno.EINVAL


# DMA_MAP, DMA_UNMAP


def test_shared_memory_is_mapped_read_written_and_unmapped(device: Device, client: Client) -> None:
    with memory_file(0x2000) as fd:
        os.pwrite(fd, b"from the client", 0x1010)
        client.dma_map(fd, 0x100000, 0x1000, offset=0x1000)
        assert device.server.dma_read(0x100010, 15) == b"from the client"
        device.server.dma_write(0x100020, b"from the device")
        assert os.pread(fd, 15, 0x1020) == b"from the device"
        client.dma_unmap(0x100000, 0x1000)
    region = DmaRegion(0x100000, 0x1000, True, True)
    assert device.events == [region, region]


def test_dma_crosses_from_one_region_of_memory_to_the_next(device: Device, client: Client) -> None:
    with memory_file(0x1000) as one, memory_file(0x1000) as other:
        client.dma_map(one, 0x1000, 0x1000)
        client.dma_map(other, 0x2000, 0x1000)
        device.server.dma_write(0x1FFC, b"12345678")
        assert (os.pread(one, 4, 0xFFC), os.pread(other, 4, 0)) == (b"1234", b"5678")


def test_dma_outside_shared_memory_is_refused(device: Device, client: Client) -> None:
    with memory_file(0x1000) as fd:
        client.dma_map(fd, 0x1000, 0x1000)
    with refused(errno.ENOENT):
        device.server.dma_read(0x0, 4)
    with refused(errno.ENOENT):
        device.server.dma_read(0x1FFC, 8)


def test_a_dma_write_to_read_only_memory_is_refused(device: Device, client: Client) -> None:
    with memory_file(0x1000) as fd:
        client.dma_map(fd, 0x1000, 0x1000, flags=DmaFlag.READ)
    with refused(errno.EACCES):
        device.server.dma_write(0x1000, b"four")
    assert device.server.dma_read(0x1000, 4) == bytes(4)


def test_a_client_that_truncates_its_memory_does_not_kill_the_server(
    device: Device, client: Client
) -> None:
    with memory_file(0x1000) as fd:
        client.dma_map(fd, 0x1000, 0x1000)
        os.ftruncate(fd, 0)
    with refused(errno.EFAULT):
        device.server.dma_read(0x1000, 4)
    with refused(errno.EFAULT):
        device.server.dma_write(0x1000, b"four")


def test_mapping_memory_twice_is_refused(device: Device, client: Client) -> None:
    with memory_file(0x1000) as fd:
        client.dma_map(fd, 0x1000, 0x1000)
        with refused(errno.EEXIST):
            client.dma_map(fd, 0x1000, 0x1000)


def test_mapping_no_memory_is_refused(client: Client) -> None:
    with memory_file(0x1000) as fd, refused(errno.EINVAL):
        client.dma_map(fd, 0x1000, 0)


def test_all_the_memory_that_is_announced_can_be_mapped_and_no_more(
    device: Device, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with memory_file(0x1000) as fd:
        for number in range(DMA_REGIONS):
            client.dma_map(fd, number << 12, 0x1000)
        os.pwrite(fd, b"last", 0)
        assert device.server.dma_read(DMA_REGIONS - 1 << 12, 4) == b"last"
        for number in range(3):
            with refused(errno.ENOSPC):
                client.dma_map(fd, DMA_REGIONS + number << 12, 0x1000)
        assert caplog.text.count("more DMA regions than this server takes") == 1
        client.dma_unmap(0, 0x1000)
        client.dma_map(fd, DMA_REGIONS << 12, 0x1000)


def test_the_next_client_can_map_as_much_memory(device: Device) -> None:
    for _ in range(2):
        with memory_file(0x1000) as fd, Client(device.path, deadline=10) as client:
            for number in range(DMA_REGIONS):
                client.dma_map(fd, number << 12, 0x1000)


def test_unmapping_what_is_not_mapped_is_refused(client: Client) -> None:
    with refused(errno.ENOENT):
        client.dma_unmap(0x1000, 0x1000)


def test_the_memory_of_a_client_that_leaves_is_unmapped(device: Device) -> None:
    with Client(device.path) as client, memory_file(0x1000) as fd:
        client.dma_map(fd, 0x1000, 0x1000)
    assert device.clients_gone.acquire(timeout=10)
    with refused(errno.ENOENT):
        device.server.dma_read(0x1000, 4)


# DEVICE_RESET, DIRTY_PAGES, REGION_WRITE_MULTI and others


def test_a_reset_reaches_the_device(device: Device, client: Client) -> None:
    client.reset()
    assert device.events == [ResetReason.DEVICE]


def test_a_device_may_refuse_a_reset(make_device: Callable[[], Device]) -> None:
    def refuse(reason: ResetReason) -> None:
        raise OSError(errno.EBUSY, "not now")

    device = make_device()
    device.server.on_reset = refuse
    with device.serving(), Client(device.path) as client, refused(errno.EBUSY):
        client.reset()


def test_a_client_that_leaves_resets_the_device(device: Device) -> None:
    Client(device.path).close()
    assert device.clients_gone.acquire(timeout=10)
    assert device.events == [ResetReason.LOST_CONNECTION]


def test_dirty_pages_are_not_tracked(peer: Peer) -> None:
    assert peer.ask(DIRTY_PAGES, struct.pack("<II", 8, 1)).error == errno.ENOTSUP


@pytest.mark.parametrize("command", [0, WRITE_MULTI, 99, 0xFFFF])
def test_an_unknown_command_is_refused(peer: Peer, command: int) -> None:
    assert peer.ask(command, bytes(16)).error == errno.EINVAL
    assert peer.ask(RESET).error == 0


# One client after another


def test_clients_are_served_one_after_another(device: Device) -> None:
    for count in range(3):
        with Client(device.path) as client:
            client.region_write(0, 0, bytes([count]))
            assert client.region_read(0, 0, 1) == bytes([count])
    assert device.memory[0] == 2


def test_stop_ends_the_connection_of_an_idle_client(device: Device) -> None:
    with raw_client(device.path) as peer:
        peer.negotiate()
        device.server.stop()
        assert peer.is_cut_off()


def test_another_thread_may_raise_interrupts_while_a_client_is_busy(
    device: Device, client: Client
) -> None:
    fd = client.irq_eventfd(0)
    thread = threading.Thread(target=lambda: [device.server.irq(0) for _ in range(200)])
    thread.start()
    for at in range(200):
        client.region_write(0, at, b"x")
    thread.join()
    assert os.eventfd_read(fd) == 200
    os.close(fd)
