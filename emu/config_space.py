"""The function's PCI configuration space: header, capabilities, writable bits, VPD.

All accesses are little-endian and may have any length; a mask says which bits a write changes.
"""

from __future__ import annotations

import errno
import logging
import struct
from collections.abc import Callable, Mapping
from ctypes import sizeof
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from pyvfio_user import LimitedLog
from vmcoredd.chip import pci
from vmcoredd.chip.layout import LittleStruct
from vmcoredd.chip.pci import Bar, Cap, ExtCap
from vmcoredd.chip.vpd import WINDOW_BYTES
from vmcoredd.emu._cffi import ffi, lib
from vmcoredd.emu.errors import AccessError
from vmcoredd.emu.vpd import vpd_image

if TYPE_CHECKING:
    from vmcoredd.emu import profile
    from vmcoredd.emu.scenario import Scenario
    from vmcoredd.emu.spaces import Space

log = logging.getLogger("emu")

COMMAND, STATUS = pci.ConfigHeader.command.offset, pci.ConfigHeader.status.offset
BARS, LINE = pci.ConfigHeader.bar.offset, pci.ConfigHeader.interrupt_line.offset
COMMAND_BITS = 0x0547
"""IO, memory, master, parity, SERR, INTx disable."""
STATUS_CLEARS = 0xF900
"""The errors that a function has met."""
MSIX_CTRL, MSIX_BITS = 2, 0xC000
MSI_CTRL, MSI_BITS = 2, 0x0001
MSI_ADDRESS, MSI_ADDRESS_BITS = 4, 0xFFFF_FFFF_FFFF_FFFC
MSI_DATA = 12
PM_CSR, PM_BITS = 4, 0x0103
PM_CSR_AT, D3 = pci.CAP_AT[Cap.PM] + PM_CSR, 3
MSI_AT, MSIX_AT = pci.CAP_AT[Cap.MSI], pci.CAP_AT[Cap.MSIX]
CONTROLS = (COMMAND, COMMAND + 1, PM_CSR_AT, MSI_AT + MSI_CTRL, MSIX_AT + MSIX_CTRL + 1)
"""The bytes that say what the card may do."""
DEVCTL_BITS, DEVCTL2_BITS, LNKCTL_BITS = 0x7FFF, 0x041F, 0x01FB
LNKCTL = 0x10
VPD_AT = pci.CAP_AT[Cap.VPD]
VPD_ADDRESS, VPD_DATA, VPD_FLAG = 2, 4, 0x8000
FLR_AT, FLR_BIT = pci.CAP_AT[Cap.EXP] + pci.EXP_DEVCTL + 1, 0x80
"""The upper byte of DEVCTL, and the bit in it that starts a function level reset."""
MSIX_VECTORS = 128
PBA_OFFSET = 0x1000
EXP_AT, ERR_AT = pci.CAP_AT[Cap.EXP], pci.EXT_CAP_AT[ExtCap.ERR]
LNKSTA_AT = EXP_AT + pci.EXP_LNKSTA
HEADER_LOG_AT = ERR_AT + pci.ERR_HEADER_LOG
STICKY = (
    (LNKSTA_AT, 2),
    (ERR_AT + pci.ERR_UNCOR_STATUS, 4),
    (ERR_AT + pci.ERR_COR_STATUS, 4),
    (ERR_AT + pci.ERR_CAP, 4),
    (HEADER_LOG_AT, pci.HEADER_LOG_BYTES),
)
"""Offset and bytes of what a function level reset leaves: it retrains no link, forgets no error."""
SERIAL_OUI_FILL = b"\xff\xfe"


class Control(NamedTuple):
    """What the host allows the card."""

    bus_master: bool
    """To access its memory: bus mastering is on, and the power too."""
    intx: bool
    msi: bool
    msix: bool
    msix_masked: bool
    """All vectors are."""


class ConfigSpace:
    """4 KiB of configuration space, stored in the words of `space` from `first` on."""

    def __init__(
        self, core: Any, space: Space, first: int, scenario: Scenario, bars: Mapping[int, int]
    ) -> None:
        """`core` is the card's `struct core`."""
        memory = memoryview(space.words)[first : first + pci.CONFIG_BYTES // 4].cast("B")
        self.log = LimitedLog(log)
        self._memory = memory
        self.on_reset: Callable[[], None] = lambda: None
        """Called for a function level reset, and when power comes back (D3 to D0)."""
        self.on_control: Callable[[Control], None] = lambda _: None
        """Called when what the card may do may have changed."""
        self._writable = bytearray(pci.CONFIG_BYTES)
        self._clears = bytearray(pci.CONFIG_BYTES)
        self.vpd = bytearray(vpd_image(scenario.profile, scenario.identity))
        self.vpd_polls = 0
        """The number of reads of the VPD flag that show an access as unfinished."""
        self.status = ffi.cast("uint8_t *", space.pointer(first)) + STATUS
        """The lower byte of STATUS, in which the engine shows INTx."""
        self._handle = ffi.new_handle(self)
        self._c = ffi.new("struct config *")
        self._c.bytes, self._c.size = ffi.cast("uint8_t *", space.pointer(first)), len(memory)
        self._c.core = core
        self._c.handle, self._c.access = self._handle, lib.emu_on_config
        self._fill(scenario, bars)
        self._initial = bytes(memory)

    # Content

    def _fill(self, scenario: Scenario, bars: Mapping[int, int]) -> None:
        self._memory[:] = bytes(pci.CONFIG_BYTES)
        self._header(scenario.profile.card, bars)
        self._capability(Cap.PM, pci.PmCap(id=Cap.PM, next=MSI_AT, version=3))
        self._capability(Cap.MSI, pci.MsiCap(id=Cap.MSI, next=pci.CAP_AT[Cap.EXP], can_64=1))
        self._capability(Cap.EXP, self._express())
        self._capability(Cap.MSIX, self._msix())
        self._capability(Cap.VPD, pci.VpdCap(id=Cap.VPD))
        self._extended(scenario.identity.base_mac)
        self._allow(COMMAND, COMMAND_BITS, 2)
        self._clears[STATUS : STATUS + 2] = STATUS_CLEARS.to_bytes(2, "little")
        self._allow(LINE, 0xFF, 1)
        self._allow(pci.CAP_AT[Cap.PM] + PM_CSR, PM_BITS, 2)
        self._allow(pci.CAP_AT[Cap.EXP] + pci.EXP_DEVCTL, DEVCTL_BITS, 2)
        self._allow(pci.CAP_AT[Cap.EXP] + pci.EXP_DEVCTL2, DEVCTL2_BITS, 2)
        self._allow(pci.CAP_AT[Cap.EXP] + LNKCTL, LNKCTL_BITS, 2)
        self._allow(MSI_AT + MSI_CTRL, MSI_BITS, 2)
        self._allow(MSI_AT + MSI_ADDRESS, MSI_ADDRESS_BITS, 8)
        self._allow(MSI_AT + MSI_DATA, 0xFFFF, 2)
        self._allow(MSIX_AT + MSIX_CTRL, MSIX_BITS, 2)
        self._allow(pci.CAP_AT[Cap.VPD] + VPD_DATA, 0xFFFFFFFF, 4)

    def _header(self, card: profile.CardInfo, bars: Mapping[int, int]) -> None:
        header = pci.ConfigHeader(
            vendor=pci.VENDOR_CHELSIO,
            device=card.device_id,
            status=pci.Status.CAP_LIST,
            class_code=pci.CLASS_ETHERNET,
            revision=card.revision,
            subsystem_vendor=pci.VENDOR_CHELSIO,
            subsystem=card.subsystem,
            capability_list=pci.CAP_AT[Cap.PM],
            interrupt_pin=1,
        )
        for bar, size in bars.items():
            flags = int(pci.BarFlag.MEM_TYPE_64)
            flags |= int(pci.BarFlag.MEM_PREFETCH) if bar == Bar.DOORBELLS else 0
            header.bar[bar] = flags
            self._allow(BARS + 4 * bar, ~(size - 1) & 0xFFFFFFFFFFFFFFFF, 8)
        self._memory[: sizeof(header)] = bytes(header)

    def _capability(self, cap: Cap, content: LittleStruct) -> None:
        at = pci.CAP_AT[cap]
        self._memory[at : at + sizeof(content)] = bytes(content)

    def _express(self) -> LittleStruct:
        return pci.ExpressCap(
            id=Cap.EXP,
            next=pci.CAP_AT[Cap.MSIX],
            version=2,
            can_flr=1,
            role_based_errors=1,
            can_ext_tag=1,
            max_payload=1,
            relax_en=1,
            readrq=2,
            width=8,
            speed=pci.LinkSpeed.GT_8_0,
            nlw=8,
            cls=pci.LinkSpeed.GT_8_0,
            comp_tmout_dis=1,
            comp_tmout_ranges=0xF,
            lnkcap2=sum(1 << speed for speed in pci.LinkSpeed),
            lnkctl2=pci.LinkSpeed.GT_8_0,
        )

    def _msix(self) -> LittleStruct:
        return pci.MsixCap(
            id=Cap.MSIX,
            next=pci.CAP_AT[Cap.VPD],
            table_size=MSIX_VECTORS - 1,
            table_bir=Bar.MSIX,
            pba_bir=Bar.MSIX,
            pba_offset=PBA_OFFSET // 8,
        )

    def _extended(self, mac: bytes) -> None:
        err, dsn = ERR_AT, pci.EXT_CAP_AT[ExtCap.DSN]
        head = pci.ExtCapHeader(id=ExtCap.ERR, version=2, next=dsn)
        self._memory[err : err + 4] = bytes(head)
        self._memory[dsn : dsn + 4] = bytes(pci.ExtCapHeader(id=ExtCap.DSN, version=1))
        serial = mac[:3] + SERIAL_OUI_FILL + mac[3:]
        self._memory[dsn + 4 : dsn + 12] = serial[::-1]
        for status in (pci.ERR_UNCOR_STATUS, pci.ERR_COR_STATUS):
            self._clears[err + status : err + status + 4] = b"\xff" * 4
            self._allow(err + status + 4, 0xFFFFFFFF, 4)

    def _allow(self, offset: int, bits: int, size: int) -> None:
        self._writable[offset : offset + size] = bits.to_bytes(size, "little")

    # Accesses

    @property
    def native(self) -> tuple[int, int]:
        """The C entry point as integers: a `region_access` and its cookie."""
        function = ffi.addressof(lib, "emu_config_access")
        return int(ffi.cast("intptr_t", function)), int(ffi.cast("intptr_t", self._c))

    def guest_read(self, offset: int, length: int) -> bytes:
        """As `read`, through the entry point."""
        self._check(offset, length, "read")
        data = ffi.new("uint8_t[]", length)
        if code := lib.emu_config_access(self._c, offset, data, length, 0):
            raise AccessError(-code, "config", offset, length, "read")
        return bytes(ffi.buffer(data))

    def guest_write(self, offset: int, data: bytes) -> None:
        """As `write`, through the entry point."""
        self._check(offset, len(data), "write")
        given = ffi.from_buffer(data)
        if code := lib.emu_config_access(self._c, offset, given, len(data), 1):
            raise AccessError(-code, "config", offset, len(data), "write")

    def read(self, offset: int, length: int) -> bytes:
        """Returns `length` bytes; AccessError past the end."""
        self._check(offset, length, "read")
        data = bytes(self._memory[offset : offset + length])
        if self._c.polls and _covers(offset, data, VPD_AT + VPD_ADDRESS + 1):
            self._c.polls -= 1
            if not self._c.polls:
                self._vpd_finish()
        return data

    def write(self, offset: int, data: bytes) -> None:
        """Writes the writable bits; AccessError past the end."""
        self._check(offset, len(data), "write")
        touched = slice(offset, offset + len(data))
        old, mask, clears = (
            int.from_bytes(part[touched], "little")
            for part in (self._memory, self._writable, self._clears)
        )
        value = int.from_bytes(data, "little")
        new = (old & ~mask | value & mask) & ~(value & clears)
        before = self._power()
        self._memory[touched] = new.to_bytes(len(data), "little")
        if _covers(offset, data, VPD_AT + VPD_ADDRESS + 1):
            self._vpd_access(offset, data)
        if _covers(offset, data, FLR_AT) and data[FLR_AT - offset] & FLR_BIT:
            self.on_reset()
        if before == D3 and self._power() == 0:
            self.on_reset()  # PM_CSR has no No_Soft_Reset
        if any(_covers(offset, data, at) for at in CONTROLS):
            self.on_control(self.control())

    def _power(self) -> int:
        return self._memory[PM_CSR_AT] & D3

    def control(self) -> Control:
        """Returns what the card may do."""
        command = pci.PciCommand(self._memory[COMMAND] | self._memory[COMMAND + 1] << 8)
        msi = pci.MsiCap.from_bytes(bytes(self._memory[MSI_AT:]))
        msix = pci.MsixCap.from_bytes(bytes(self._memory[MSIX_AT:]))
        return Control(
            bus_master=bool(command & pci.PciCommand.MASTER) and self._power() == 0,
            intx=not command & pci.PciCommand.INTX_DISABLE,
            msi=bool(msi.enable),
            msix=bool(msix.enable),
            msix_masked=bool(msix.function_mask),
        )

    def _check(self, offset: int, length: int, verb: str) -> None:
        if offset < 0 or length <= 0 or offset + length > pci.CONFIG_BYTES:
            raise AccessError(errno.EINVAL, "config", offset, length, verb)

    def _vpd_access(self, offset: int, data: bytes) -> None:
        """Starts a VPD access, which finishes at once if `vpd_polls` is 0."""
        at = VPD_AT + VPD_ADDRESS
        self._memory[at : at + 2] = data[max(at - offset, 0) : at - offset + 2]
        self._c.polls = self.vpd_polls
        if not self._c.polls:
            self._vpd_finish()

    def _vpd_finish(self) -> None:
        """Reads or writes the VPD word, and inverts the flag."""
        at = VPD_AT + VPD_ADDRESS
        (address,) = struct.unpack_from("<H", self._memory, at)
        start = address & ~VPD_FLAG & ~3
        if address & VPD_FLAG:
            self.vpd[start : start + 4] = self._memory[at + 2 : at + 6]
        else:
            self._memory[at + 2 : at + 6] = self._vpd_word(start)
        struct.pack_into("<H", self._memory, at, address ^ VPD_FLAG)

    def lose_vpd(self) -> None:
        """Removes the VPD capability's id for good, resets included: no driver finds it."""
        self._memory[VPD_AT] = 0
        self._initial = self._initial[:VPD_AT] + b"\0" + self._initial[VPD_AT + 1 :]

    def _vpd_word(self, start: int) -> bytes:
        return bytes(self.vpd[start : start + 4]) if start < WINDOW_BYTES else b"\xff" * 4

    # Errors

    def report(self, status: int, error: int, seen: int, header: bytes = b"") -> None:
        """Sets a bit of an AER status register, and one of the device status.

        `status` is the register's offset in the capability, `header` the packet's, if it is kept.
        """
        if status == pci.ERR_UNCOR_STATUS and not any(self._memory[ERR_AT + status :][:4]):
            self._set_bits(ERR_AT + pci.ERR_CAP, error.bit_length() - 1, 4)
        self._set_bits(ERR_AT + status, error, 4)
        self._set_bits(EXP_AT + pci.EXP_DEVSTA, seen, 2)
        if header:
            self._memory[HEADER_LOG_AT : HEADER_LOG_AT + len(header)] = header

    def receive_master_abort(self) -> None:
        """Notes that a request of the card's was refused: no memory at its address."""
        self._set_bits(STATUS, pci.Status.REC_MASTER_ABORT, 2)

    def _set_bits(self, offset: int, bits: int, size: int) -> None:
        old = int.from_bytes(self._memory[offset : offset + size], "little")
        self._memory[offset : offset + size] = (old | bits).to_bytes(size, "little")

    def train(self, *, width: int = 0, speed: int = 0) -> None:
        """Changes the link's width in lanes, or its speed (`pci.LinkSpeed`); 0 leaves it."""
        link = pci.ExpressCap.from_bytes(bytes(self._memory[EXP_AT:]))
        link.nlw, link.cls = width or link.nlw, speed or link.cls
        self._memory[EXP_AT : EXP_AT + sizeof(link)] = bytes(link)

    # State

    def settle(self) -> None:
        """Takes what it holds for its power-on values: a card was raised."""
        self._initial = bytes(self._memory)
        self.on_control(self.control())

    def reset(self) -> None:
        """Resets all but `STICKY`, as a function level reset does."""
        kept = [(at, bytes(self._memory[at : at + size])) for at, size in STICKY]
        self._memory[:] = self._initial
        for at, data in kept:
            self._memory[at : at + len(data)] = data
        self.on_control(self.control())

    def save(self) -> Any:
        """Returns the state that is not in the words: the VPD, polls that are left, and what a
        reset brings back."""
        return bytes(self.vpd), self.vpd_polls, self._c.polls, self._initial

    def load(self, saved: Any) -> None:
        """Restores what `save()` returned."""
        vpd, self.vpd_polls, self._c.polls, self._initial = saved
        self.vpd[:] = vpd
        self.on_control(self.control())


def _refuse(_kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> int:
    """Returns the errno of a refused access; any other exception is logged and becomes EIO."""
    if isinstance(error, AccessError) and error.errno:
        return -error.errno
    space = trace.tb_frame.f_locals.get("space") if trace else None
    (space.log if space else log).error("configuration space: %s", error, exc_info=error)
    return -errno.EIO


@ffi.def_extern(error=-errno.EIO, onerror=_refuse)
def emu_on_config(handle: Any, offset: int, data: Any, length: int, is_write: int) -> int:
    """C calls this for writes, and for reads that have side effects."""
    space, view = ffi.from_handle(handle), ffi.buffer(data, length)
    if is_write:
        space.write(offset, bytes(view))
    else:
        view[:] = space.read(offset, length)
    return 0


def _covers(offset: int, data: bytes, at: int) -> bool:
    """Returns whether an access of `data` at `offset` covers the byte at `at`."""
    return offset <= at < offset + len(data)
