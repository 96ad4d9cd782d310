"""Reads entities of a dump for their inverses: as far as they are left, and within bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from vmcoredd.chip.layout import LittleStruct, sizeof
from vmcoredd.cudbg.container import DUMP_BYTES
from vmcoredd.cudbg.dump import Dump, NoSuchEntity
from vmcoredd.cudbg.entities.pci import VpdLayout
from vmcoredd.cudbg.errors import DumpFormatError
from vmcoredd.cudbg.remains import Remains

L = TypeVar("L", bound=LittleStruct)


def left_of(dump: Dump, name: str) -> Remains | None:
    """Returns what is left of an entity; None if nothing is, or if its format is not known."""
    try:
        dump.decoder(name)
        remains = dump.remains(name)
    except (DumpFormatError, NoSuchEntity):
        return None
    return remains if remains.held else None


def bytes_of(remains: Remains) -> bytes:
    """Returns an entity's bytes, with zeros for those that are lost."""
    whole = bytearray(min(remains.size, DUMP_BYTES))
    for start, data in remains.parts:
        part = bytes(data[0 : max(len(whole) - start, 0)])
        whole[start : start + len(part)] = part
    return bytes(whole)


def parsed(layout: type[L], blob: bytes) -> L:
    """Returns bytes as a structure, cut or filled up with zeros."""
    return layout.from_bytes(blob[: sizeof(layout)].ljust(sizeof(layout), b"\0"))


@dataclass(frozen=True)
class VitalData:
    """What VPD_DATA tells: texts with the byte behind them, numbers."""

    id: bytes
    serial: bytes
    part: bytes
    mac: bytes
    firmware: tuple[int, ...]
    version: int
    configuration: int


def vital_data(dump: Dump) -> VitalData | None:
    """Returns the vital product data; None if they are not in the dump."""
    left = left_of(dump, "VPD_DATA")
    if left is None:
        return None
    layout = parsed(VpdLayout, bytes_of(left))
    return VitalData(
        id=bytes(layout.mn),
        serial=bytes(layout.sn),
        part=bytes(layout.bn),
        mac=bytes(layout.na),
        firmware=(layout.fw_major, layout.fw_minor, layout.fw_micro, layout.fw_build),
        version=layout.vpd_vers,
        configuration=layout.scfg_vers,
    )
