"""Work that a device in C does of its own accord, between the messages of its client."""

from __future__ import annotations

import errno
import importlib.util
import mmap
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from cffi import FFI
from readable import readable
from vfio_device import SIZE, Device

import pyvfio_user

DECLARATIONS = """
struct worker {
    int fd;
    uint32_t pending;
    uint32_t left;
    uint64_t runs;
    uint64_t accesses;
    uint64_t address;
    int error;
    int done;
    ...;
};
uintptr_t worker_init(struct worker *device, uintptr_t host, int fd, int done);
typedef int (*region_access)(void *, uint64_t, void *, uint32_t, int);
extern const region_access worker_access;
"""
SOURCE = """
#include <stdint.h>
#include <sys/eventfd.h>
#include "pyvfio_user/host.h"
#include "pyvfio_user/io.h"
#include "pyvfio_user/work.h"

struct worker {
    const struct host *host;
    int fd;
    volatile uint32_t pending;
    uint32_t left;       /* runs to do */
    uint64_t runs, accesses;
    uint64_t address;    /* where each run counts in the host's memory; 0: nowhere */
    int error;
    int done;            /* an eventfd: nothing is left */
    struct work work;
};

static void run(void *cookie)
{
    struct worker *device = cookie;
    eventfd_t value;

    device->runs++;
    if (eventfd_read(device->fd, &value) == 0)
        device->left += (uint32_t)value;
    if (device->left)
        device->left--;
    device->pending = device->left != 0;
    if (device->address)
        device->error = device->host->dma_write(device->host->cookie, device->address,
                                                &device->runs, sizeof(device->runs));
    if (!device->left)
        eventfd_write(device->done, 1);
}

static uintptr_t worker_init(struct worker *device, uintptr_t host, int fd, int done)
{
    *device = (struct worker){.host = (const struct host *)host, .fd = fd, .done = done};
    device->work = (struct work){device, fd, &device->pending, run};
    return (uintptr_t)&device->work;
}

/* Offset 0: a number of runs to do. Offset 8: where to count. Others do nothing. */
static int serve(void *cookie, uint64_t offset, void *data, uint32_t length, int is_write)
{
    struct worker *device = cookie;

    device->accesses++;
    if (is_write && offset == 0 && length == 4)
        device->left = device->pending = *(uint32_t *)data;
    if (is_write && offset == 8 && length == 8)
        device->address = *(uint64_t *)data;
    return 0;
}
static const region_access worker_access = serve;
"""
DYING = """
import os, sys
from pyvfio_user import Client, memory_file
client = Client(sys.argv[1])
client.dma_map(memory_file("memory", 4096), 0x4000, 4096)
client.region_write(0, 8, (0x4000).to_bytes(8, "little"))
client.region_write(0, 0, b"\\xff" * 4)
os.write(1, b"at work\\n")
sys.stdin.read()
"""
"""A client whose memory the device writes to without an end."""
ENDLESS = 0xFFFFFFFF
PATIENCE = 10.0


@pytest.fixture(scope="module")
def extension(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    builder = FFI()
    builder.cdef(DECLARATIONS)
    builder.set_source("worker", SOURCE, include_dirs=[pyvfio_user.get_include()])
    folder = str(tmp_path_factory.mktemp("extension"))
    spec = importlib.util.spec_from_file_location("worker", builder.compile(tmpdir=folder))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Worker:
    """The device in C, served by a thread."""

    def __init__(self, device: Device, extension: ModuleType) -> None:
        self.server, self.path = device.server, device.path
        self.fd, self.done = (os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in range(2))
        self.c: Any = extension.ffi.new("struct worker *")
        self.work = extension.lib.worker_init(self.c, self.server.host(), self.fd, self.done)
        function = int(extension.ffi.cast("uintptr_t", extension.lib.worker_access))
        cookie = int(extension.ffi.cast("uintptr_t", self.c))
        self.server.region(0, SIZE, pyvfio_user.NativeAccess(function, cookie))
        self.server.irqs(msix=2)
        self.server.work(self.work)

    def is_done(self, patience: float = PATIENCE) -> bool:
        """Returns whether a run left nothing to do, before `patience` ends."""
        ready = bool(readable([self.done], patience))
        if ready:
            os.eventfd_read(self.done)
        return ready

    def close(self) -> None:
        os.close(self.fd)
        os.close(self.done)


@pytest.fixture
def worker(make_device: Callable[[], Device], extension: ModuleType) -> Iterator[Worker]:
    device = make_device()
    worker = Worker(device, extension)
    with device.serving():
        yield worker
    worker.close()


@pytest.fixture
def client(worker: Worker) -> Iterator[pyvfio_user.Client]:
    with pyvfio_user.Client(worker.path, deadline=PATIENCE) as client:
        yield client


def ask_for(client: pyvfio_user.Client, runs: int) -> None:
    client.region_write(0, 0, runs.to_bytes(4, "little"))


def test_work_that_a_message_leaves_is_done_without_another_message(
    worker: Worker, client: pyvfio_user.Client
) -> None:
    ask_for(client, 1000)
    assert worker.is_done()
    assert (worker.c.runs, worker.c.pending) == (1000, 0)


def test_a_device_without_work_is_not_run(worker: Worker, client: pyvfio_user.Client) -> None:
    for _ in range(100):
        client.region_read(0, 0x100, 4)
    assert worker.c.runs == 0


def test_work_runs_when_its_descriptor_is_readable_while_the_client_says_nothing(
    worker: Worker, client: pyvfio_user.Client
) -> None:
    client.region_read(0, 0x100, 4)
    os.eventfd_write(worker.fd, 3)
    assert worker.is_done()
    assert worker.c.runs == 3


def test_work_runs_without_a_client(worker: Worker) -> None:
    os.eventfd_write(worker.fd, 3)
    assert worker.is_done()
    assert worker.c.runs == 3
    with pyvfio_user.Client(worker.path, deadline=PATIENCE) as client:
        client.region_read(0, 0x100, 4)


def test_work_goes_on_after_its_client_has_left(worker: Worker) -> None:
    with pyvfio_user.Client(worker.path, deadline=PATIENCE) as client:
        ask_for(client, 1)
        assert worker.is_done()
    os.eventfd_write(worker.fd, 2)
    assert worker.is_done()
    assert worker.c.runs == 3


def test_endless_work_leaves_every_message_its_turn(
    worker: Worker, client: pyvfio_user.Client
) -> None:
    ask_for(client, ENDLESS)
    before = worker.c.runs
    began = time.monotonic()
    for _ in range(1000):
        client.region_read(0, 0x100, 4)
    assert time.monotonic() - began < 5
    assert worker.c.runs > before
    ask_for(client, 0)


def test_messages_without_a_pause_leave_work_its_turn(
    worker: Worker, client: pyvfio_user.Client
) -> None:
    """The descriptor is looked at between messages too."""
    stop = threading.Event()

    def flood() -> None:
        while not stop.is_set():
            client.region_read(0, 0x100, 64)

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        for runs in range(1, 50):
            assert grows(worker, "accesses", 3)
            os.eventfd_write(worker.fd, 1)
            assert worker.is_done(1.0)
            assert worker.c.runs == runs
    finally:
        stop.set()
        thread.join()


def test_endless_work_leaves_other_threads_their_turn(
    worker: Worker, client: pyvfio_user.Client
) -> None:
    fd = client.irq_eventfd(1)
    ask_for(client, ENDLESS)
    for _ in range(20):
        assert worker.server.irq(1)
    assert os.eventfd_read(fd) == 20
    os.close(fd)


def test_a_server_with_endless_work_stops(
    make_device: Callable[[], Device], extension: ModuleType
) -> None:
    device = make_device()
    worker = Worker(device, extension)
    with device.serving():
        with pyvfio_user.Client(worker.path, deadline=PATIENCE) as client:
            ask_for(client, ENDLESS)
        began = time.monotonic()
    assert time.monotonic() - began < 2
    worker.close()


def test_work_reaches_its_clients_memory_until_it_is_unmapped(
    worker: Worker, client: pyvfio_user.Client
) -> None:
    fd = pyvfio_user.memory_file("memory", mmap.PAGESIZE)
    client.dma_map(fd, 0x4000, mmap.PAGESIZE)
    with mmap.mmap(fd, mmap.PAGESIZE) as memory:
        os.close(fd)
        client.region_write(0, 8, (0x4000).to_bytes(8, "little"))
        ask_for(client, ENDLESS)
        client.dma_unmap(0x4000, mmap.PAGESIZE)
        after = memory[:8]
        assert after != bytes(8)
        ask_for(client, 100)
        assert worker.is_done()
        assert memory[:8] == after
        assert worker.c.error == -errno.ENOENT


@pytest.mark.parametrize("stopped", [False, True], ids=["killed", "stopped, then killed"])
def test_work_and_the_next_client_survive_a_client_that_dies(worker: Worker, stopped: bool) -> None:
    command = [sys.executable, "-c", DYING, worker.path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"at work\n"
        if stopped:
            process.send_signal(signal.SIGSTOP)
        assert grows(worker)
        assert worker.c.error == 0
        process.kill()
    with pyvfio_user.Client(worker.path, deadline=PATIENCE) as client:
        client.region_read(0, 0x100, 4)
        assert grows(worker)
        assert worker.c.error == -errno.ENOENT
        ask_for(client, 0)


def grows(worker: Worker, what: str = "runs", by: int = 100) -> bool:
    """Returns whether the device goes on with its endless work, or its client with messages."""
    before, end = getattr(worker.c, what), time.monotonic() + PATIENCE
    while getattr(worker.c, what) < before + by:
        if time.monotonic() > end:
            return False
        time.sleep(0.001)  # Python's lock is the client's meanwhile
    return True


def test_work_runs_once_when_the_client_listens_to_another_interrupt(
    worker: Worker, client: pyvfio_user.Client
) -> None:
    os.close(client.irq_eventfd(1))
    assert worker.is_done()
    assert worker.c.runs == 1


def test_work_can_be_taken_away(worker: Worker, client: pyvfio_user.Client) -> None:
    worker.server.work(None)
    ask_for(client, 10)
    os.eventfd_write(worker.fd, 1)
    client.region_read(0, 0x100, 4)
    assert worker.c.runs == 0
