"""LDST: load or store a register that only the firmware can reach, or a queue context."""

from __future__ import annotations

from vmcoredd.chip.firmware.codes import LdstSpace, Op
from vmcoredd.chip.firmware.message import FwCommand, header
from vmcoredd.chip.layout import reserved, u8, u16, u32, u64, word

_HEADER = header("addrspace:0:8")


class Ldst(FwCommand):
    """The command with its operands as bytes; `addrspace` selects one of the layouts below."""

    OPCODE = Op.LDST
    _fields_ = (*_HEADER, ("operand", u8 * 56))

    @classmethod
    def variant(cls, data: bytes) -> type[FwCommand]:
        return VARIANTS.get(cls.from_bytes(data).addrspace, cls)


class LdstAddress(FwCommand):
    """A word at an address in FIRMWARE (a BAR0 register), TP_PIO, TP_TM_PIO or TP_MIB."""

    OPCODE = Op.LDST
    _fields_ = (*_HEADER, ("addr", u32), ("val", u32), *reserved(48))


class LdstContext(FwCommand):
    """The SGE context of queue `physid`, word 0 last; `ctxtflush` flushes the cache."""

    OPCODE = Op.LDST
    _fields_ = (
        *_HEADER,
        ("physid", u32),
        *word("msg:31:1 ctxtflush:30:1"),
        *((f"ctxt_data{i}", u32) for i in range(7, -1, -1)),
        *reserved(16),
    )


class LdstMdio(FwCommand):
    """A register of a PHY: port address, device, register; value in `rval`."""

    OPCODE = Op.LDST
    _fields_ = (
        *_HEADER,
        *word("paddr:8:5 mmd:0:5", u16),
        ("raddr", u16),
        ("vctl", u16),
        ("rval", u16),
        *reserved(48),
    )


class LdstMpsReplication(FwCommand):
    """The replication map of an MPS TCAM entry: a bit for each virtual function, 255 first."""

    OPCODE = Op.LDST
    _fields_ = (
        *_HEADER,
        *word("fid:15:1 idx:0:15", u16),
        *word("rplcpf:0:8", u16),
        *((f"rplc{i * 32 + 31}_{i * 32}", u32) for i in range(7, -1, -1)),
        *reserved(20),
    )


class LdstMpsAttributes(FwCommand):
    """Attributes and VLANs of a function in the MPS."""

    OPCODE = Op.LDST
    _fields_ = (
        *_HEADER,
        *word("fid:15:1 mpsid:0:15", u16),
        ("r2", u16 * 3),
        ("r3", u32 * 3),
        ("atrb", u32),
        ("vlan", u16 * 16),
    )


class LdstFunction(FwCommand):
    """Access rights of a function or virtual interface to a module."""

    OPCODE = Op.LDST
    _fields_ = (
        *_HEADER,
        ("access_ctl", u8),
        ("mod_index", u8),
        ("ctl_id", u16),
        ("offset", u32),
        ("data0", u64),
        ("data1", u64),
        *reserved(32),
    )


class LdstPcie(FwCommand):
    """Configuration space of a function: `r` is the register, `naccess` the number of words."""

    OPCODE = Op.LDST
    _fields_ = (
        *_HEADER,
        *word("lc:4:1 fn:0:3", u8),
        ("bnum", u8),
        ("r", u8),
        ("ext_r", u8),
        *word("naccess:0:4", u8),
        ("pcie_fn", u8),
        ("nset", u16),
        ("data", u32 * 12),
    )


class LdstI2c(FwCommand):
    """Bytes of a transceiver module on I2C: port, device, offset, length (at most 48)."""

    OPCODE = Op.LDST
    _fields_ = (
        *_HEADER,
        ("pid", u8),
        ("did", u8),
        ("boffset", u8),
        ("blen", u8),
        ("r9", u32),
        ("data", u8 * 48),
    )


VARIANTS: dict[int, type[FwCommand]] = {
    LdstSpace.FIRMWARE: LdstAddress,
    LdstSpace.SGE_EGRC: LdstContext,
    LdstSpace.SGE_INGC: LdstContext,
    LdstSpace.SGE_FLMC: LdstContext,
    LdstSpace.SGE_CONMC: LdstContext,
    LdstSpace.TP_PIO: LdstAddress,
    LdstSpace.TP_TM_PIO: LdstAddress,
    LdstSpace.TP_MIB: LdstAddress,
    LdstSpace.MDIO: LdstMdio,
    LdstSpace.MPS: LdstMpsReplication,
    LdstSpace.FUNC: LdstFunction,
    LdstSpace.FUNC_PCIE: LdstPcie,
    LdstSpace.I2C: LdstI2c,
}
"""The layout of each address space. MPS has two; the driver only reads replication maps."""
