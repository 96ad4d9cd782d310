"""PCI configuration space: the header's fields and the capabilities a device may show.

A capability's function returns its bytes in config space. The "next" byte is 0; the function that
places the capability sets it. Sources: linux/pci_regs.h, the PCI specifications.
"""

from __future__ import annotations

import struct

CONFIG_SIZE = 4096
HEADER_SIZE = 64
CAPABILITY_POINTER = 0x34
STATUS = 0x06
STATUS_CAPABILITIES = 0x10
BAR0 = 0x10
BARS = 6
BAR_64_BITS = 4
BAR_PREFETCH = 8
LIBRARY_CAPABILITIES = frozenset({0x01, 0x09, 0x10, 0x11})  # PM, vendor-specific, PCIe, MSI-X


def header(
    vendor: int,
    device: int,
    *,
    subsystem: tuple[int, int] = (0, 0),
    device_class: int = 0,
    revision: int = 0,
    interrupt_pin: int = 0,
) -> bytes:
    """Returns a type 0 header, 64 bytes. `device_class`: 24 bits; `subsystem`: vendor, device."""
    space = bytearray(HEADER_SIZE)
    struct.pack_into("<HH", space, 0x00, vendor, device)
    struct.pack_into("<I", space, 0x08, device_class << 8 | revision)
    struct.pack_into("<HH", space, 0x2C, *subsystem)
    space[0x3D] = interrupt_pin
    return bytes(space)


def power_management() -> bytes:
    """Returns a PM capability, version 3, without PME. 8 bytes."""
    return struct.pack("<BBHHBB", 0x01, 0, 0x0003, 0x0008, 0, 0)


def express(*, max_payload: int = 0, link_speed: int = 3, link_width: int = 8) -> bytes:
    """Returns a PCI Express endpoint's capability, version 2. 60 bytes.

    `max_payload`: 0 for 128 bytes, 1 for 256 and so on; `link_speed`: 3 for 8 GT/s.
    """
    link = link_width << 4 | link_speed
    return struct.pack(
        "<BBHIHHIHH",
        0x10,
        0,
        0x0002,  # version 2, endpoint
        1 << 15 | max_payload,  # role-based error reporting
        0,
        0,
        link,
        0,
        link,
    ) + bytes(40)


def msix(vectors: int, table: tuple[int, int], pba: tuple[int, int]) -> bytes:
    """Returns an MSI-X capability, 12 bytes.

    `table` and `pba`: BAR and offset in bytes, a multiple of 8. Raises ValueError.
    """
    if not 0 < vectors <= 2048:
        raise ValueError(f"MSI-X has 1 to 2048 vectors, not {vectors}")
    for bar, offset in (table, pba):
        if not 0 <= bar < BARS or offset % 8 or offset < 0:
            raise ValueError(f"BAR {bar} offset {offset:#x} cannot hold an MSI-X table")
    return struct.pack(
        "<BBHII", 0x11, 0, vectors - 1, table[1] | table[0], pba[1] | pba[0]
    )  # the low three bits of an offset are the BAR


def vital_product_data() -> bytes:
    """Returns an idle VPD capability, 8 bytes. The device serves its reads and writes."""
    return struct.pack("<BBHI", 0x03, 0, 0, 0)


def link(space: bytearray | memoryview, position: int, capability: bytes) -> None:
    """Puts a capability at `position` and at the end of the list. Raises ValueError."""
    if position % 4 or position < HEADER_SIZE or position + len(capability) > 256:
        raise ValueError(f"a capability of {len(capability)} bytes does not fit at {position:#x}")
    pointer = CAPABILITY_POINTER
    for _ in range(256 // 4):
        if space[pointer] == 0:
            break
        pointer = space[pointer] + 1
    else:
        raise ValueError("the list of capabilities is a loop")
    space[position : position + len(capability)] = capability
    space[position + 1] = 0
    space[pointer] = position
    space[STATUS] |= STATUS_CAPABILITIES


def bar_flags(*, memory: bool, bits64: bool, prefetch: bool) -> int:
    """Returns the low bits of a BAR."""
    if not memory:
        return 1
    return (BAR_64_BITS if bits64 else 0) | (BAR_PREFETCH if prefetch else 0)
