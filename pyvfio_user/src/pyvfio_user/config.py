"""Reading a PCI device's configuration space: ids, class, BARs, capabilities by name.

Sources: linux/pci_regs.h, linux/pci_ids.h, the PCI specifications. `pci` is the other direction.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from . import pci

EXTENDED = 0x100  # where extended capabilities begin

CLASSES = {
    0x00: "unclassified device",
    0x01: "mass storage controller",
    0x02: "network controller",
    0x03: "display controller",
    0x04: "multimedia controller",
    0x05: "memory controller",
    0x06: "bridge",
    0x07: "communication controller",
    0x08: "system peripheral",
    0x09: "input device controller",
    0x0A: "docking station",
    0x0B: "processor",
    0x0C: "serial bus controller",
    0x0D: "wireless controller",
    0x0E: "intelligent controller",
    0x0F: "satellite communications controller",
    0x10: "encryption controller",
    0x11: "signal processing controller",
    0x12: "processing accelerator",
    0x13: "non-essential instrumentation",
    0x40: "coprocessor",
    0xFF: "unassigned class",
}
SUBCLASSES = {
    0x0100: "SCSI storage controller",
    0x0101: "IDE interface",
    0x0104: "RAID bus controller",
    0x0106: "SATA controller",
    0x0107: "SAS controller",
    0x0108: "non-volatile memory controller",
    0x0200: "Ethernet controller",
    0x0300: "VGA compatible controller",
    0x0403: "audio device",
    0x0600: "host bridge",
    0x0601: "ISA bridge",
    0x0604: "PCI bridge",
    0x0700: "serial controller",
    0x0702: "multiport serial controller",
    0x0880: "system peripheral",
    0x0C03: "USB controller",
    0x0C05: "SMBus",
    0x1000: "network and computing encryption device",
}
CAPABILITIES = {
    0x01: "power management",
    0x02: "AGP",
    0x03: "vital product data",
    0x04: "slot identification",
    0x05: "MSI",
    0x06: "CompactPCI hot swap",
    0x07: "PCI-X",
    0x08: "HyperTransport",
    0x09: "vendor-specific",
    0x0A: "debug port",
    0x0B: "CompactPCI resource control",
    0x0C: "hot-plug controller",
    0x0D: "bridge subsystem ids",
    0x0E: "AGP 8x",
    0x0F: "secure device",
    0x10: "PCI Express",
    0x11: "MSI-X",
    0x12: "SATA",
    0x13: "advanced features",
    0x14: "enhanced allocation",
}
EXTENDED_CAPABILITIES = {
    0x01: "advanced error reporting",
    0x02: "virtual channel",
    0x03: "device serial number",
    0x04: "power budgeting",
    0x0B: "vendor-specific",
    0x0D: "access control services",
    0x0E: "alternative routing id",
    0x0F: "address translation services",
    0x10: "SR-IOV",
    0x13: "page request interface",
    0x15: "resizable BAR",
    0x17: "TPH requester",
    0x18: "latency tolerance reporting",
    0x19: "secondary PCI Express",
    0x1B: "process address space id",
    0x1D: "downstream port containment",
    0x1E: "L1 PM substates",
    0x1F: "precision time measurement",
    0x23: "designated vendor-specific",
    0x25: "data link feature",
    0x26: "16 GT/s physical layer",
    0x27: "lane margining",
    0x2A: "32 GT/s physical layer",
    0x2E: "data object exchange",
}


@dataclass(frozen=True)
class Bar:
    """A base address register: what kind of addresses it takes, and its value."""

    index: int
    kind: str
    value: int


@dataclass(frozen=True)
class Capability:
    """A capability at `offset` of config space. `extended`: behind the first 256 bytes."""

    id: int
    name: str
    offset: int
    extended: bool = False


@dataclass(frozen=True)
class Header:
    """The fields of a header. `device_class` has 24 bits: class, subclass, interface."""

    vendor: int
    device: int
    subsystem: tuple[int, int]
    device_class: int
    revision: int
    command: int
    status: int
    interrupt_pin: int
    bars: tuple[Bar, ...]
    capabilities: tuple[Capability, ...]
    note: str = ""

    @property
    def class_name(self) -> str:
        """The class in words."""
        known = SUBCLASSES.get(self.device_class >> 8)
        return known or CLASSES.get(self.device_class >> 16, "unknown class")


def parse(space: bytes) -> Header:
    """Reads config space, or its beginning. Raises ValueError if that is no header.

    A list of capabilities that leaves the space, or is a loop, is taken as far as it goes: `note`
    says so.
    """
    if len(space) < pci.HEADER_SIZE:
        raise ValueError(f"{len(space)} bytes of config space, a header has {pci.HEADER_SIZE}")
    vendor, device, command, status = struct.unpack_from("<HHHH", space)
    (revision_and_class,) = struct.unpack_from("<I", space, 8)
    found, notes = _capabilities(space), []
    if status & pci.STATUS_CAPABILITIES and found is None:
        notes.append("the list of capabilities is damaged")
    extended = _extended(space)
    return Header(
        vendor,
        device,
        struct.unpack_from("<HH", space, 0x2C),
        revision_and_class >> 8,
        revision_and_class & 0xFF,
        command,
        status,
        space[0x3D],
        _bars(space),
        (*(found or ()), *extended),
        "; ".join(notes),
    )


def _bars(space: bytes) -> tuple[Bar, ...]:
    count = pci.BARS if space[0x0E] & 0x7F == 0 else 0  # a bridge's are fewer, and elsewhere
    values = struct.unpack_from(f"<{count}I", space, pci.BAR0)
    bars = []
    at = 0
    while at < count:
        value = values[at]
        if value & 1:
            bars.append(Bar(at, "I/O", value & ~3))
        elif value & pci.BAR_64_BITS and at + 1 < count:
            high = values[at + 1] << 32
            bars.append(Bar(at, _memory("64-bit", value), high | value & ~0xF))
            at += 1
        else:
            bars.append(Bar(at, _memory("32-bit", value), value & ~0xF))
        at += 1
    return tuple(bars)


def _memory(width: str, value: int) -> str:
    return f"{width} memory" + (", prefetchable" if value & pci.BAR_PREFETCH else "")


def _capabilities(space: bytes) -> list[Capability] | None:
    """Returns the list of capabilities; None if it is damaged or there is none."""
    found: list[Capability] = []
    if not space[pci.STATUS] & pci.STATUS_CAPABILITIES:
        return None
    at = space[pci.CAPABILITY_POINTER] & ~3
    seen: set[int] = set()
    while at:
        if at in seen or at < pci.HEADER_SIZE or at + 2 > len(space):
            return None
        seen.add(at)
        found.append(Capability(space[at], CAPABILITIES.get(space[at], "unknown"), at))
        at = space[at + 1] & ~3
    return found


def _extended(space: bytes) -> list[Capability]:
    """Returns the extended capabilities, up to the first that leaves the space."""
    found: list[Capability] = []
    at = EXTENDED
    while EXTENDED <= at <= len(space) - 4 and (not found or at > found[-1].offset):
        (word,) = struct.unpack_from("<I", space, at)
        if word in (0, 0xFFFFFFFF):
            break
        name = EXTENDED_CAPABILITIES.get(word & 0xFFFF, "unknown")
        found.append(Capability(word & 0xFFFF, name, at, extended=True))
        at = word >> 20 & ~3
    return found
