"""A client that provokes what docs/upstream/libvfio-user.md reports, and says what came of it.

    python provoke.py FINDING SOCKET

It needs nothing but Python. The server is device.c; for `migration-state`, libvfio-user's sample
gpio-pci-idio-16.
"""

import contextlib
import errno
import os
import socket
import struct
import sys
import time

HEADER = struct.Struct("<HHIII")  # id, command, size, flags, errno
VERSION, DMA_MAP, GET_REGION_INFO, SET_IRQS, REGION_READ, REGION_WRITE = 1, 2, 5, 8, 9, 10
ERROR = 0x20  # of the flags of a reply
INTX, MSIX = 0, 2
NONE, EVENTFD, MASK, UNMASK, TRIGGER = 1, 4, 8, 16, 32  # VFIO_IRQ_SET_*
PATIENCE = 3.0
GONE = "the connection ended without a reply"


class Server:
    """A connection to a server, whose version is agreed on."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        end = time.monotonic() + PATIENCE
        while self.socket.connect_ex(path) and time.monotonic() < end:
            time.sleep(0.01)  # it may not listen yet
        self.ask(VERSION, struct.pack("<HH", 0, 1) + b'{"capabilities":{}}\0')

    def send(self, data, fds=()):
        socket.send_fds(self.socket, [data], fds)

    def receive(self, length):
        data = b""
        while len(data) < length:
            piece = self.socket.recv(length - len(data))
            if not piece:
                raise ConnectionError
            data += piece
        return data

    def reply(self):
        """Returns the errno (0: none) and the payload of a reply."""
        _, _, size, flags, number = HEADER.unpack(self.receive(HEADER.size))
        return number if flags & ERROR else 0, self.receive(size - HEADER.size)

    def ask(self, command, payload, fds=()):
        self.send(HEADER.pack(1, command, HEADER.size + len(payload), 0, 0) + payload, fds)
        return self.reply()

    def irqs(self, index, action, start, count, fds=()):
        return self.ask(SET_IRQS, struct.pack("<IIIII", 20, action, index, start, count), fds)[0]

    def write(self, region, offset, data):
        return self.ask(REGION_WRITE, struct.pack("<QII", offset, region, len(data)) + data)[0]


def said(number):
    """Returns a reply in words."""
    return f"refused with {errno.errorcode.get(number, number)}" if number else "done"


def counted(fd):
    """Returns how often an eventfd was signalled, and takes that."""
    with contextlib.suppress(BlockingIOError):
        return os.eventfd_read(fd)
    return 0


def migration_state(server):
    return said(server.write(9, 0, struct.pack("<I", 0x10000001)))


def error_payload(server):
    number, payload = server.ask(REGION_READ, struct.pack("<QII", 0, 0, 8))
    return f"{said(number)}, with a payload of {len(payload)} bytes"


def split_header(server):
    request = HEADER.pack(1, GET_REGION_INFO, HEADER.size + 32, 0, 0)
    request += struct.pack("<IIIIQQ", 32, 0, 7, 0, 0, 0)
    server.send(request[:8])
    time.sleep(0.2)
    server.send(request[8:])
    return said(server.reply()[0])


def mapped_twice(server):
    fd = os.memfd_create("memory")
    os.ftruncate(fd, 4096)
    region = struct.pack("<IIQQQ", 32, 3, 0, 0x10000, 4096)
    server.ask(DMA_MAP, region, [fd])
    return said(server.ask(DMA_MAP, region, [fd])[0])


def overlapping_memory(server):
    fd = os.memfd_create("memory")
    os.ftruncate(fd, 8192)
    server.ask(DMA_MAP, struct.pack("<IIQQQ", 32, 3, 0, 0x10000, 8192), [fd])
    return said(server.ask(DMA_MAP, struct.pack("<IIQQQ", 32, 3, 0, 0x11000, 4096), [fd])[0])


def vectors(server):
    """Returns four eventfds that the server signals for its vectors."""
    fds = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(4)]
    server.irqs(MSIX, EVENTFD | TRIGGER, 0, 4, fds)
    return fds


def detached_vector(server):
    fds = vectors(server)
    server.irqs(MSIX, EVENTFD | TRIGGER, 2, 1)  # without a descriptor: no more
    server.irqs(MSIX, NONE | TRIGGER, 2, 1)
    return f"vector 2 was signalled {counted(fds[2])} x"


def too_many_vectors(server):
    vectors(server)
    return said(server.irqs(MSIX, EVENTFD | TRIGGER, 1, 0xFFFFFFFF))


def full_eventfd(server):
    fds = vectors(server)
    os.eventfd_write(fds[0], 0xFFFFFFFFFFFFFFFE)
    os.set_blocking(fds[0], True)  # which the server's descriptor shares
    return said(server.irqs(MSIX, NONE | TRIGGER, 0, 1))


def masked_intx(server):
    fd = os.eventfd(0, os.EFD_NONBLOCK)
    server.irqs(INTX, EVENTFD | TRIGGER, 0, 1, [fd])
    server.irqs(INTX, NONE | MASK, 0, 1)
    server.write(0, 0, b"\1")  # raises it
    masked = counted(fd)
    server.irqs(INTX, NONE | UNMASK, 0, 1)
    return f"signalled {masked} x while it was masked, {counted(fd)} x when it was unmasked"


FINDINGS = {
    function.__name__.replace("_", "-"): function
    for function in (
        migration_state,
        error_payload,
        split_header,
        mapped_twice,
        overlapping_memory,
        detached_vector,
        too_many_vectors,
        full_eventfd,
        masked_intx,
    )
}


def provoke(finding, path):
    """Returns what came of it, in words."""
    try:
        return FINDINGS[finding](Server(path))
    except TimeoutError:
        return f"no reply in {PATIENCE:g} s"
    except ConnectionError:
        return GONE


if __name__ == "__main__":
    print(provoke(*sys.argv[1:]))
