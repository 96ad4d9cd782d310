"""QEMU as a client of our server: it attaches the device and forwards a guest's accesses.

No guest runs: qtest makes a guest's accesses one by one, so that each has a known cause.
"""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyvfio_user import Area, DmaRegion, ResetReason, Server, pci
from vmcoredd.qemu.program import Qemu, adapter, find_qemu

pytestmark = pytest.mark.interop
PATIENCE = 60.0
SIZE = 0x80000
WINDOW = Area(-1, 0x1B000, 0x1B000, 0x1000)
BAR0 = 0xF0000000
SLOT = 0x80001000  # 00:02.0, for port 0xcf8
RAM = 64 << 20
DIMM = 128 << 20  # q35's alignment, too
DIMMS = 40
DIMM_BASE = 0x100000000  # where q35 places memory devices if all other memory is below 4 GiB


class Machine:
    """A QEMU without a guest, controlled through qtest."""

    def __init__(self, program: Qemu, path: str, memory: tuple[str, ...] = ("-m", "64M")) -> None:
        self._process = subprocess.Popen(
            [
                *program.command,
                *("-nodefaults", "-no-user-config", "-display", "none"),
                *("-machine", "q35,memory-backend=memory", *memory),
                *("-object", "memory-backend-memfd,id=memory,size=64M,share=on"),
                *("-accel", "tcg", "-S", "-qtest", "stdio", "-qtest-log", "/dev/null"),
                *("-device", adapter(0, Path(path))),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._watch = threading.Timer(PATIENCE, self._process.kill)
        self._watch.start()

    def ask(self, command: str) -> int:
        """QEMU's reply to a qtest command."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        words = self._process.stdout.readline().split()
        assert words[:1] == ["OK"], f"{command}: {words}, {self.complaint()}"
        return int(words[1], 0) if len(words) > 1 else 0

    def complaint(self) -> str:
        self._process.kill()
        assert self._process.stderr
        return self._process.stderr.read()

    def config_read(self, offset: int) -> int:
        self.ask(f"outl 0xcf8 {SLOT | offset:#x}")
        return self.ask("inl 0xcfc")

    def config_write(self, offset: int, value: int, width: str = "l") -> None:
        self.ask(f"outl 0xcf8 {SLOT | offset:#x}")
        self.ask(f"out{width} 0xcfc {value:#x}")

    def read(self, address: int) -> int:
        return self.ask(f"readl {address:#x}")

    def write(self, address: int, value: int) -> None:
        self.ask(f"writel {address:#x} {value:#x}")

    def end(self) -> None:
        self._watch.cancel()
        self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(PATIENCE)
        self._process.kill()
        self._process.communicate()


class Card:
    """A device like an adapter: a 64-bit BAR0 of 512 KiB whose words read as their offsets."""

    def __init__(self, path: str) -> None:
        self.writes: list[tuple[int, bytes]] = []
        self.events: list[object] = []
        self.gone = threading.Event()
        self.window = os.memfd_create("window")
        os.ftruncate(self.window, SIZE)
        self.server = Server(path, deadline=PATIENCE)
        self.server.config_space(pci.header(0x1425, 0x6407, device_class=0x020000))
        area = Area(self.window, WINDOW.fd_offset, WINDOW.offset, WINDOW.length)
        self.server.region(0, SIZE, self.access, bits64=True, mmap=area)
        self.server.region(4, 0x2000, self.access, bits64=True)
        self.server.capability(0x40, pci.power_management())
        self.server.capability(0x50, pci.express())
        self.server.capability(0x90, pci.msix(8, (4, 0), (4, 0x1000)))
        self.server.capability(0xA0, pci.vital_product_data())
        self.server.irqs(msix=8)
        self.server.on_reset = self.events.append
        self.server.on_dma_map = self.events.append
        self.server.on_client_gone = self.gone.set

    def access(self, offset: int, data: memoryview, is_write: bool) -> None:
        if is_write:
            self.writes.append((offset, bytes(data)))
        else:
            data[:] = struct.pack("<Q", offset)[: len(data)]

    def close(self) -> None:
        self.server.close()
        os.close(self.window)


@pytest.fixture(scope="module")
def program(progress: Callable[[str, float | None], None]) -> Qemu:
    return find_qemu(progress)


@pytest.fixture
def card(tmp_path: Path) -> Iterator[Card]:
    card = Card(str(tmp_path / "socket"))
    thread = threading.Thread(target=card.server.run)
    thread.start()
    yield card
    card.server.stop()
    thread.join()
    card.close()


@pytest.fixture
def machine(program: Qemu, card: Card) -> Iterator[Machine]:
    """A QEMU with the card attached and its BAR0 at a known address."""
    machine = Machine(program, card.server.path)
    try:
        machine.config_write(0x10, BAR0)
        machine.config_write(0x14, 0)
        machine.config_write(0x04, 0x0006, "w")
        yield machine
    finally:
        machine.end()


def test_qemu_attaches_and_enumerates_the_device(machine: Machine) -> None:
    assert machine.config_read(0) == 0x64071425
    assert machine.config_read(8) >> 16 == 0x0200


def test_qemu_sees_the_bars_size_and_kind(machine: Machine) -> None:
    machine.config_write(0x10, 0xFFFFFFFF)
    assert machine.config_read(0x10) == 0xFFFFFFFF & ~(SIZE - 1) | 4


def test_qemu_finds_the_capabilities(machine: Machine) -> None:
    at, found = machine.config_read(0x34) & 0xFF, []
    while at:
        word = machine.config_read(at)
        found.append(word & 0xFF)
        at = word >> 8 & 0xFF
    assert found == [0x01, 0x10, 0x11, 0x03]


def test_a_guests_read_reaches_the_device(machine: Machine) -> None:
    assert machine.read(BAR0 + 0x19400) == 0x19400
    assert machine.read(BAR0 + SIZE - 4) == SIZE - 4


def test_a_guests_write_reaches_the_device(machine: Machine, card: Card) -> None:
    machine.write(BAR0 + 0x100, 0x12345678)
    assert machine.read(BAR0) == 0
    assert card.writes == [(0x100, b"\x78\x56\x34\x12")]


def test_a_guests_access_to_the_mapped_page_goes_to_memory(machine: Machine, card: Card) -> None:
    machine.write(BAR0 + WINDOW.offset + 8, 0xCAFE)
    assert os.pread(card.window, 2, WINDOW.fd_offset + 8) == b"\xfe\xca"
    os.pwrite(card.window, b"\x01\x02\x03\x04", WINDOW.fd_offset)
    assert machine.read(BAR0 + WINDOW.offset) == 0x04030201
    assert card.writes == []


def test_the_device_can_access_a_guests_memory(machine: Machine, card: Card) -> None:
    machine.write(0x1000, 0xDEADBEEF)
    assert card.server.dma_read(0x1000, 4) == b"\xef\xbe\xad\xde"
    card.server.dma_write(0x2000, b"\x01\0\0\0")
    assert machine.read(0x2000) == 1
    assert any(isinstance(event, DmaRegion) and event.mapped for event in card.events)


def dimms(count: int) -> tuple[str, ...]:
    """QEMU's arguments for memory devices, each with a file of its own."""
    arguments = ["-m", f"64M,slots={count},maxmem=64G"]
    for number in range(count):
        backend = f"memory-backend-memfd,id=dimm{number},size=128M,share=on"
        arguments += ["-object", backend, "-device", f"pc-dimm,memdev=dimm{number}"]
    return tuple(arguments)


def test_the_device_can_access_each_of_many_memory_devices(program: Qemu, card: Card) -> None:
    machine = Machine(program, card.server.path, dimms(DIMMS))
    try:
        for number in range(DIMMS):
            machine.write(DIMM_BASE + number * DIMM, 0xD1880000 + number)
        for number in range(DIMMS):
            word = card.server.dma_read(DIMM_BASE + number * DIMM, 4)
            assert word == struct.pack("<I", 0xD1880000 + number)
    finally:
        machine.end()


def test_qemu_resets_the_device_at_start(machine: Machine, card: Card) -> None:
    assert ResetReason.DEVICE in card.events


def test_after_a_qemu_is_killed_the_next_is_served(
    machine: Machine, program: Qemu, card: Card
) -> None:
    machine.end()
    assert card.gone.wait(PATIENCE)
    assert ResetReason.LOST_CONNECTION in card.events
    second = Machine(program, card.server.path)
    try:
        assert second.config_read(0) == 0x64071425
    finally:
        second.end()
