"""What a server shows of its device: everything that can be asked for without an effect on it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from . import config, pci
from .client import Client
from .device import DeviceInfo, Irq, Region
from .errors import Refused
from .protocol import (
    CONFIG_REGION,
    MIGRATION_TYPE,
    Capabilities,
    DeviceFlag,
    IrqFlag,
    IrqIndex,
    RegionFlag,
)

REGION_NAMES = (*(f"BAR{bar}" for bar in range(6)), "ROM", "config", "VGA")


@dataclass(frozen=True)
class Description:
    """What a server shows. `config` is None, and `note` says why, if there is no config space."""

    socket: str
    version: Capabilities
    device: DeviceInfo
    regions: tuple[Region, ...]
    irqs: tuple[Irq, ...]
    config: config.Header | None
    note: str = ""

    def json(self) -> dict[str, object]:
        """Returns the description as what `json.dumps` takes. Sizes and offsets are in bytes."""
        return {
            "socket": self.socket,
            "version": {
                "major": self.version.major,
                "minor": self.version.minor,
                "max_data_xfer_size": self.version.max_transfer,
                "max_msg_fds": self.version.max_fds,
                "max_dma_maps": self.version.max_dma_maps,
                "write_multiple": self.version.write_multiple,
                "migration": self.version.migration,
            },
            "device": {
                "flags": flag_names(DeviceFlag(self.device.flags)),
                "regions": self.device.regions,
                "interrupt_indexes": self.device.irqs,
            },
            "regions": [_region(region) for region in self.regions if region.size],
            "interrupts": [_irq(irq) for irq in self.irqs if irq.count],
            "config": _config(self.config) if self.config else None,
            "note": self.note,
        }

    def lines(self) -> Iterator[str]:
        """Yields the description in words, line by line."""
        version = self.version
        yield f"vfio-user {version.major}.{version.minor} at {self.socket}"
        yield (
            f"  max_data_xfer_size {version.max_transfer}, max_msg_fds {version.max_fds}, "
            f"max_dma_maps {version.max_dma_maps}"
            + (", write_multiple" if version.write_multiple else "")
            + (", migration" if version.migration else "")
        )
        yield f"device: {', '.join(flag_names(DeviceFlag(self.device.flags)))}"
        yield f"regions ({self.device.regions}, those of 0 bytes are not shown):"
        for region in self.regions:
            if region.size:
                flags = " ".join(flag_names(region.flags))
                yield f"  {region.index} {region_name(region):9} {region.size:#10x} bytes  {flags}"
                for area in region.areas:
                    yield f"    can be mapped: {area.length:#x} bytes at {area.offset:#x}"
        yield f"interrupts ({self.device.irqs} indexes, those without vectors are not shown):"
        for irq in self.irqs:
            if irq.count:
                flags = " ".join(flag_names(IrqFlag(irq.flags)))
                yield f"  {irq.index} {irq_name(irq):9} {irq.count:10} vectors  {flags}"
        if header := self.config:
            subsystem = "{:04x}:{:04x}".format(*header.subsystem)
            yield (
                f"config space: {header.vendor:04x}:{header.device:04x}, subsystem {subsystem}, "
                f"revision {header.revision:02x}"
            )
            yield f"  class {header.device_class:06x}, {header.class_name}"
            for bar in header.bars:
                yield f"  BAR{bar.index}: {bar.kind}, {bar.value:#x}"
            for cap in header.capabilities:
                kind = "extended capability" if cap.extended else "capability"
                yield f"  {kind} {cap.id:#04x} at {cap.offset:#x}: {cap.name}"
        if self.note:
            yield f"note: {self.note}"


def probe(path: str | os.PathLike[str], deadline: float = 5.0) -> Description:
    """Connects to the server at `path` and asks for all that describes its device.

    No BAR is accessed; config space is read. `deadline`: as for `Client`. Raises ConnectError,
    ConnectionLost, Refused.
    """
    with Client(path, deadline=deadline) as client:
        header, note = _header(client)
        return Description(
            os.fspath(path),
            client.capabilities,
            client.device_info,
            client.regions,
            client.irqs,
            header,
            note,
        )


def _header(client: Client) -> tuple[config.Header | None, str]:
    for region in client.regions[CONFIG_REGION : CONFIG_REGION + 1]:
        if region.size:  # some servers forget the flags
            try:
                header = config.parse(_read(client, min(region.size, pci.CONFIG_SIZE)))
            except (Refused, ValueError) as error:
                return None, str(error)
            return header, header.note
    return None, "there is no config space"


def _read(client: Client, size: int) -> bytes:
    """Reads config space, at once or, if the server refuses that, word by word as a guest does."""
    try:
        return client.region_read(CONFIG_REGION, 0, size)
    except Refused:
        words = (client.region_read(CONFIG_REGION, at, 4) for at in range(0, size - size % 4, 4))
        return b"".join(words)


def region_name(region: Region) -> str:
    """Returns what VFIO calls a region."""
    if region.type == MIGRATION_TYPE:
        return "migration"
    if region.index < len(REGION_NAMES):
        return REGION_NAMES[region.index]
    return f"region {region.index}"


def irq_name(irq: Irq) -> str:
    """Returns what VFIO calls an interrupt index."""
    known = irq.index in list(IrqIndex)
    return IrqIndex(irq.index).name if known else f"interrupt {irq.index}"


def flag_names(flags: DeviceFlag | RegionFlag | IrqFlag) -> list[str]:
    """Returns the names of flags, in lower case; a number for what has no name."""
    known = [flag for flag in type(flags) if flag in flags]
    rest = int(flags) & ~sum(int(flag) for flag in known)
    return [str(flag.name).lower() for flag in known] + ([hex(rest)] if rest else [])


def _region(region: Region) -> dict[str, object]:
    return {
        "index": region.index,
        "name": region_name(region),
        "size": region.size,
        "flags": flag_names(region.flags),
        "type": list(region.type) if region.type else None,
        "areas": [{"offset": area.offset, "size": area.length} for area in region.areas],
    }


def _irq(irq: Irq) -> dict[str, object]:
    flags = flag_names(IrqFlag(irq.flags))
    return {"index": irq.index, "name": irq_name(irq), "count": irq.count, "flags": flags}


def _config(header: config.Header) -> dict[str, object]:
    return {
        "vendor": header.vendor,
        "device": header.device,
        "subsystem_vendor": header.subsystem[0],
        "subsystem_device": header.subsystem[1],
        "class": header.device_class,
        "class_name": header.class_name,
        "revision": header.revision,
        "command": header.command,
        "status": header.status,
        "interrupt_pin": header.interrupt_pin,
        "bars": [{"index": bar.index, "kind": bar.kind, "value": bar.value} for bar in header.bars],
        "capabilities": [
            {"id": cap.id, "name": cap.name, "offset": cap.offset, "extended": cap.extended}
            for cap in header.capabilities
        ],
    }
