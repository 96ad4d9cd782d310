"""The adapter on PCI: ids, configuration header and capabilities.

Names are those of Linux's pci_regs.h and of t4_pci_id_tbl.h. Everything here is little-endian.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

from vmcoredd.chip.layout import LittleStruct, little_word, u8, u16, u32

VENDOR_CHELSIO = 0x1425
CLASS_ETHERNET = 0x020000
CONFIG_BYTES = 4096
"""Configuration space of a PCIe function."""

PF = 4
"""The physical function that the driver uses (cxgb4.h, adap->pf)."""
PFS = 8
"""Physical functions, PF0 to PF7 (t4fw_api.h: PCIE_FW_MASTER has three bits)."""
PF_BASE, PF_STRIDE = 0x1E000, 0x400
"""The registers of each function in BAR0 (t4_regs.h)."""
MYPF_BASE = 0x1B000
"""The offset at which every function sees its own registers (t4_regs.h)."""
WHOAMI = 0x19400
"""PL_WHOAMI on both chips, for a driver that does not know the chip yet."""


def own_view(register: int) -> int:
    """Returns the offset at which a function sees its own copy of a register of function 0."""
    return register - PF_BASE + MYPF_BASE


class Bar(IntEnum):
    """The BARs; each is 64 bits wide and takes two registers."""

    REGISTERS = 0
    """Registers and memory windows."""
    DOORBELLS = 2
    """User doorbells of the queues; prefetchable (t4_hw.c, t4_bar2_sge_qregs())."""
    MSIX = 4
    """MSI-X table and pending bits."""


REGISTERS_BYTES = 0x80000
"""The smallest power of two that holds the register map (cxgb4_ethtool.c, T5_REGMAP_SIZE)."""


def device_id(product: int, pf: int = PF) -> int:
    """Returns the device id of a function of a product (0xVFPP: chip, function, product)."""
    return product | (pf if pf >= PF else 0) << 8


def product_of(device_id: int) -> int:
    """Returns the product of a function's device id, as PRODUCTS has it."""
    return device_id & 0xF0FF


PRODUCTS: dict[int, str] = {
    0x5001: "T520-CR",
    0x5003: "T540-CR",
    0x500D: "T580-CR",
    0x5010: "T580-LP-CR",
    0x6001: "T6225-CR",
    0x6007: "T62100-LP-CR",
    0x600D: "T62100-CR",
}
"""Products of the card profiles. T5 names: t4_pci_id_tbl.h; T6 names: DPDK's copy of it."""


class PciCommand(IntFlag):
    """PCI_COMMAND bits."""

    IO = 0x1
    MEMORY = 0x2
    MASTER = 0x4
    INTX_DISABLE = 0x400


class Status(IntEnum):
    """PCI_STATUS bits."""

    CAP_LIST = 0x10
    REC_MASTER_ABORT = 0x2000


class BarFlag(IntEnum):
    """Low bits of a BAR register."""

    MEM_TYPE_64 = 0x4
    MEM_PREFETCH = 0x8


class Cap(IntEnum):
    """Capability ids (PCI_CAP_ID_*)."""

    PM = 0x01
    VPD = 0x03
    MSI = 0x05
    EXP = 0x10
    MSIX = 0x11


class ExtCap(IntEnum):
    """Extended capability ids (PCI_EXT_CAP_ID_*)."""

    ERR = 0x01
    DSN = 0x03


CAP_AT: dict[Cap, int] = {
    Cap.PM: 0x40,
    Cap.MSI: 0x50,
    Cap.EXP: 0x70,
    Cap.MSIX: 0xB0,
    Cap.VPD: 0xD0,
}
"""Offsets of the capabilities; assumed from the ranges PCIE_CONFIG reads (cudbg_entity.h)."""

EXT_CAP_AT: dict[ExtCap, int] = {ExtCap.ERR: 0x100, ExtCap.DSN: 0x140}
"""Offsets of the extended capabilities; assumed likewise."""


class ConfigHeader(LittleStruct):
    """The type 0 configuration header, 64 bytes."""

    _fields_ = (
        ("vendor", u16),
        ("device", u16),
        ("command", u16),
        ("status", u16),
        *little_word("class_code:8:24 revision:0:8"),
        ("cache_line_size", u8),
        ("latency_timer", u8),
        ("header_type", u8),
        ("bist", u8),
        ("bar", u32 * 6),
        ("cardbus_cis", u32),
        ("subsystem_vendor", u16),
        ("subsystem", u16),
        ("rom_address", u32),
        ("capability_list", u8),
        ("reserved1", u8 * 7),
        ("interrupt_line", u8),
        ("interrupt_pin", u8),
        ("min_gnt", u8),
        ("max_lat", u8),
    )


class PmCap(LittleStruct):
    """Power management; `power_state` 0 is D0."""

    _fields_ = (
        ("id", u8),
        ("next", u8),
        *little_word("pme_support:11:5 d2:10:1 d1:9:1 aux_current:6:3 version:0:3", u16),
        *little_word("pme_status:15:1 pme_enable:8:1 no_soft_reset:3:1 power_state:0:2", u16),
        ("bridge", u8),
        ("data", u8),
    )


class ExpressCap(LittleStruct):
    """PCI Express, version 2."""

    _fields_ = (
        ("id", u8),
        ("next", u8),
        *little_word("irq:9:5 slot:8:1 type:4:4 version:0:4", u16),
        *little_word("can_flr:28:1 role_based_errors:15:1 can_ext_tag:5:1 max_payload:0:3"),
        *little_word(
            "start_flr:15:1 readrq:12:3 noread_snoop:11:1 ext_tag_en:8:1 payload_size:5:3"
            " relax_en:4:1 urre:3:1 fere:2:1 nfere:1:1 cere:0:1",
            u16,
        ),
        ("devsta", u16),
        *little_word("port:24:8 l1_exit:15:3 l0s_exit:12:3 aspm:10:2 width:4:6 speed:0:4"),
        ("lnkctl", u16),
        *little_word("nlw:4:6 cls:0:4", u16),
        ("slot_registers", u32 * 2),
        ("root_registers", u32 * 2),
        *little_word("comp_tmout_dis:4:1 comp_tmout_ranges:0:4"),
        *little_word("comp_tmout_dis_enable:4:1 comp_timeout:0:4", u16),
        ("devsta2", u16),
        ("lnkcap2", u32),
        ("lnkctl2", u16),
        ("lnksta2", u16),
        ("slot_registers2", u32 * 2),
    )


EXP_DEVCTL = 0x08
EXP_DEVSTA = 0x0A
EXP_LNKSTA = 0x12
EXP_DEVCTL2 = 0x28
"""Offsets of the registers of the capability that the driver accesses (PCI_EXP_*)."""
RELAX_EN = 1 << 4
"""The bit of DEVCTL that allows relaxed ordering (PCI_EXP_DEVCTL_RELAX_EN)."""
COMP_TIMEOUT_MASK, COMP_TIMEOUT_17S_64S = 0xF, 0xD
"""The completion timeout in DEVCTL2, and what the driver sets it to (t4_hw.c,
t4_prep_adapter())."""


class LinkSpeed(IntEnum):
    """ExpressCap.cls and .speed: generations of PCIe, in GT/s."""

    GT_2_5 = 1
    GT_5_0 = 2
    GT_8_0 = 3


class Uncorrectable(IntEnum):
    """PCI_ERR_UNC_* bits of an AER capability's uncorrectable errors."""

    POISONED = 1 << 12
    COMPLETION_TIMEOUT = 1 << 14
    MALFORMED = 1 << 18


class Correctable(IntEnum):
    """PCI_ERR_COR_* bits of an AER capability's correctable errors."""

    RECEIVER = 1 << 0
    BAD_TLP = 1 << 6
    BAD_DLLP = 1 << 7
    REPLAY_TIMER = 1 << 12


class DeviceStatus(IntEnum):
    """PCI_EXP_DEVSTA_* bits of ExpressCap.devsta."""

    CORRECTABLE = 0x1
    NONFATAL = 0x2
    FATAL = 0x4


ERR_UNCOR_STATUS, ERR_COR_STATUS = 0x04, 0x10
ERR_CAP = 0x18
ERR_HEADER_LOG, HEADER_LOG_BYTES = 0x1C, 16
"""Offsets in the AER capability (PCI_ERR_*), and the bytes of the packet's header that it keeps.
The low bits of ERR_CAP are the number of the first uncorrectable error's bit."""


class MsiCap(LittleStruct):
    """MSI with an address of 64 bits; both numbers of vectors are logarithms."""

    _fields_ = (
        ("id", u8),
        ("next", u8),
        *little_word("vector_mask:8:1 can_64:7:1 vectors_enabled:4:3 vectors:1:3 enable:0:1", u16),
        ("address", u32),
        ("upper_address", u32),
        ("data", u16),
    )


class MsixCap(LittleStruct):
    """MSI-X: `table_size` is the number of vectors minus one; offsets count 8 bytes."""

    _fields_ = (
        ("id", u8),
        ("next", u8),
        *little_word("enable:15:1 function_mask:14:1 table_size:0:11", u16),
        *little_word("table_offset:3:29 table_bir:0:3"),
        *little_word("pba_offset:3:29 pba_bir:0:3"),
    )


class VpdCap(LittleStruct):
    """Vital product data: write an address with `flag` 0; once `flag` is 1, `data` is valid."""

    _fields_ = (
        ("id", u8),
        ("next", u8),
        *little_word("flag:15:1 address:0:15", u16),
        ("data", u32),
    )


class ExtCapHeader(LittleStruct):
    """The first word of an extended capability."""

    _fields_ = (*little_word("next:20:12 version:16:4 id:0:16"),)


CONFIG_DUMP_WORDS = 97
"""Words of PCIE_CONFIG (CUDBG_NUM_PCIE_CONFIG_REGS). The driver reads those in the ranges of
`chip.ranges("pcie_config")`; the rest stay 0."""
