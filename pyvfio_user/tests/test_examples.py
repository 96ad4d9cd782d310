"""The tutorial's devices, driven by the client as their drivers would."""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from readable import readable
from tutorial import EXAMPLES, example

from pyvfio_user import Client, IrqIndex, Refused, Server, config, conformance, memory_file

TUTORIAL = EXAMPLES.with_name("docs") / "tutorial.md"
PATIENCE = 30.0
DATA, IER, IIR, LCR, MCR, LSR, MSR, SCRATCH = range(8)


class Serial:
    """A serial card that is served, and the far end of its line."""

    def __init__(self, client: Client, receive: Callable[[bytes], object], sent: int) -> None:
        self.client, self.receive, self._sent = client, receive, sent

    def read(self, register: int) -> int:
        return self.client.region_read(0, register, 1)[0]

    def write(self, register: int, value: int) -> None:
        self.client.region_write(0, register, bytes([value]))

    def sent(self) -> bytes:
        assert readable([self._sent], PATIENCE)
        return os.read(self._sent, 100)

    def wait(self, ready: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not ready():
            assert time.monotonic() < end
            os.sched_yield()


@contextlib.contextmanager
def running(server: Server) -> Iterator[None]:
    thread = threading.Thread(target=server.run)
    with server:
        thread.start()
        try:
            yield
        finally:
            server.stop()
            thread.join()


@pytest.fixture(scope="module")
def uart(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return example("native_serial_card").compiled(str(tmp_path_factory.mktemp("uart")))


@pytest.fixture(params=["serial_card", "native_serial_card"])
def serial(path: str, request: pytest.FixtureRequest) -> Iterator[Serial]:
    sent, sink = os.pipe()
    source, typed = os.pipe()
    module = example(request.param)
    if request.param == "serial_card":
        card = module.SerialCard(path, source, sink)
    else:
        uart = request.getfixturevalue("uart")
        card = module.NativeSerialCard(path, source, sink, uart)
    with running(card.server), Client(path, deadline=PATIENCE) as client:
        yield Serial(client, lambda data: os.write(typed, data), sent)
    for fd in (sent, sink, source, typed):
        os.close(fd)


def test_a_serial_card_is_one_to_a_kernel(serial: Serial) -> None:
    """8250_pci takes any with this class and one I/O BAR of 8 bytes."""
    header = config.parse(serial.client.region_read(7, 0, 256))
    assert (header.device_class, header.interrupt_pin) == (0x070002, 1)
    assert [bar.kind for bar in header.bars][:1] == ["I/O"]
    assert serial.client.regions[0].size == 8


def test_a_serial_card_passes_the_drivers_examination(serial: Serial) -> None:
    """In the order of the kernel's autoconfig(), 8250_port.c."""
    for value in (0, 0x0F):
        serial.write(IER, value)
        assert serial.read(IER) == value
    serial.write(IER, 0)
    serial.write(MCR, 0x1A)
    assert serial.read(MSR) & 0xF0 == 0x90
    serial.write(MCR, 0)
    serial.write(IIR, 1)
    assert serial.read(IIR) >> 6 == 3
    serial.write(IER, 0x40)
    assert serial.read(IER) == 0
    serial.write(LCR, 0x80)
    serial.write(0, 0x34)
    serial.write(1, 0x12)
    assert (serial.read(0), serial.read(1)) == (0x34, 0x12)
    serial.write(LCR, 0x03)
    serial.write(SCRATCH, 0xA5)
    assert serial.read(SCRATCH) == 0xA5
    assert serial.read(LSR) == 0x60


def test_what_a_guest_sends_arrives(serial: Serial) -> None:
    for byte in b"hello":
        serial.write(DATA, byte)
    sent = b""
    while len(sent) < 5:
        sent += serial.sent()
    assert sent == b"hello"


def test_what_is_typed_interrupts_the_guest_and_is_read(serial: Serial) -> None:
    fd = serial.client.irq_eventfd(0, IrqIndex.INTX)
    serial.write(IER, 1)
    assert serial.read(IIR) == 0xC1
    serial.receive(b"ok")
    assert readable([fd], PATIENCE)
    assert serial.read(IIR) == 0xC4
    got = b""
    while serial.read(LSR) & 1:
        got += bytes([serial.read(DATA)])
    assert got == b"ok"
    assert serial.read(IIR) == 0xC1
    os.close(fd)


def test_room_to_send_is_an_interrupt(serial: Serial) -> None:
    fd = serial.client.irq_eventfd(0, IrqIndex.INTX)
    serial.write(IER, 2)
    assert readable([fd], PATIENCE)
    assert serial.read(IIR) == 0xC2
    os.close(fd)


def test_a_native_uart_refuses_what_is_no_byte(path: str, uart: Any) -> None:
    card = example("native_serial_card").NativeSerialCard(path, 0, 1, uart)
    with (
        running(card.server),
        Client(path, deadline=PATIENCE) as client,
        pytest.raises(Refused, match="EINVAL"),
    ):
        client.region_read(0, 0, 2)


# The entropy device, with a driver for its queue

BASE = 0x100000
DESCRIPTORS, AVAILABLE, USED, BUFFERS = 0, 0x1000, 0x2000, 0x3000
VRING_AVAIL, VRING_USED = AVAILABLE + 4, USED + 4


class Driver:
    """A driver of one virtio queue of 4 descriptors; its memory begins at BASE."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.fd = memory_file("guest", 0x10000)
        self.memory = mmap.mmap(self.fd, 0x10000)
        client.dma_map(self.fd, BASE, 0x10000)
        self.interrupt = client.irq_eventfd(1, IrqIndex.MSIX)
        self.index = 0

    def close(self) -> None:
        self.memory.close()
        os.close(self.interrupt)
        os.close(self.fd)

    def write(self, offset: int, layout: str, value: int) -> None:
        self.client.region_write(0, offset, struct.pack(layout, value))

    def read(self, offset: int, layout: str) -> int:
        size = struct.calcsize(layout)
        return int(struct.unpack(layout, self.client.region_read(0, offset, size))[0])

    def set_up(self) -> None:
        self.write(0, "<I", 1)
        assert self.read(4, "<I") == 1
        self.write(22, "<H", 0)
        assert self.read(24, "<H") == 64
        self.write(24, "<H", 4)
        self.write(26, "<H", 1)
        assert self.read(26, "<H") == 1
        for field, at in ((32, DESCRIPTORS), (40, AVAILABLE), (48, USED)):
            self.write(field, "<I", (BASE + at) & 0xFFFFFFFF)
            self.write(field + 4, "<I", 0)
        self.write(28, "<H", 1)
        self.write(20, "<B", 0xF)

    def offer(self, length: int, address: int | None = None) -> None:
        """Makes a buffer available and notifies the device."""
        head = self.index % 4
        where = BASE + BUFFERS + 0x1000 * head if address is None else address
        struct.pack_into("<QIHH", self.memory, DESCRIPTORS + 16 * head, where, length, 2, 0)
        struct.pack_into("<H", self.memory, VRING_AVAIL + 2 * head, head)
        self.index += 1
        struct.pack_into("<H", self.memory, AVAILABLE + 2, self.index & 0xFFFF)
        self.write(0x3000, "<H", 0)

    def used(self) -> tuple[int, int, int]:
        """Returns the used ring's index, and the last entry's head and length."""
        (index,) = struct.unpack_from("<H", self.memory, USED + 2)
        return index, *struct.unpack_from("<II", self.memory, VRING_USED + 8 * ((index - 1) % 4))


@pytest.fixture
def card(path: str) -> Iterator[Any]:
    card = example("entropy_card").EntropyCard(path, lambda count: b"\x5a" * count)
    with running(card.server):
        yield card


@pytest.fixture
def driver(card: Any, path: str) -> Iterator[Driver]:
    with Client(path, deadline=PATIENCE) as client:
        driver = Driver(client)
        yield driver
        driver.close()


def test_the_entropy_device_shows_where_its_structures_are(driver: Driver) -> None:
    header = config.parse(driver.client.region_read(7, 0, 256))
    names = [cap.name for cap in header.capabilities]
    assert names == ["vendor-specific"] * 4 + ["MSI-X"]
    assert (header.vendor, header.device, header.revision) == (0x1AF4, 0x1044, 1)


def test_buffers_are_filled_and_the_driver_is_interrupted(driver: Driver) -> None:
    driver.set_up()
    for number in range(1, 7):
        driver.offer(32)
        assert readable([driver.interrupt], PATIENCE)
        os.eventfd_read(driver.interrupt)
        assert driver.used() == (number, (number - 1) % 4, 32)
        at = BUFFERS + 0x1000 * ((number - 1) % 4)
        assert driver.memory[at : at + 33] == b"\x5a" * 32 + b"\0"


def test_a_reset_forgets_the_queue(driver: Driver, card: Any) -> None:
    driver.set_up()
    driver.offer(16)
    driver.write(20, "<B", 0)
    assert driver.read(24, "<H") == 64
    assert driver.read(26, "<H") == 0xFFFF
    assert card.handed_out == 16


@pytest.mark.parametrize("address", [0, BASE + 0x10000, (1 << 64) - 16])
def test_a_buffer_in_no_memory_does_no_harm(
    driver: Driver, address: int, caplog: pytest.LogCaptureFixture
) -> None:
    driver.set_up()
    with pytest.raises(Refused, match="EIO"):
        driver.offer(16, address)
    assert driver.read(24, "<H") == 4
    assert "a callback failed" in caplog.text


def test_a_driver_that_lies_about_its_queue_gets_bounded_work(driver: Driver, card: Any) -> None:
    driver.set_up()
    driver.write(24, "<H", 0)
    driver.index = 40000
    driver.offer(1 << 31)
    assert card.handed_out <= 4096


# All of them


@pytest.mark.parametrize("name", ["serial_card", "entropy_card", "native_serial_card"])
def test_an_example_is_a_program_and_a_conforming_server(path: str, name: str) -> None:
    program = [sys.executable, str(EXAMPLES / f"{name}.py"), path]
    target = conformance.Target(path, PATIENCE, program)
    report = conformance.run(target, ["next-client", "device-info", "eventfd-is-signalled"])
    assert {result.outcome for result in report.results} == {conformance.Outcome.PASS}


def test_a_serial_card_prints_what_it_is_sent_and_ends_on_a_signal(path: str) -> None:
    program = [sys.executable, str(EXAMPLES / "serial_card.py"), path]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        end = time.monotonic() + PATIENCE
        while not os.path.exists(path):
            assert time.monotonic() < end
            time.sleep(0.01)
        with Client(path, deadline=PATIENCE) as client:
            client.region_write(0, 0, b"!")
            assert process.stdin
            assert process.stdout
            assert process.stdout.read(1) == b"!"
            process.stdin.write(b"x\n")
            process.stdin.flush()
            while not client.region_read(0, LSR, 1)[0] & 1:
                assert time.monotonic() < end
            assert client.region_read(0, DATA, 1) == b"x"
        process.terminate()
        assert process.wait(PATIENCE) == 0


def test_the_first_device_has_as_many_lines_as_the_tutorial_says() -> None:
    text = (EXAMPLES / "serial_card.py").read_text()
    code = re.sub(r'""".*?"""', "", text, flags=re.DOTALL).splitlines()
    lines = [line for line in code if line.strip() and not line.strip().startswith("#")]
    assert f"{len(lines)} lines of Python" in TUTORIAL.read_text()


def test_the_code_that_the_tutorial_shows_is_the_examples() -> None:
    blocks = re.findall(r"```(?:python|c)\n(.*?)```", TUTORIAL.read_text(), flags=re.DOTALL)
    sources = [path.read_text() for path in EXAMPLES.iterdir() if path.is_file()]
    assert len(blocks) > 5
    for block in blocks:
        assert any(block in source for source in sources), block
