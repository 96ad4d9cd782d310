"""The simplest card that the driver can dump: plain memory, and the few registers that must react.

It needs no emulator. Busy bits clear at once, the firmware is dead, and indirect registers return
fixed data.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from functools import partial

from .cards import Card, Region

BAR0_SIZE = 0x80000
WORDS = {
    0x19400: {5: 0x400, 6: 0x800},  # PL_WHOAMI: PF4
    0x1943C: {5: 1, 6: 0},  # PL_REV
    0x30D8: {5: 0x30100000, 6: 0x30100000},  # PCIE_FW_PF[7]: device log, 128 KiB at 16 MiB
    0x30B8: {5: 0x80000000, 6: 0x80000000},  # PCIE_FW: error, so the driver does not wait
    0x3068: {5: 0x0001B801, 6: 0x0001B801},  # PCIE_MEM_ACCESS_BASE_WIN: 2 KiB at 0x1b800
    0x19D94: {5: 1, 6: 1},  # LE_DB_DBGI_RSP_STATUS: valid
    0x7B4C: {5: 8 << 24, 6: 8 << 24},  # CIM_QUEUE_CONFIG_CTRL: each queue 8 * 256 bytes
    0x1084: {5: 0x10000, 6: 0x10000},  # context bases in EDC0: egress, ingress, free list cache
    0x1088: {5: 0x28000, 6: 0x28000},
    0x108C: {5: 0x40000, 6: 0x40000},
    0x7D20: {5: 0x60000, 6: 0x60000},  # payload regions of one 4 KiB page each
    0x7D34: {5: 0x1000, 6: 0x1000},
    0x7D38: {5: 1, 6: 1},
    0x7D28: {5: 0x70000, 6: 0x70000},
    0x7D2C: {5: 0x1000, 6: 0x1000},
    0x7D30: {5: 1, 6: 1},
}
SF_DATA, SF_OP, FLASH_ID = 0x193F8, 0x193FC, 0x1740EF
READ_ID_ANSWER = 0x14
CIM_HOST_CTRL, CIM_HOST_DATA = 0x7B50, 0x7B54
UP_UP_DBG_LA_CFG, RDEN = 0x140, 0x2
CIM_HOST_WRITE = 1 << 16
RSS_LKP, ROW_VALID = 0x7DEC, 1 << 31
SELF_CLEARING = (0x7B60, 0x7B64, 0x11FC, 0x19CF0)  # commands complete at once
VPD_FLAG = 1 << 15
CAP_VPD, CAP_PCIE = 0x40, 0x70
RELAXED_ORDERING = 1 << 4
#: Words that stay zero on a card of noise: busy bits, hash tables, absent memories.
QUIET = (
    SF_DATA, SF_OP, CIM_HOST_CTRL, CIM_HOST_DATA, *SELF_CLEARING,
    0x19C04, 0x7808, 0x1090,
)  # fmt: skip


class RamCard:
    """A T5 or T6 (`generation` 5 or 6). `edc` and `mc` are sizes in MiB.

    With a `seed`, words are noise unless they determine what can be dumped, or how much.
    """

    def __init__(
        self, generation: int, *, edc: int = 0, mc: int = 0, seed: int | None = None
    ) -> None:
        self.bar0 = bytearray(BAR0_SIZE)
        self.cim: dict[int, int] = {}
        if seed is not None:
            self._fill(random.Random(seed))
        self.config = bytearray(0x1000)
        self.vpd = _vpd_image()
        for offset, value in WORDS.items():
            self.put(offset, value[generation])
        self.writes: dict[int, Callable[[int], None]] = {
            SF_OP: self._serial_flash,
            CIM_HOST_CTRL: self._cim_host,
            RSS_LKP: lambda _: self.put(RSS_LKP, ROW_VALID),
            **{offset: partial(self._done, offset) for offset in SELF_CLEARING},
        }
        self._set_memories(edc, mc)
        struct.pack_into("<HH", self.config, 0, 0x1425, {5: 0x540D, 6: 0x640D}[generation])
        self.config[0x06] = 0x10  # there are capabilities
        self.config[0x34] = CAP_VPD
        struct.pack_into("<BB", self.config, CAP_VPD, 0x03, CAP_PCIE)
        struct.pack_into("<BBH", self.config, CAP_PCIE, 0x10, 0, 2)
        struct.pack_into("<H", self.config, CAP_PCIE + 8, RELAXED_ORDERING)

    @property
    def card(self) -> Card:
        """The card as a harness takes it."""
        return Card(
            bar0=Region(self.bar0_access, BAR0_SIZE),
            config=Region(self.config_access, len(self.config)),
        )

    def put(self, offset: int, value: int) -> None:
        struct.pack_into("<I", self.bar0, offset, value)

    def bar0_access(self, offset: int, length: int, data: bytes | None) -> bytes | None:
        if data is None:
            return bytes(self.bar0[offset : offset + length])
        self.bar0[offset : offset + length] = data
        if offset in self.writes:
            self.writes[offset](int.from_bytes(data, "little"))
        return None

    def config_access(self, offset: int, length: int, data: bytes | None) -> bytes | None:
        if data is None:
            return bytes(self.config[offset : offset + length])
        self.config[offset : offset + length] = data
        if offset <= CAP_VPD + 2 < offset + length:
            (address,) = struct.unpack_from("<H", self.config, CAP_VPD + 2)
            self.config[CAP_VPD + 4 : CAP_VPD + 8] = self.vpd[address : address + 4]
            struct.pack_into("<H", self.config, CAP_VPD + 2, address | VPD_FLAG)
        return None

    def _fill(self, noise: random.Random) -> None:
        self.bar0[:] = noise.randbytes(BAR0_SIZE)
        for offset in QUIET:
            self.put(offset, 0)
        self.cim = {address: noise.getrandbits(32) for address in range(0, 0x5000, 4)}
        self.cim[UP_UP_DBG_LA_CFG] &= ~RDEN

    def _set_memories(self, edc: int, mc: int) -> None:
        self.put(0x77D8, (3 if edc else 0) | (4 if mc else 0))
        self.put(0x77C0, edc)
        self.put(0x77C4, edc << 16 | edc)
        self.put(0x77C8, 2 * edc << 16 | mc)

    def _done(self, offset: int, _: int) -> None:
        self.put(offset, 0)

    def _serial_flash(self, operation: int) -> None:
        self.put(SF_OP, 0)
        if operation == READ_ID_ANSWER:
            self.put(SF_DATA, FLASH_ID)

    def _cim_host(self, command: int) -> None:
        address = command & ~CIM_HOST_WRITE
        if command & CIM_HOST_WRITE:
            (value,) = struct.unpack_from("<I", self.bar0, CIM_HOST_DATA)
            self.cim[address] = value & ~(RDEN if address == UP_UP_DBG_LA_CFG else 0)
        self.put(CIM_HOST_CTRL, address)
        self.put(CIM_HOST_DATA, self.cim.get(address, 0))


def _vpd_image() -> bytes:
    """Returns 2 KiB with the VPD at 0x400; the driver expects two digits at 0x4c7."""
    identifier = b"Plain memory"
    fields = b"".join(
        keyword + bytes([len(value)]) + value
        for keyword, value in ((b"PN", b"RAM"), (b"SN", b"1"), (b"NA", b"000743000001"))
    )
    head = b"\x82" + struct.pack("<H", len(identifier)) + identifier
    head += b"\x90" + struct.pack("<H", len(fields) + 4) + fields + b"RV\x01"
    image = bytearray(2048)
    image[0x400 : 0x400 + len(head)] = head
    image[0x400 + len(head)] = -sum(head) & 0xFF
    image[0x4C7:0x4C9] = b"12"
    return bytes(image)
