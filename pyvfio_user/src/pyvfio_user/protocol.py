"""The vfio-user protocol in Python: numbers, message layouts, and version negotiation.

Everything is little-endian and packed. Sources: libvfio-user's docs/vfio-user.rst and, for the
parts that come from VFIO, linux/vfio.h.
"""

from __future__ import annotations

import enum
import json
import struct
from dataclasses import dataclass

MAJOR, MINOR = 0, 1
MAX_TRANSFER = 1 << 20  # max_data_xfer_size of a peer that names none
MAX_DMA_TRANSFER = 32768  # bytes that a server may request from our client in one message
MAX_DMA_MAPS = 65535  # DMA regions of a peer that names no max_dma_maps
MAX_FDS = 8  # descriptors that we accept in one message
SPIN = 200e-6
"""The default for how long either end polls for the next message before it sleeps, in seconds."""
PATH_MAX = 107  # bytes of a unix socket's path (unix(7)), without its NUL

VERSION = struct.Struct("<HH")
DEVICE_INFO = struct.Struct("<IIII")  # argsz, flags, regions, irqs
REGION_INFO = struct.Struct("<IIIIQQ")  # argsz, flags, index, cap_offset, size, offset
CAPABILITY = struct.Struct("<HHI")  # id, version, next
SPARSE_MMAP = struct.Struct("<II")  # areas, reserved; follows a CAPABILITY
AREA = struct.Struct("<QQ")  # offset, size
IRQ_INFO = struct.Struct("<IIII")  # argsz, flags, index, count
IRQ_SET = struct.Struct("<IIIII")  # argsz, flags, index, start, count
DMA_MAP = struct.Struct("<IIQQQ")  # argsz, flags, offset, address, size
DMA_UNMAP = struct.Struct("<IIQQ")  # argsz, flags, address, size

DIRTY_PAGES = struct.Struct("<II")  # argsz, flags
BITMAP_RANGE = struct.Struct("<QQ")  # address, size; follows DIRTY_PAGES, a BITMAP behind it
BITMAP = struct.Struct("<QQ")  # page size, bytes of the bitmap
ACCESS = struct.Struct("<QII")  # offset, region, count; of region reads and writes
IO_FDS = struct.Struct("<IIII")  # argsz, flags, index, count
REGION_TYPE = struct.Struct("<II")  # type, subtype; follows a CAPABILITY

CAPABILITY_SPARSE_MMAP = 1  # VFIO_REGION_INFO_CAP_SPARSE_MMAP
CAPABILITY_TYPE = 2  # VFIO_REGION_INFO_CAP_TYPE
MIGRATION_TYPE = (3, 1)  # VFIO_REGION_TYPE_MIGRATION, VFIO_REGION_SUBTYPE_MIGRATION
CONFIG_REGION = 7  # VFIO_PCI_CONFIG_REGION_INDEX


class Command(enum.IntEnum):
    """The numbers of the commands."""

    VERSION = 1
    DMA_MAP = 2
    DMA_UNMAP = 3
    DEVICE_GET_INFO = 4
    DEVICE_GET_REGION_INFO = 5
    DEVICE_GET_REGION_IO_FDS = 6
    DEVICE_GET_IRQ_INFO = 7
    DEVICE_SET_IRQS = 8
    REGION_READ = 9
    REGION_WRITE = 10
    DMA_READ = 11
    DMA_WRITE = 12
    DEVICE_RESET = 13
    DIRTY_PAGES = 14
    REGION_WRITE_MULTI = 15  # qemu, hw/vfio-user/protocol.h


class RegionFlag(enum.IntFlag):
    """VFIO_REGION_INFO_FLAG_*."""

    READ = 1
    WRITE = 2
    MMAP = 4
    CAPS = 8


class IrqIndex(enum.IntEnum):
    """VFIO_PCI_*_IRQ_INDEX."""

    INTX = 0
    MSI = 1
    MSIX = 2
    ERR = 3
    REQ = 4


class IrqSet(enum.IntFlag):
    """VFIO_IRQ_SET_*."""

    DATA_NONE = 1
    DATA_BOOL = 2
    DATA_EVENTFD = 4
    ACTION_MASK = 8
    ACTION_UNMASK = 16
    ACTION_TRIGGER = 32


class DeviceFlag(enum.IntFlag):
    """VFIO_DEVICE_FLAGS_*."""

    RESET = 1
    PCI = 2


class IrqFlag(enum.IntFlag):
    """VFIO_IRQ_INFO_*."""

    EVENTFD = 1
    MASKABLE = 2
    AUTOMASKED = 4
    NORESIZE = 8


class UnmapFlag(enum.IntFlag):
    """VFIO_DMA_UNMAP_FLAG_*."""

    GET_DIRTY_BITMAP = 1
    ALL = 2


class DirtyFlag(enum.IntFlag):
    """VFIO_IOMMU_DIRTY_PAGES_FLAG_*."""

    START = 1
    STOP = 2
    GET_BITMAP = 4


class DmaFlag(enum.IntFlag):
    """VFIO_USER_F_DMA_REGION_*."""

    READ = 1
    WRITE = 2


@dataclass(frozen=True)
class Capabilities:
    """What a peer announces in its VERSION message.

    `max_transfer`: bytes of a region access. `max_fds`: descriptors in one message.
    `write_multiple`: it takes REGION_WRITE_MULTI. `max_dma_maps`: DMA regions that a server takes.
    `migration`: the server's device can migrate.
    """

    major: int = MAJOR
    minor: int = MINOR
    max_transfer: int = MAX_TRANSFER
    max_fds: int = 1
    write_multiple: bool = False
    max_dma_maps: int = MAX_DMA_MAPS
    migration: bool = False

    def message(self) -> bytes:
        """Returns the VERSION message's payload."""
        offer = {
            "max_msg_fds": self.max_fds,
            "max_data_xfer_size": self.max_transfer,
            "write_multiple": self.write_multiple,
        }
        text = json.dumps({"capabilities": offer})
        return VERSION.pack(self.major, self.minor) + text.encode() + b"\0"

    @classmethod
    def parse(cls, payload: bytes) -> Capabilities:
        """Parses a VERSION message's payload. Raises ValueError if it is malformed."""
        if len(payload) < VERSION.size:
            raise ValueError(f"the version message has {len(payload)} bytes, needs {VERSION.size}")
        major, minor = VERSION.unpack_from(payload)
        if (major, minor) > (MAJOR, MINOR):
            raise ValueError(f"version {major}.{minor} is not {MAJOR}.{MINOR}")
        offer = _offer(payload[VERSION.size :])
        return cls(
            major,
            minor,
            _number(offer, "max_data_xfer_size", MAX_TRANSFER),
            _number(offer, "max_msg_fds", 1),
            offer.get("write_multiple") is True,
            _number(offer, "max_dma_maps", MAX_DMA_MAPS),
            isinstance(offer.get("migration"), dict),
        )


def _offer(text: bytes) -> dict[str, object]:
    """Returns the `capabilities` in the JSON after a version, where everything is optional."""
    if not text:
        return {}
    if text[-1]:
        raise ValueError("the version's JSON does not end in NUL")
    try:
        document = json.loads(text[:-1])
    except RecursionError as error:
        raise ValueError("the version's JSON is nested too deeply") from error
    offer = document.get("capabilities", {}) if isinstance(document, dict) else None
    if not isinstance(offer, dict):
        raise ValueError("the version's JSON holds no capabilities")
    return offer


def _number(offer: dict[str, object], name: str, default: int) -> int:
    value = offer.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 1 << 32:
        raise ValueError(f"{name} is {value!r}")
    return value
