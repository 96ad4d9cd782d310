"""PCIE_CONFIG, VPD_DATA: the PCI function's configuration space and vital product data."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterator, Sequence

from vmcoredd.chip import Chip
from vmcoredd.chip.flash import FIRMWARE_VERSION
from vmcoredd.chip.layout import U32_MASK, WORD_BYTES, LittleStruct, sizeof, u8, u16, u32
from vmcoredd.chip.momentary import HOSTS_BITS, Kind
from vmcoredd.chip.pci import CONFIG_DUMP_WORDS, Cap
from vmcoredd.chip.vpd import VERSION_ADDRESS, VERSION_BYTES, virtual_address
from vmcoredd.cudbg.decoded import Bytes, Column, Decoded, Fields, Item, Part, Table
from vmcoredd.cudbg.entity import Context, Entity, entity
from vmcoredd.cudbg.errors import Status
from vmcoredd.cudbg.words import REGISTER_COLUMNS, Place, RegisterTable, Word, register_cells
from vmcoredd.hw.errors import DeadDevice, DeviceError
from vmcoredd.hw.flash import Flash
from vmcoredd.hw.io import Cell, Io, Op, Read, Write
from vmcoredd.hw.pci import card_vpd, find_capability, read_vpd, text

# PCIE_CONFIG

_CONFIG_BYTES = CONFIG_DUMP_WORDS * WORD_BYTES


@entity(55, "PCIE_CONFIG")
class PcieConfig(RegisterTable):
    """The PCI configuration space, read through registers (cudbg_collect_pcie_config())."""

    all_zero = (
        "NOT MEASURED: All {count} words are 0, also the vendor's id, which is 1425 on every card."
    )
    raw_bytes = _CONFIG_BYTES
    accesses = 273
    of_host = tuple(HOSTS_BITS)

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        area, r = ctx.area(_CONFIG_BYTES), chip.r
        request = r.PCIE_CFG_SPACE_REQ
        base = request.of(Enable=1, PF=ctx.device.pf)
        offsets = config_offsets(chip)
        ops: list[Op] = [
            Write(request, Cell(plus=base)),
            Read(r.PCIE_CFG_SPACE_DATA),
            Write(request, 0),
        ]
        io.run(ops, offsets, area[: WORD_BYTES * len(offsets)])

    def places(self, chip: Chip) -> Iterator[Place]:
        for i, offset in enumerate(config_offsets(chip)):
            yield Place("pcie_config", offset, i * WORD_BYTES)

    def tables(self, words: Callable[[], list[Word]]) -> list[Part]:
        columns = [Column("offset", "x3"), *REGISTER_COLUMNS]
        rows = [[word.offset, *register_cells(word)] for word in words()]
        return [Table("configuration space", columns, rows)]


def config_offsets(chip: Chip) -> list[int]:
    """Returns the offset in configuration space of every word of PCIE_CONFIG."""
    ranges = chip.ranges("pcie_config")
    return [start + WORD_BYTES * i for start, words in ranges for i in range(words)]


# VPD_DATA


class VpdLayout(LittleStruct):
    """struct cudbg_vpd_data."""

    _fields_ = (
        ("sn", u8 * 25),
        ("bn", u8 * 17),
        ("na", u8 * 13),
        ("mn", u8 * 17),
        ("fw_major", u16),
        ("fw_minor", u16),
        ("fw_micro", u16),
        ("fw_build", u16),
        ("scfg_vers", u32),
        ("vpd_vers", u32),
    )


@entity(58, "VPD_DATA")
class VpdData(Entity):
    """The card's serial and part numbers, its name and address, and its versions
    (cudbg_collect_vpd_data()). A failure has the kernel's plain code, and no `sys_err`."""

    momentary = Kind.IDENTITY
    all_zero = "NOT MEASURED: All bytes are 0: no name, no number and no version was read."
    layouts = (VpdLayout,)
    raw_bytes = sizeof(VpdLayout)
    accesses = 14

    def collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        try:
            self._collect(io, chip, ctx)
        except DeadDevice:
            raise
        except DeviceError as error:
            raise Status(error.code) from error

    def _collect(self, io: Io, chip: Chip, ctx: Context) -> None:
        capability = find_capability(io.config, Cap.VPD)
        vpd = card_vpd(io.config, capability)
        version = Flash(io, chip).read_word(FIRMWARE_VERSION, ctx.device.flash_bytes)
        address = virtual_address(VERSION_ADDRESS, ctx.device.pf)
        number = _unsigned(read_vpd(io.config, capability, address, VERSION_BYTES))
        layout = VpdLayout.from_buffer(ctx.area(sizeof(VpdLayout)))
        layout.sn, layout.bn, layout.na, layout.mn = vpd.serial, vpd.part, vpd.mac, vpd.id
        layout.scfg_vers = io.read(chip.r.PCIE_STATIC_SPARE2)
        layout.vpd_vers = number
        layout.fw_major, layout.fw_minor = version >> 24, version >> 16 & 0xFF
        layout.fw_micro, layout.fw_build = version >> 8 & 0xFF, version & 0xFF

    def decode(self, blob: Bytes, chip: Chip) -> Decoded:
        layout = self.parse(VpdLayout, blob)
        firmware = (layout.fw_major, layout.fw_minor, layout.fw_micro, layout.fw_build)
        items = [
            Item("model", text(bytes(layout.mn))),
            Item("serial number", text(bytes(layout.sn))),
            Item("part number", text(bytes(layout.bn))),
            Item("network address", text(bytes(layout.na))),
            _version(firmware),
            _configuration(layout.scfg_vers),
            Item("VPD version", layout.vpd_vers, form="d"),
        ]
        return Decoded([Fields("card", items)])


def _configuration(version: int) -> Item:
    if version == U32_MASK:
        return Item("serial configuration version", None, "PCIE_STATIC_SPARE2 reads as all ones")
    return Item("serial configuration version", version, form="x")


def _version(numbers: Sequence[int]) -> Item:
    """Returns the version in the flash; erased flash is all ones."""
    for number, why in ((0xFF, "the flash is erased or was not read"), (0, "the flash holds none")):
        if all(one in (number, number << 8 | number) for one in numbers):
            return Item("firmware", None, why)
    return Item("firmware", ".".join(map(str, numbers)), "in the flash")


_NUMBER = re.compile(rb"\+?(?:0[xX]([0-9a-fA-F]+)|(0[0-7]*)|([1-9][0-9]*))\n?\Z")


def _unsigned(digits: bytes) -> int:
    """Parses a number in C's notation (kstrtouint()); raises DeviceError(-EINVAL) for others."""
    match = _NUMBER.match(digits.split(b"\0", 1)[0])
    if not match:
        raise DeviceError(-errno.EINVAL, f"VPD version {digits!r}")
    hexadecimal, octal, decimal = match.groups()
    if hexadecimal:
        return int(hexadecimal, 16)
    return int(octal, 8) if octal else int(decimal)
