"""A device in C, compiled against only the headers that the package publishes."""

from __future__ import annotations

import errno
import importlib.util
import mmap
import os
import select
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest
from cffi import FFI
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
    assert select.select([fd], [], [], 0)[0] == [fd]
    os.close(fd)


def test_a_device_in_c_gets_an_error_for_missing_memory(client: pyvfio_user.Client) -> None:
    assert increment(client, MEMORY) == -errno.ENOENT


def test_a_device_in_c_gets_an_error_for_an_interrupt_without_a_listener(
    client: pyvfio_user.Client, memory: mmap.mmap
) -> None:
    assert increment(client, MEMORY) == -errno.ENOENT
    assert memory[0] == 1
