"""A virtio entropy device: the guest's memory is filled by DMA, MSI-X says when.

python entropy_card.py /run/entropy.sock
"""

import os
import signal
import struct
import sys

from pyvfio_user import Server, pci

COMMON, ISR, DEVICE, NOTIFY, SIZE = 0x0000, 0x1000, 0x2000, 0x3000, 0x4000  # in BAR0
VERSION_1 = 1  # bit 32 of the features: this is not the old, transitional virtio
QUEUE_MAX, TRANSFER_MAX = 64, 4096
FIELDS = {  # of the common configuration: offset and layout
    "feature_select": (0, "<I"),
    "feature": (4, "<I"),
    "queues": (18, "<H"),
    "status": (20, "<B"),
    "queue_select": (22, "<H"),
    "queue_size": (24, "<H"),
    "vector": (26, "<H"),
    "descriptors": (32, "<Q"),
    "available": (40, "<Q"),
    "used": (48, "<Q"),
}


def capability(kind, offset, length, *more):
    """Returns a vendor-specific capability: where in BAR0 the driver finds a structure."""
    size = 16 + 4 * len(more)
    return struct.pack(f"<BBBBB3xII{len(more)}I", 9, 0, size, kind, 0, offset, length, *more)


class EntropyCard:
    """The device: one queue of buffers that it fills from `source(bytes)`."""

    def __init__(self, path, source=os.urandom):
        self.source, self.handed_out = source, 0
        self.server = server = Server(path)
        header = pci.header(0x1AF4, 0x1044, subsystem=(0x1AF4, 0x40), device_class=0xFF0000)
        server.config_space(header[:8] + b"\1" + header[9:])  # revision 1: virtio 1.0
        server.region(0, SIZE, self.access)
        server.region(1, 0x1000, self.table)
        server.capability(0x40, capability(1, COMMON, 0x38))
        server.capability(0x50, capability(2, NOTIFY, 4, 0))
        server.capability(0x64, capability(3, ISR, 1))
        server.capability(0x74, capability(4, DEVICE, 4))
        server.capability(0x84, pci.msix(2, (1, 0), (1, 0x800)))
        server.irqs(msix=2)
        server.on_reset = lambda reason: self.reset()
        self.vectors = bytearray(0x1000)
        self.reset()

    def reset(self):
        self.common = bytearray(0x38)
        self.done = 0  # descriptors, modulo 2**16
        self["queues"], self["queue_size"] = 1, QUEUE_MAX
        struct.pack_into("<H", self.common, 16, 0xFFFF)  # no vector for changes
        self["vector"] = 0xFFFF

    def __getitem__(self, field):
        offset, layout = FIELDS[field]
        return struct.unpack_from(layout, self.common, offset)[0]

    def __setitem__(self, field, value):
        offset, layout = FIELDS[field]
        struct.pack_into(layout, self.common, offset, value)

    def access(self, offset, data, is_write):
        if is_write and offset == NOTIFY:
            self.fill()
        elif offset + len(data) <= len(self.common):
            self.configure(offset, data, is_write)
        elif not is_write:
            data[:] = bytes(len(data))

    def configure(self, offset, data, is_write):
        self["feature"] = VERSION_1 if self["feature_select"] == 1 else 0
        span = slice(offset, offset + len(data))
        if not is_write:
            is_other_queue = self["queue_select"] != 0 and 24 <= offset < 0x38
            data[:] = bytes(len(data)) if is_other_queue else self.common[span]
        elif offset == FIELDS["status"][0] and data[0] == 0:
            self.reset()
        elif offset not in (4, 18, 21, 30):  # these are read-only
            self.common[span] = data

    def table(self, offset, data, is_write):
        """Stores the MSI-X table, which the host reads, not the device."""
        span = slice(offset, offset + len(data))
        if is_write:
            self.vectors[span] = data
        else:
            data[:] = self.vectors[span]

    def fill(self):
        """Fills the buffers that the driver has made available, and interrupts it."""
        size = min(self["queue_size"], QUEUE_MAX) or 1
        (index,) = struct.unpack("<H", self.server.dma_read(self["available"] + 2, 2))
        for _ in range(min((index - self.done) % 0x10000, size)):
            slot = self.done % size
            (head,) = struct.unpack("<H", self.server.dma_read(self["available"] + 4 + 2 * slot, 2))
            descriptor = self.server.dma_read(self["descriptors"] + 16 * (head % size), 16)
            address, length, _, _ = struct.unpack("<QIHH", descriptor)
            length = min(length, TRANSFER_MAX)
            self.server.dma_write(address, self.source(length))
            entry = struct.pack("<II", head, length)
            self.server.dma_write(self["used"] + 4 + 8 * slot, entry)
            self.done = (self.done + 1) % 0x10000
            self.server.dma_write(self["used"] + 2, struct.pack("<H", self.done))
            self.handed_out += length
        if self["vector"] != 0xFFFF:
            self.server.irq(self["vector"] % 2)


if __name__ == "__main__":
    card = EntropyCard(sys.argv[1])
    with card.server, card.server.stopped_by(signal.SIGTERM, signal.SIGINT):
        card.server.run()
