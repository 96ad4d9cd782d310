"""A device in C, compiled against only the headers that the package publishes."""

from __future__ import annotations

import errno
import fcntl
import importlib.util
import mmap
import os
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest
from cffi import FFI
from readable import readable
from vfio_device import SIZE, Device

import pyvfio_user

DECLARATIONS = """
struct incrementer {
    ...;
};
void incrementer_init(struct incrementer *device, uintptr_t host);
typedef int (*region_access)(void *, uint64_t, void *, uint32_t, int);
extern const region_access incrementer_access;
"""
SOURCE = """
#include <stdint.h>
#include "pyvfio_user/host.h"
#include "pyvfio_user/io.h"

struct incrementer {
    const struct host *host;
    int error;
};

static void incrementer_init(struct incrementer *device, uintptr_t host)
{
    *device = (struct incrementer){(const struct host *)host, 0};
}

/* Writing an address increments the word there and signals vector 1. Reading returns the error. */
static int serve(void *cookie, uint64_t offset, void *data, uint32_t length, int is_write)
{
    struct incrementer *device = cookie;
    const struct host *host = device->host;
    uint32_t word;

    if (offset != 0 || length != (is_write ? 8 : 4))
        return -22;
    if (!is_write) {
        *(int32_t *)data = device->error;
        return 0;
    }
    device->error = host->dma_read(host->cookie, *(uint64_t *)data, &word, sizeof(word));
    word++;
    if (!device->error)
        device->error = host->dma_write(host->cookie, *(uint64_t *)data, &word, sizeof(word));
    if (!device->error)
        device->error = host->irq(host->cookie, 1);
    return 0;
}
static const region_access incrementer_access = serve;
"""
MEMORY = 0x4000


@pytest.fixture(scope="module")
def extension(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    folder = tmp_path_factory.mktemp("extension")
    builder = FFI()
    builder.cdef(DECLARATIONS)
    builder.set_source("incrementer", SOURCE, include_dirs=[pyvfio_user.get_include()])
    spec = importlib.util.spec_from_file_location(
        "incrementer", builder.compile(tmpdir=str(folder))
    )
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def client(
    make_device: Callable[[], Device], extension: ModuleType
) -> Iterator[pyvfio_user.Client]:
    """A client of the device."""
    device = make_device()
    state = extension.ffi.new("struct incrementer *")
    extension.lib.incrementer_init(state, device.server.host())
    cookie = int(extension.ffi.cast("uintptr_t", state))
    function = int(extension.ffi.cast("uintptr_t", extension.lib.incrementer_access))
    access = pyvfio_user.NativeAccess(function, cookie)
    device.server.region(0, SIZE, access)
    device.server.irqs(msix=2)
    with device.serving(), pyvfio_user.Client(device.path, deadline=10) as client:
        yield client


@pytest.fixture
def memory(client: pyvfio_user.Client) -> Iterator[mmap.mmap]:
    """A page that the client shares with the device at `MEMORY`."""
    fd = os.memfd_create("memory")
    os.ftruncate(fd, mmap.PAGESIZE)
    client.dma_map(fd, MEMORY, mmap.PAGESIZE)
    with mmap.mmap(fd, mmap.PAGESIZE) as memory:
        os.close(fd)
        yield memory


def increment(client: pyvfio_user.Client, address: int) -> int:
    """Has the device increment the word at `address`. Returns its error."""
    client.region_write(0, 0, address.to_bytes(8, "little"))
    return int.from_bytes(client.region_read(0, 0, 4), "little", signed=True)


def test_a_device_in_c_reaches_the_hosts_memory_and_interrupts_it(
    client: pyvfio_user.Client, memory: mmap.mmap
) -> None:
    fd = client.irq_eventfd(1)
    memory[8:12] = (41).to_bytes(4, "little")
    assert increment(client, MEMORY + 8) == 0
    assert memory[8:12] == (42).to_bytes(4, "little")
    assert readable([fd], 0) == [fd]
    os.close(fd)


def test_a_device_in_c_gets_an_error_for_missing_memory(client: pyvfio_user.Client) -> None:
    assert increment(client, MEMORY) == -errno.ENOENT


def test_a_device_in_c_gets_an_error_for_an_interrupt_without_a_listener(
    client: pyvfio_user.Client, memory: mmap.mmap
) -> None:
    assert increment(client, MEMORY) == -errno.ENOENT
    assert memory[0] == 1


PAGES = 3 * mmap.PAGESIZE


@pytest.fixture
def listener(client: pyvfio_user.Client) -> Iterator[pyvfio_user.Client]:
    """The client, which listens to the device's interrupt."""
    fd = client.irq_eventfd(1)
    yield client
    os.close(fd)


def sealed_file(size: int, seals: int) -> int:
    fd = os.memfd_create("memory", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


@pytest.mark.parametrize("seals", [fcntl.F_SEAL_SHRINK, fcntl.F_SEAL_GROW, 0])
def test_sealed_and_other_memory_look_the_same_to_a_device(
    listener: pyvfio_user.Client, seals: int
) -> None:
    fd = sealed_file(PAGES, seals)
    listener.dma_map(fd, MEMORY, PAGES)
    with mmap.mmap(fd, PAGES) as memory:
        for at in (0, mmap.PAGESIZE - 2, PAGES - 4):
            memory[at : at + 4] = (41).to_bytes(4, "little")
            assert increment(listener, MEMORY + at) == 0
            assert memory[at : at + 4] == (42).to_bytes(4, "little")
        for outside in (MEMORY - 4, MEMORY - 2, MEMORY + PAGES - 2, MEMORY + PAGES):
            assert increment(listener, outside) == -errno.ENOENT
    listener.dma_unmap(MEMORY, PAGES)
    assert increment(listener, MEMORY) == -errno.ENOENT
    os.close(fd)


def test_a_transfer_crosses_from_sealed_memory_to_other(listener: pyvfio_user.Client) -> None:
    size = mmap.PAGESIZE
    one, other = sealed_file(size, fcntl.F_SEAL_SHRINK), sealed_file(size, 0)
    listener.dma_map(one, MEMORY, size)
    listener.dma_map(other, MEMORY + size, size)
    with mmap.mmap(one, size) as low, mmap.mmap(other, size) as high:
        low[-2:], high[:2] = b"\xff\xff", b"\x01\x00"
        assert increment(listener, MEMORY + size - 2) == 0
        assert (low[-2:], high[:2]) == (b"\0\0", b"\x02\x00")
        listener.dma_unmap(MEMORY, size)
        assert increment(listener, MEMORY + size) == 0
        assert high[:2] == b"\x03\x00"
    os.close(one)
    os.close(other)


def test_memory_beyond_the_end_of_a_sealed_file_is_an_error_and_no_signal(
    listener: pyvfio_user.Client,
) -> None:
    fd = sealed_file(mmap.PAGESIZE, fcntl.F_SEAL_SHRINK)
    listener.dma_map(fd, MEMORY, PAGES)
    assert increment(listener, MEMORY) == 0
    assert increment(listener, MEMORY + mmap.PAGESIZE) == -errno.EFAULT
    os.close(fd)


def test_memory_that_a_client_takes_away_is_an_error_and_no_signal(
    listener: pyvfio_user.Client,
) -> None:
    fd = sealed_file(PAGES, 0)
    listener.dma_map(fd, MEMORY, PAGES)
    assert increment(listener, MEMORY + 2 * mmap.PAGESIZE) == 0
    os.ftruncate(fd, mmap.PAGESIZE)
    assert increment(listener, MEMORY) == 0
    assert increment(listener, MEMORY + 2 * mmap.PAGESIZE) == -errno.EFAULT
    os.close(fd)


def test_memory_that_is_sealed_once_it_is_cut_is_an_error_and_no_signal(
    listener: pyvfio_user.Client,
) -> None:
    fd = sealed_file(PAGES, 0)
    listener.dma_map(fd, MEMORY, PAGES)
    os.ftruncate(fd, mmap.PAGESIZE)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    with pytest.raises(pyvfio_user.Refused):
        listener.dma_map(fd, MEMORY, PAGES)  # the same region again
    assert increment(listener, MEMORY + 2 * mmap.PAGESIZE) == -errno.EFAULT
    os.close(fd)
