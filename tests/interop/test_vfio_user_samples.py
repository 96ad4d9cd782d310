"""Our client with libvfio-user's own sample servers, built from the source our server links."""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from pyvfio_user._client import ffi
from pyvfio_user.probe import probe

from pyvfio_user import (
    Client,
    ConnectError,
    IrqIndex,
    Refused,
    RegionFlag,
    conformance,
    memory_file,
)
from vmcoredd import driver
from vmcoredd.debs import libvfio_user

pytestmark = pytest.mark.interop
PATIENCE = 10.0
C = TypeVar("C")


@contextlib.contextmanager
def running(name: str, path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The sample server `name`, which serves one client at `path`."""
    program = libvfio_user.sample(libvfio_user.obtain(), name)
    with subprocess.Popen([program, path], stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def sample(name: str, path: Path) -> Iterator[Client]:
    """A client of the sample server `name`."""
    with (
        running(name, path) as process,
        connect(lambda: Client(path, deadline=PATIENCE), process) as client,
    ):
        yield client


def connect(client: Callable[[], C], process: subprocess.Popen[bytes]) -> C:
    """Connects as soon as the server listens, which it does not announce."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return client()
        except ConnectError:
            if time.monotonic() > end or process.poll() is not None:
                raise
            os.sched_yield()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Client]:
    with sample("server", tmp_path / "socket") as client:
        yield client


@pytest.fixture
def gpio(tmp_path: Path) -> Iterator[Client]:
    with sample("gpio-pci-idio-16", tmp_path / "socket") as client:
        yield client


def test_the_server_sample_reports_its_ids(server: Client) -> None:
    config = server.region_read(7, 0, 64)
    assert config[:4] == b"\xad\xde\xef\xbe"
    assert config[0x2C:0x30] == b"\xfe\xca\xbe\xba"


def test_the_server_samples_regions_are_listed(server: Client) -> None:
    sizes = [region.size for region in server.regions]
    assert sizes[:3] == [8, 0x3000, 0]
    assert RegionFlag.MMAP in server.regions[1].flags


def test_the_server_samples_two_areas_can_be_mapped(server: Client) -> None:
    one, other = server.regions[1].areas
    assert [(area.offset, area.length) for area in (one, other)] == [(0, 0x1000), (0x2000, 0x1000)]
    server.region_write(1, 0x2000, b"last page")
    with server.mmap(1, 1) as mapped:
        assert mapped[:9] == b"last page"
    with server.mmap(1, 0) as mapped:
        mapped[:10] = b"first page"
    assert server.region_read(1, 0, 10) == b"first page"


def test_the_server_sample_refuses_an_access_of_another_width(server: Client) -> None:
    with pytest.raises(Refused) as caught:
        server.region_read(0, 0, 4)
    assert caught.value.errno == errno.EINVAL
    assert len(server.region_read(0, 0, 8)) == 8


def test_the_server_sample_accepts_memory_interrupts_and_a_reset(server: Client) -> None:
    fd = os.memfd_create("lent")
    os.ftruncate(fd, 1 << 20)
    server.dma_map(fd, 0x100000, 1 << 20)
    os.close(fd)
    os.close(server.irq_eventfd(0, IrqIndex.INTX))
    server.irq_disable(IrqIndex.INTX)
    server.reset()
    server.dma_unmap(0x100000, 1 << 20)
    with pytest.raises(Refused):
        server.dma_unmap(0x100000, 1 << 20)


def test_the_server_sample_writes_and_reads_memory_by_messages(server: Client) -> None:
    """It does so a second after the time in BAR0, when it also raises an interrupt."""
    fd = memory_file("lent", 1 << 20)
    server.dma_map(fd, 0x100000, 1 << 20, by_message=True)
    interrupt = server.irq_eventfd(0, IrqIndex.INTX)
    server.region_write(0, 0, struct.pack("<q", int(time.time()) + 1))
    assert [server.serve_dma(PATIENCE), server.serve_dma(PATIENCE)] == [1, 1]
    assert os.pread(fd, 4097, 0) == b"A" * 4096 + b"\0"
    assert len(server.region_read(0, 0, 8)) == 8  # the sample ends if it read something else
    os.close(interrupt)
    os.close(fd)


def test_the_gpio_sample_counts_its_reads(gpio: Client) -> None:
    pins = [gpio.region_read(2, 0, 1)[0] for _ in range(9)]
    assert pins == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_pipelined_reads_of_the_gpio_sample_arrive_in_order(gpio: Client) -> None:
    """More than the 557 unread replies at which this server stops reading."""
    io = ffi.cast("struct io *", gpio.io(2))
    into = ffi.new("uint32_t[]", 3000)
    for at in range(3000):
        assert io.read(io.cookie, 0, into + at, 4, 1) == 0
    assert io.fence(io.cookie) == 0
    assert [value & 0xFF for value in into] == [at // 3 % 256 for at in range(3000)]


def test_posted_writes_to_the_gpio_sample_keep_the_connection_intact(gpio: Client) -> None:
    for _ in range(5000):
        gpio.region_write(2, 0, b"\1", posted=True)
    assert gpio.region_read(2, 0, 1) == b"\0"
    assert gpio.counters.sends < 100


def test_the_gpio_sample_serves_the_next_client(tmp_path: Path) -> None:
    with sample("gpio-pci-idio-16", tmp_path / "socket") as first:
        first.region_read(2, 0, 1)
        first.close()
        with Client(tmp_path / "socket", deadline=PATIENCE) as second:
            assert second.region_read(2, 0, 1) == b"\0"


GIVES_UP = {
    "version-other-major",
    "version-broken-data",
    "version-data-without-nul",
    "version-deep-data",
    "version-first",
}
"""The samples end with an error when a client's version is wrong."""
FAULTS = {
    *GIVES_UP,
    "version-subset",
    "split-message",
    "errors-are-headers",
    "read-of-nothing",
    "memory-is-mapped-once",
    "memory-overlaps",
    "migration-refuses-unknown-states",
}
"""What this libvfio-user does otherwise than its protocol says."""


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("gpio-pci-idio-16", set()),
        ("server", {"migration-stops-and-runs", "migration-saves"}),  # its timer is in the past
    ],
)
def test_the_checks_find_what_the_samples_do_otherwise(
    tmp_path: Path, name: str, own: set[str]
) -> None:
    path = str(tmp_path / "socket")
    program = libvfio_user.sample(libvfio_user.obtain(), name)
    report = conformance.run(conformance.Target(path, PATIENCE, [str(program), path]))
    found = {row.check: row.reason for row in report.results if row.outcome.value == "fail"}
    assert set(found) <= FAULTS | own
    assert report.count(conformance.Outcome.NOT_RUN) == 0
    assert report.count(conformance.Outcome.PASS) >= 60
    if "migration-refuses-unknown-states" in found:
        assert found["migration-refuses-unknown-states"] == "the server died of SIGSEGV"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("server", "config space: dead:beef, subsystem cafe:babe, revision 00"),
        ("gpio-pci-idio-16", "config space: 494f:0dc8, subsystem 0000:0000, revision 00"),
    ],
)
def test_a_probe_shows_a_sample(tmp_path: Path, name: str, shown: str) -> None:
    path = tmp_path / "socket"
    with running(name, path) as process:
        found = connect(lambda: probe(path, PATIENCE), process)
    assert found.version.migration
    assert found.regions[9].type == (3, 1)
    assert shown in list(found.lines())


@pytest.mark.parametrize("name", ["server", "gpio-pci-idio-16"])
def test_a_sample_is_no_adapter(tmp_path: Path, name: str) -> None:
    ids = {"server": "0xdead:0xbeef", "gpio-pci-idio-16": "0x494f:0x0dc8"}
    with running(name, tmp_path / "socket") as process:
        says = f"the device is {ids[name]}, not a Chelsio adapter"
        with pytest.raises(driver.ProbeError, match=says):
            connect(lambda: driver.open(tmp_path / "socket"), process)
