"""Commands for the adapter as a whole: its master, capabilities, log and clocks."""

from __future__ import annotations

from enum import IntEnum, IntFlag

from vmcoredd.chip.firmware.codes import Op
from vmcoredd.chip.firmware.message import ALLOC, OF_FUNCTION, FwCommand, header
from vmcoredd.chip.layout import reserved, u8, u16, u32, u64, word


class Hello(FwCommand):
    """Announce a driver. The reply names the master and says whether the device is initialised."""

    OPCODE = Op.HELLO
    _fields_ = (
        *header(),
        *word(
            "err:31:1 init:30:1 masterdis:29:1 masterforce:28:1 mbmaster:24:4"
            " mbasyncnotint:23:1 mbasyncnot:20:3 stage:17:3 clearinit:16:1"
        ),
        ("fwrev", u32),
    )


class Bye(FwCommand):
    """Sign the driver off."""

    OPCODE = Op.BYE
    _fields_ = (*header(), *reserved(8))


class Reset(FwCommand):
    """Reset the device (`val`: PL_RST's bits), or halt the firmware."""

    OPCODE = Op.RESET
    _fields_ = (*header(), ("val", u32), *word("halt:31:1"))


class Initialize(FwCommand):
    """Initialise the device with the capabilities that CAPS_CONFIG set."""

    OPCODE = Op.INITIALIZE
    _fields_ = (*header(), *reserved(8))


class NicCaps(IntFlag):
    """CapsConfig.niccaps (enum fw_caps_config_nic)."""

    NIC = 0x01
    VM = 0x02
    HASHFILTER = 0x20
    ETHOFLD = 0x40


class CapsConfig(FwCommand):
    """Read or write the capabilities of the device, and the configuration file they come from."""

    OPCODE = Op.CAPS_CONFIG
    _fields_ = (
        *header("", "cfvalid:27:1 memtype_cf:24:3 memaddr64k_cf:16:8"),
        ("r2", u32),
        ("hwmbitmap", u32),
        ("nbmcaps", u16),
        ("linkcaps", u16),
        ("switchcaps", u16),
        ("r3", u16),
        ("niccaps", u16),
        ("ofldcaps", u16),
        ("rdmacaps", u16),
        ("cryptocaps", u16),
        ("iscsicaps", u16),
        ("fcoecaps", u16),
        ("cfcsum", u32),
        ("finiver", u32),
        ("finicsum", u32),
    )


class Pfvf(FwCommand):
    """Resources of a function: queues, virtual interfaces, exact filters, access rights."""

    OPCODE = Op.PFVF
    _fields_ = (
        *header(OF_FUNCTION),
        *word("niqflint:20:12 niq:0:20"),
        *word("type:31:1 cmask:24:4 pmask:20:4 neq:0:20"),
        *word("tc:24:8 nvi:16:8 nexactf:0:16"),
        *word("r_caps:24:8 wx_caps:16:8 nethctrl:0:16"),
        ("nricq", u16),
        ("nriqp", u16),
        ("r4", u32),
    )


class Devlog(FwCommand):
    """Locate the device log: memory type, address / 16, and size in bytes."""

    OPCODE = Op.DEVLOG
    _fields_ = (
        *header(),
        ("level", u8),
        ("r2", u8 * 7),
        *word("memtype_devlog:28:4 memaddr16_devlog:0:28"),
        ("memsize_devlog", u32),
        *reserved(8),
    )


class Hma(FwCommand):
    """Pages of host memory for the adapter; `soc` and `eoc` mark the first and last command."""

    OPCODE = Op.HMA
    _fields_ = (
        *header(),
        *word("mode:31:1 soc:30:1 eoc:29:1 pcie_params:0:27"),
        *word("naddr:12:6 size:0:12"),
        *word("addr_size:11:21"),
        ("r6", u32),
        ("phy_address", u64 * 5),
    )


class Clip(FwCommand):
    """Add or remove a local IPv6 address in the compressed local IP (CLIP) table."""

    OPCODE = Op.CLIP
    _fields_ = (*header("", ALLOC), ("ip_hi", u64), ("ip_lo", u64), *reserved(8))


class PtpSub(IntEnum):
    """Ptp.sc (enum fw_ptp_subop)."""

    INIT_TIMER = 0x00
    TX_TYPE = 0x01
    RXTIME_STAMP = 0x08
    RDRX_TYPE = 0x09
    ADJ_FREQ = 0x10
    ADJ_TIME = 0x11
    ADJ_FTIME = 0x12
    WALL_CLOCK = 0x13
    GET_TIME = 0x14
    SET_TIME = 0x15


class Ptp(FwCommand):
    """The precision clock. `sc` is a PtpSub; `PtpInit` and `PtpTime` name its operands."""

    OPCODE = Op.PTP
    _fields_ = (*header("portid:0:4"), ("sc", u8), ("operand", u8 * 15), *reserved(8))

    @classmethod
    def variant(cls, data: bytes) -> type[FwCommand]:
        sub = cls.from_bytes(data).sc
        return PtpTime if sub >= PtpSub.ADJ_FREQ else PtpInit


class PtpInit(FwCommand):
    """Time stamps of a transmit channel or of received frames (sub-codes below ADJ_FREQ)."""

    OPCODE = Op.PTP
    _fields_ = (
        *header("portid:0:4"),
        ("sc", u8),
        ("txchan", u8),
        ("absid", u16),
        ("mode", u16),
        ("r3", u16),
        *reserved(16),
    )


class PtpTime(FwCommand):
    """Adjust, read or set the clock; `tm` in nanoseconds, `ppb` parts per billion."""

    OPCODE = Op.PTP
    _fields_ = (
        *header("portid:0:4"),
        ("sc", u8),
        ("sign", u8),
        ("r3", u16),
        ("ppb", u32),
        ("tm", u64),
        *reserved(8),
    )


class DebugAssert(FwCommand):
    """A failed assertion of the firmware, which takes the place of a reply (type 0)."""

    OPCODE = Op.DEBUG
    _fields_ = (
        *header("type:0:8"),
        ("fcid", u32),
        ("line", u32),
        ("x", u32),
        ("y", u32),
        ("filename", u8 * 16),
        *reserved(8),
    )

    @classmethod
    def variant(cls, data: bytes) -> type[FwCommand]:
        return DebugPrint if cls.from_bytes(data).type == 1 else cls


class DebugPrint(FwCommand):
    """A line of the firmware's debug output (type 1): the index of its format and four operands."""

    OPCODE = Op.DEBUG
    _fields_ = (
        *header("type:0:8"),
        ("dprtstridx", u16),
        ("r3", u16 * 3),
        ("dprtstrparam", u32 * 4),
        *reserved(16),
    )
