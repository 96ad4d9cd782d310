"""Parameters of the device, of a function, and of a queue: ids, names, and the PARAMS command."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum, unique
from typing import Self

from vmcoredd.chip.firmware.codes import Op
from vmcoredd.chip.firmware.message import OF_FUNCTION, FwCommand, header
from vmcoredd.chip.layout import BigStruct, u32

PARAMS_PER_COMMAND = 7


@unique
class Mnemonic(IntEnum):
    """enum fw_params_mnem: the owner of a parameter."""

    DEV = 1
    PFVF = 2
    REG = 3
    DMAQ = 4
    CHNET = 5


@unique
class Dev(IntEnum):
    """enum fw_params_param_dev: parameters of the device."""

    CCLK = 0x00
    PORTVEC = 0x01
    NTID = 0x02
    FLOWC_BUFFIFO_SZ = 0x03
    INTVER_NIC = 0x04
    INTVER_VNIC = 0x05
    INTVER_OFLD = 0x06
    INTVER_RI = 0x07
    INTVER_ISCSIPDU = 0x08
    INTVER_ISCSI = 0x09
    INTVER_FCOE = 0x0A
    FWREV = 0x0B
    TPREV = 0x0C
    CF = 0x0D
    PHYFW = 0x0F
    DIAG = 0x11
    MAXORDIRD_QP = 0x13
    MAXIRD_ADAPTER = 0x14
    ULPTX_MEMWRITE_DSGL = 0x17
    FWCACHE = 0x18
    SCFGREV = 0x1A
    VPDREV = 0x1B
    RI_FR_NSMR_TPTE_WR = 0x1C
    FILTER2_WR = 0x1D
    MPSBGMAP = 0x1E
    TPCHMAP = 0x1F
    HMA_SIZE = 0x20
    RDMA_WRITE_WITH_IMM = 0x21
    PPOD_EDRAM = 0x23
    RI_WRITE_CMPL_WR = 0x24
    HPFILTER_REGION_SUPPORT = 0x26
    OPAQUE_VIID_SMT_EXTN = 0x27
    HASHFILTER_WITH_OFLD = 0x28
    DBQ_TIMER = 0x29
    DBQ_TIMERTICK = 0x2A
    NUM_TM_CLASS = 0x2B
    FILTER = 0x2E
    KTLS_HW = 0x31
    VI_ENABLE_INGRESS_AFTER_LINKUP = 0x32  # DPDK's t4fw_interface.h


@unique
class Pf(IntEnum):
    """enum fw_params_param_pfvf: parameters of a function."""

    RWXCAPS = 0x00
    ROUTE_START = 0x01
    ROUTE_END = 0x02
    CLIP_START = 0x03
    CLIP_END = 0x04
    FILTER_START = 0x05
    FILTER_END = 0x06
    SERVER_START = 0x07
    SERVER_END = 0x08
    TDDP_START = 0x09
    TDDP_END = 0x0A
    ISCSI_START = 0x0B
    ISCSI_END = 0x0C
    STAG_START = 0x0D
    STAG_END = 0x0E
    RQ_START = 0x1F  # t4fw_api.h says so, although its neighbours are 0x0e and 0x10
    RQ_END = 0x10
    PBL_START = 0x11
    PBL_END = 0x12
    L2T_START = 0x13
    L2T_END = 0x14
    SQRQ_START = 0x15
    SQRQ_END = 0x16
    CQ_START = 0x17
    CQ_END = 0x18
    SRQ_START = 0x19
    SRQ_END = 0x1A
    SCHEDCLASS_ETH = 0x20
    VIID = 0x24
    CPMASK = 0x25
    OCQ_START = 0x26
    OCQ_END = 0x27
    CONM_MAP = 0x28
    IQFLINT_START = 0x29
    IQFLINT_END = 0x2A
    EQ_START = 0x2B
    EQ_END = 0x2C
    ACTIVE_FILTER_START = 0x2D
    ACTIVE_FILTER_END = 0x2E
    ETHOFLD_START = 0x2F
    ETHOFLD_END = 0x30
    CPLFW4MSG_ENCAP = 0x31
    HPFILTER_START = 0x32
    HPFILTER_END = 0x33
    TLS_START = 0x34
    TLS_END = 0x35
    RAWF_START = 0x36
    RAWF_END = 0x37
    NCRYPTO_LOOKASIDE = 0x39
    PORT_CAPS32 = 0x3A
    PPOD_EDRAM_START = 0x3B
    PPOD_EDRAM_END = 0x3C
    MAX_PKTS_PER_ETH_TX_PKTS_WR = 0x3D  # DPDK's t4fw_interface.h, as the next two
    GET_SMT_START = 0x3E
    GET_SMT_SIZE = 0x3F
    LINK_STATE = 0x40


@unique
class Dmaq(IntEnum):
    """enum fw_params_param_dmaq: parameters of a queue (its id in Y and Z)."""

    IQ_DCAEN_DCACPU = 0x00
    IQ_INTCNTTHRESH = 0x01
    EQ_CMPLIQID_MNGT = 0x10
    EQ_CMPLIQID_CTRL = 0x11
    EQ_SCHEDCLASS_ETH = 0x12
    EQ_DCBPRIO_ETH = 0x13
    EQ_TIMERIX = 0x15
    CONM_CTXT = 0x20


class DiagSub(IntEnum):
    """Y of Dev.DIAG (enum fw_params_param_dev_diag)."""

    TMP = 0
    VDD = 1
    MAXTMPTHRESH = 2


class FilterSub(IntEnum):
    """Y of Dev.FILTER (enum fw_params_param_dev_filter)."""

    VNIC_MODE = 0
    MODE_MASK = 1


_MNEMONICS: dict[type[IntEnum], Mnemonic] = {
    Dev: Mnemonic.DEV,
    Pf: Mnemonic.PFVF,
    Dmaq: Mnemonic.DMAQ,
}


def param(which: Dev | Pf | Dmaq, y: int = 0, z: int = 0) -> int:
    """Returns the id of a parameter: mnemonic [31:24], X (`which`) [23:16], Y [15:8], Z [7:0]."""
    if not (0 <= y < 256 and 0 <= z < 256):
        raise ValueError(f"{which.name}: Y {y:#x} and Z {z:#x} are bytes")
    return _MNEMONICS[type(which)] << 24 | which << 16 | y << 8 | z


def param_of(param_id: int) -> tuple[Dev | Pf | Dmaq | None, int, int]:
    """Splits the id of a parameter: which one (None if unknown), Y, Z."""
    y, z = param_id >> 8 & 0xFF, param_id & 0xFF
    for kind, mnemonic in _MNEMONICS.items():
        if param_id >> 24 == mnemonic and param_id >> 16 & 0xFF in kind._value2member_map_:
            return kind(param_id >> 16 & 0xFF), y, z  # type: ignore[return-value]
    return None, y, z


def param_name(param_id: int) -> str:
    """Returns `DEV.CCLK`, `DEV.DIAG[y=2]` or the like; the number if it has no name."""
    which, y, z = param_of(param_id)
    if which is None:
        return f"{param_id:#010x}"
    operands = " ".join(f"{n}={v}" for n, v in (("y", y), ("z", z)) if v)
    name = f"{_MNEMONICS[type(which)].name}.{which.name}"
    return f"{name}[{operands}]" if operands else name


class Param(BigStruct):
    """One parameter: its id and its value."""

    _fields_ = (("mnem", u32), ("val", u32))


class Params(FwCommand):
    """Read or write up to seven parameters. If the firmware refuses one, it refuses them all."""

    OPCODE = Op.PARAMS
    _fields_ = (*header(OF_FUNCTION), ("param", Param * PARAMS_PER_COMMAND))

    @classmethod
    def reading(cls, ids: Iterable[int], **values: int) -> Self:
        """Makes a request for the values of these parameters."""
        return cls._filled(((one, 0) for one in ids), read=1, **values)

    @classmethod
    def writing(cls, pairs: Iterable[tuple[int, int]], **values: int) -> Self:
        """Makes a request to set these parameters, given as (id, value)."""
        return cls._filled(pairs, write=1, **values)

    @classmethod
    def _filled(cls, pairs: Iterable[tuple[int, int]], **values: int) -> Self:
        made, wanted = cls(**values), tuple(pairs)
        if len(wanted) > PARAMS_PER_COMMAND:
            raise ValueError(f"{len(wanted)} parameters: a command holds {PARAMS_PER_COMMAND}")
        for one, (mnem, val) in zip(made.param, wanted, strict=False):
            one.mnem, one.val = mnem, val
        return made

    @property
    def asked(self) -> tuple[Param, ...]:
        """The parameters of the request, up to the first id 0; they can be assigned to."""
        ids = [one.mnem for one in self.param]
        count = ids.index(0) if 0 in ids else len(ids)
        return tuple(self.param[i] for i in range(count))
