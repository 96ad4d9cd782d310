"""Ethernet ports: link, capabilities, transceiver, statistics."""

from __future__ import annotations

from enum import IntEnum, IntFlag, unique

from vmcoredd.chip.firmware.codes import Op
from vmcoredd.chip.firmware.message import FwCommand, header
from vmcoredd.chip.layout import reserved, u8, u16, u32, u64, word


@unique
class PortAction(IntEnum):
    """Port.action (enum fw_port_action)."""

    L1_CFG = 0x0001
    L2_CFG = 0x0002
    GET_PORT_INFO = 0x0003
    L2_PPP_CFG = 0x0004
    L2_DCB_CFG = 0x0005
    DCB_READ_TRANS = 0x0006
    DCB_READ_RECV = 0x0007
    DCB_READ_DET = 0x0008
    L1_CFG32 = 0x0009
    GET_PORT_INFO32 = 0x000A
    LOW_PWR_TO_NORMAL = 0x0010
    L1_LOW_PWR_EN = 0x0011
    L2_WOL_MODE_EN = 0x0012
    LPBK_TO_NORMAL = 0x0020
    L1_LPBK = 0x0021
    L1_PMA_LPBK = 0x0022
    L1_PCS_LPBK = 0x0023
    L1_PHYXS_CSIDE_LPBK = 0x0024
    L1_PHYXS_ESIDE_LPBK = 0x0025
    PHY_RESET = 0x0040
    PMA_RESET = 0x0041
    PCS_RESET = 0x0042
    PHYXS_RESET = 0x0043
    DTEXS_REEST = 0x0044
    AN_RESET = 0x0045


class PortCaps16(IntFlag):
    """16-bit capabilities (enum fw_port_cap)."""

    SPEED_100M = 0x0001
    SPEED_1G = 0x0002
    SPEED_25G = 0x0004
    SPEED_10G = 0x0008
    SPEED_40G = 0x0010
    SPEED_100G = 0x0020
    FC_RX = 0x0040
    FC_TX = 0x0080
    ANEG = 0x0100
    MDIAUTO = 0x0200
    MDISTRAIGHT = 0x0400
    FEC_RS = 0x0800
    FEC_BASER_RS = 0x1000
    FORCE_PAUSE = 0x2000
    PAUSE_802_3 = 0x4000
    ASM_DIR_802_3 = 0x8000


class PortCaps(IntFlag):
    """32-bit capabilities (FW_PORT_CAP32_*)."""

    SPEED_100M = 0x00000001
    SPEED_1G = 0x00000002
    SPEED_10G = 0x00000004
    SPEED_25G = 0x00000008
    SPEED_40G = 0x00000010
    SPEED_50G = 0x00000020
    SPEED_100G = 0x00000040
    SPEED_200G = 0x00000080
    SPEED_400G = 0x00000100
    FC_RX = 0x00010000
    FC_TX = 0x00020000
    PAUSE_802_3 = 0x00040000
    ASM_DIR_802_3 = 0x00080000
    ANEG = 0x00100000
    MDIAUTO = 0x00200000
    MDISTRAIGHT = 0x00400000
    FEC_RS = 0x00800000
    FEC_BASER_RS = 0x01000000
    FORCE_PAUSE = 0x10000000


@unique
class PortType(IntEnum):
    """Kinds of port (enum fw_port_type)."""

    FIBER_XFI = 0
    FIBER_XAUI = 1
    BT_SGMII = 2
    BT_XFI = 3
    BT_XAUI = 4
    KX4 = 5
    CX4 = 6
    KX = 7
    KR = 8
    SFP = 9
    BP_AP = 10
    BP4_AP = 11
    QSFP_10G = 12
    QSA = 13
    QSFP = 14
    BP40_BA = 15
    KR4_100G = 16
    CR4_QSFP = 17
    CR_QSFP = 18
    CR2_QSFP = 19
    SFP28 = 20
    KR_SFP28 = 21
    KR_XLAUI = 22
    NONE = 31


@unique
class PortModule(IntEnum):
    """Kinds of transceiver module (enum fw_port_module_type)."""

    NA = 0
    LR = 1
    SR = 2
    ER = 3
    TWINAX_PASSIVE = 4
    TWINAX_ACTIVE = 5
    LRM = 6
    ERROR = 28
    UNKNOWN = 29
    NOTSUPPORTED = 30
    NONE = 31


@unique
class LinkDown(IntEnum):
    """Why a link is down: PortInfo32.linkdnrc32 (t4_hw.c, t4_link_down_rc_str())."""

    UNSPECIFIED = 0
    REMOTE_FAULT = 1
    AUTONEGOTIATION = 2
    AIRFLOW = 4
    UNKNOWN = 5
    NO_SIGNAL = 6


_HEADER = header("portid:0:4", "action:16:16")


class Port(FwCommand):
    """The command with its operands as bytes; `action` selects one of the layouts below."""

    OPCODE = Op.PORT
    _fields_ = (*_HEADER, ("operand", u8 * 24))

    @classmethod
    def variant(cls, data: bytes) -> type[FwCommand]:
        return VARIANTS.get(cls.from_bytes(data).action, cls)


class PortL1Config(FwCommand):
    """Set the link (PortCaps16): L1_CFG, before 32-bit capabilities."""

    OPCODE = Op.PORT
    _fields_ = (*_HEADER, ("rcap", u32), *reserved(20))


class PortL1Config32(FwCommand):
    """Set the link (PortCaps): L1_CFG32."""

    OPCODE = Op.PORT
    _fields_ = (*_HEADER, ("rcap32", u32), *reserved(20))


class PortInfo(FwCommand):
    """Read the state of the port: GET_PORT_INFO, before 32-bit capabilities."""

    OPCODE = Op.PORT
    _fields_ = (
        *_HEADER,
        *word(
            "lstatus:31:1 lspeed:24:6 txpause:23:1 rxpause:22:1 mdiocap:21:1 mdioaddr:16:5"
            " lptxpause:15:1 lprxpause:14:1 ptype:8:5 linkdnrc:5:3 modtype:0:5"
        ),
        ("pcap", u16),
        ("acap", u16),
        ("mtu", u16),
        ("cbllen", u8),
        ("auxlinfo", u8),
        *word("dcbxdis:7:1", u8),
        ("r8_lo", u8),
        ("lpacap", u16),
        *reserved(8),
    )


class PortInfo32(FwCommand):
    """Read the state of the port: GET_PORT_INFO32."""

    OPCODE = Op.PORT
    _fields_ = (
        *_HEADER,
        *word(
            "lstatus32:31:1 linkdnrc32:28:3 dcbxdis32:27:1 mdiocap32:26:1 mdioaddr32:21:5"
            " porttype32:13:8 modtype32:8:5 cbllen32:0:8"
        ),
        *word("auxlinfo32:24:8 mtu32:0:16"),
        ("linkattr32", u32),
        ("pcaps32", u32),
        ("acaps32", u32),
        ("lpacaps32", u32),
    )


VARIANTS: dict[int, type[FwCommand]] = {
    PortAction.L1_CFG: PortL1Config,
    PortAction.GET_PORT_INFO: PortInfo,
    PortAction.L1_CFG32: PortL1Config32,
    PortAction.GET_PORT_INFO32: PortInfo32,
}


class PortStats(FwCommand):
    """`nstats` counters of a port, at most six, from `ix` on: of what it sent, or received."""

    OPCODE = Op.PORT_STATS
    _fields_ = (
        *header("portid:0:4"),
        *word("nstats:4:3 bg_bm:0:2", u8),
        *word("tx:7:1 ix:0:6", u8),
        *reserved(6),
        ("stat", u64 * 6),
    )


class PortLbStats(FwCommand):
    """The same of frames that went from a port to itself, inside the card."""

    OPCODE = Op.PORT_LB_STATS
    _fields_ = (
        *header("lbport:0:4"),
        *word("nstats:4:3 bg_bm:0:2", u8),
        *word("ix:0:4", u8),
        *reserved(6),
        ("stat", u64 * 6),
    )


STATS_PER_COMMAND = 6
SENT_STATS, RECEIVED_STATS, LOOPBACK_STATS, FUNCTION_STATS = 23, 27, 14, 17
"""Counters of each kind that MPS has, in its registers' order (enum fw_port_stats_tx_index, ...,
enum fw_vi_stats_pf_index). Firmware knows one more of received frames: MAC errors."""
