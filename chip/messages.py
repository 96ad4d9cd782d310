"""The messages in queues: work requests to the firmware, and CPLs to and from TP and the firmware.

A work request begins with its opcode (bits 31..24 of word 0) and its length in units of 16 bytes
(bits 7..0 of word 1); CPLs may follow its header. An entry of an ingress queue begins with the
opcode of its CPL and ends with what the hardware says of it (struct rsp_ctrl). Numbers are in the
adapter's byte order. Sources: t4fw_api.h, t4_msg.h, t4_hw.h and t4_values.h.
"""

from __future__ import annotations

from enum import IntEnum, unique
from typing import ClassVar, NamedTuple, Self

from vmcoredd.chip.layout import BigStruct, reserved, u8, u16

DESCRIPTOR_BYTES = 64
"""A descriptor of an egress queue (struct tx_desc); a work request begins with one."""
LENGTH_UNIT = 16
"""The unit of a work request's length, in bytes (FW_WR_LEN16)."""
POINTER_BYTES = 8
"""An entry of a free list: an address, and the index of its buffer size in the lowest bits."""
BUFFER_SIZE_MASK = 0xF
"""The bits of such an address with the index of SGE_FL_BUFFER_SIZE (sge.c, RX_BUF_SIZE)."""
POINTERS_PER_INDEX = 8
"""Pointers that one step of a free list's indices stands for (sge.c, ring_fl_db())."""
CONTROL_BYTES = 16
"""The end of an entry of an ingress queue (struct rsp_ctrl)."""


@unique
class WorkRequest(IntEnum):
    """enum fw_wr_opcodes: FW_<name>_WR (t4fw_api.h)."""

    FILTER = 0x02
    ULPTX = 0x04
    TP = 0x05
    ETH_TX_PKT = 0x08
    FLOWC = 0x0A
    OFLD_TX_DATA = 0x0B
    RI_RES = 0x0C
    RI_INIT = 0x0D
    CMD = 0x10
    ETH_TX_PKT_VM = 0x11
    RI_RDMA_WRITE = 0x14
    RI_SEND = 0x15
    RI_RDMA_READ = 0x16
    RI_RECV = 0x17
    RI_BIND_MW = 0x18
    RI_FR_NSMR = 0x19
    RI_INV_LSTAG = 0x1A
    ETH_TX_EO = 0x1C
    RI_FR_NSMR_TPTE = 0x20
    RI_RDMA_WRITE_CMPL = 0x21
    OFLD_CONNECTION = 0x2F
    ISCSI_TX_DATA = 0x45
    PTP_TX_PKT = 0x46
    TLSTX_DATA = 0x68
    CRYPTO_LOOKASIDE = 0x6D
    LASTC2E = 0x70
    FILTER2 = 0x77


@unique
class OtherRequest(IntEnum):
    """FW_<name>_WR that other drivers send and Linux does not (t4fw_interface.h of FreeBSD)."""

    ETH_TX_PKTS = 0x09
    ETH_TX_PKTS_VM = 0x12
    EQ_FLUSH = 0x1B
    ETH_TX_PKTS2 = 0x78


@unique
class Cpl(IntEnum):
    """CPL_<name> (t4_msg.h)."""

    PASS_OPEN_REQ = 0x01
    PASS_ACCEPT_RPL = 0x02
    ACT_OPEN_REQ = 0x03
    SET_TCB_FIELD = 0x05
    GET_TCB = 0x06
    CLOSE_CON_REQ = 0x08
    CLOSE_LISTSRV_REQ = 0x09
    ABORT_REQ = 0x0A
    ABORT_RPL = 0x0B
    TX_DATA = 0x0C
    RX_DATA_ACK = 0x0D
    TX_PKT = 0x0E
    L2T_WRITE_REQ = 0x12
    SMT_WRITE_REQ = 0x14
    TID_RELEASE = 0x1A
    SRQ_TABLE_REQ = 0x1C
    TX_DATA_ISO = 0x1F
    CLOSE_LISTSRV_RPL = 0x20
    GET_TCB_RPL = 0x22
    L2T_WRITE_RPL = 0x23
    PASS_OPEN_RPL = 0x24
    ACT_OPEN_RPL = 0x25
    PEER_CLOSE = 0x26
    ABORT_REQ_RSS = 0x2B
    ABORT_RPL_RSS = 0x2D
    SMT_WRITE_RPL = 0x2E
    RX_PHYS_ADDR = 0x30
    CLOSE_CON_RPL = 0x32
    ISCSI_HDR = 0x33
    RDMA_CQE = 0x35
    RDMA_CQE_READ_RSP = 0x36
    RDMA_CQE_ERR = 0x37
    RX_DATA = 0x39
    SET_TCB_RPL = 0x3A
    RX_PKT = 0x3B
    RX_DDP_COMPLETE = 0x3F
    ACT_ESTABLISH = 0x40
    PASS_ESTABLISH = 0x41
    RX_DATA_DDP = 0x42
    PASS_ACCEPT_REQ = 0x44
    RX_ISCSI_CMP = 0x45
    TRACE_PKT_T5 = 0x48
    RX_ISCSI_DDP = 0x49
    RX_TLS_CMP = 0x4E
    RDMA_READ_REQ = 0x60
    PASS_OPEN_REQ6 = 0x81
    ACT_OPEN_REQ6 = 0x83
    TX_TLS_PDU = 0x88
    TX_TLS_SFO = 0x89
    TX_SEC_PDU = 0x8A
    TX_TLS_ACK = 0x8B
    RDMA_TERMINATE = 0xA2
    RDMA_WRITE = 0xA4
    SGE_EGR_UPDATE = 0xA5
    RX_MPS_PKT = 0xAF
    TRACE_PKT = 0xB0
    TLS_DATA = 0xB1
    ISCSI_DATA = 0xB2
    FW4_MSG = 0xC0
    FW4_PLD = 0xC1
    FW4_ACK = 0xC3
    SRQ_TABLE_RPL = 0xCC
    RX_PHYS_DSGL = 0xD0
    FW6_MSG = 0xE0
    FW6_PLD = 0xE1
    TX_TNL_LSO = 0xEC
    TX_PKT_LSO = 0xED
    TX_PKT_XT = 0xEE


class UlpTx(IntEnum):
    """ULP_TX_<name>: a command of ULP_TX (t4_msg.h)."""

    MEM_READ = 2
    MEM_WRITE = 3
    PKT = 4


class FilterResult(IntEnum):
    """FW_FILTER_WR_<name>: in the cookie of the reply to a filter (t4fw_api.h)."""

    SUCCESS = 0
    FLT_ADDED = 1
    FLT_DELETED = 2
    SMT_TBL_FULL = 3
    EINVAL = 4


class NatMode(IntEnum):
    """NAT_MODE_<name>: what a filter rewrites: IP address and port of target (D) and source (S)
    (cxgb4.h)."""

    NONE = 0
    DIP = 1
    DIP_DP = 2
    DIP_DP_SIP = 3
    DIP_DP_SP = 4
    SIP_SP = 5
    DIP_SIP_SP = 6
    ALL = 7


class ScatterGather(IntEnum):
    """ULP_TX_SC_<name>: what follows, in a message of ULP_TX (t4_msg.h)."""

    NOOP = 0x80
    IMM = 0x81
    DSGL = 0x82
    ISGL = 0x83
    MEMRD = 0x86


class TxChecksum(IntEnum):
    """TX_CSUM_<name>: a type of checksum in CPL_TX_PKT (t4_msg.h)."""

    TCP = 0
    UDP = 1
    CRC16 = 4
    CRC32 = 5
    CRC32C = 6
    FCOE = 7
    TCPIP = 8
    UDPIP = 9
    TCPIP6 = 10
    UDPIP6 = 11
    IP = 12


class TxSegments(IntEnum):
    """FW_ETH_TX_EO_TYPE_<name>: what ETH_TX_EO cuts (t4fw_api.h)."""

    UDPSEG = 0
    TCPSEG = 1


class FlowParameter(IntEnum):
    """FW_FLOWC_MNEM_<name>: what a parameter of FLOWC sets (t4fw_api.h, enum fw_flowc_mnem)."""

    PFNVFN = 0
    CH = 1
    PORT = 2
    IQID = 3
    SNDNXT = 4
    RCVNXT = 5
    SNDBUF = 6
    MSS = 7
    TXDATAPLEN_MAX = 8
    TCPSTATE = 9
    EOSTATE = 10
    SCHEDCLASS = 11
    DCBPRIO = 12
    SND_SCALE = 13
    RCV_SCALE = 14
    ULD_MODE = 15
    MAX = 16


class FlowState(IntEnum):
    """FW_FLOWC_MNEM_EOSTATE_<name>: the state of a flow of Ethernet offload (t4fw_api.h)."""

    ESTABLISHED = 1
    CLOSING = 2


class RxTunnel(IntEnum):
    """RX_PKT_TNL_TYPE_<name>: what is around a frame (FreeBSD's t4_msg.h)."""

    NVGRE = 1
    VXLAN = 2
    GENEVE = 3


class Response(IntEnum):
    """What an entry of an ingress queue is (t4_values.h, RSPD_TYPE_*_X)."""

    FLBUF = 0
    CPL = 1
    INTR = 2


CPL_OFFSET = {
    WorkRequest.ETH_TX_PKT: 16,
    WorkRequest.PTP_TX_PKT: 16,
    WorkRequest.TP: 16,
    WorkRequest.ETH_TX_PKT_VM: 32,
}
"""The offset of the first CPL in a work request, where it is always the same (struct
fw_eth_tx_pkt_wr, fw_tp_wr, fw_eth_tx_pkt_vm_wr)."""


def work_request_name(opcode: int) -> str:
    """Returns a name such as `ETH_TX_PKT`, or empty."""
    return WorkRequest(opcode).name if opcode in WorkRequest._value2member_map_ else ""


def cpl_name(opcode: int) -> str:
    """Returns a name such as `RX_PKT`; an unknown opcode in hexadecimal digits."""
    return Cpl(opcode).name if opcode in Cpl._value2member_map_ else f"{opcode:#04x}"


class Messages(NamedTuple):
    """The differences between the chips."""

    ethernet_header_shift: int
    """CPL_TX_PKT: the lowest bit of the Ethernet header's length beyond 14 bytes in ctrl1
    (t4_msg.h, TXPKT_ETHHDR_LEN)."""
    ethernet_header_bits: int
    """CPL_TX_PKT: the width of that length (t4_msg.h, TXPKT_ETHHDR_LEN)."""
    ip_header_shift: int
    """CPL_TX_PKT: the lowest bit of the IP header's length in ctrl1 (t4_msg.h,
    TXPKT_IPHDR_LEN)."""
    ip_header_bits: int
    """CPL_TX_PKT: the width of the IP header's length (t4_msg.h, TXPKT_IPHDR_LEN)."""
    tunnels: int
    """Whether CPL_TX_TNL_LSO is known: segmentation inside a tunnel (sge.c, cxgb4_eth_xmit())."""
    compressed_errors: int
    """CPL_RX_PKT: whether TP_OUT_CONFIG.CRxPktEnc compresses err_vec (t4_hw.c,
    t4_init_tp_params())."""
    source_macs_per_row: int
    """CPL_SMT_WRITE_REQ: entries of the table of source MACs that it writes (smt.c,
    write_smt_entry())."""
    nat_keeps_ports: int
    """Whether a NAT mode leaves a port whose new value is 0 (cxgb4_tc_flower.c,
    cxgb4_natmode_config_array; for T5, assumed)."""


T5 = Messages(
    ethernet_header_shift=34,
    ethernet_header_bits=6,
    ip_header_shift=20,
    ip_header_bits=14,
    tunnels=0,
    compressed_errors=0,
    source_macs_per_row=2,
    nat_keeps_ports=0,
)
T6 = Messages(
    ethernet_header_shift=32,
    ethernet_header_bits=8,
    ip_header_shift=20,
    ip_header_bits=12,
    tunnels=1,
    compressed_errors=1,
    source_macs_per_row=1,
    nat_keeps_ports=1,
)


class Fw6Message(BigStruct):
    """CPL_FW6_MSG, with the RSS header before it: an event that firmware reports in a queue."""

    COMMAND_REPLY: ClassVar[int] = 0
    """The type of a message whose data begin a command's reply (FW6_TYPE_CMD_RPL)."""
    _fields_ = (
        ("rss_opcode", u8),
        *reserved(1),
        ("qid", u16),
        *reserved(4),
        ("opcode", u8),
        ("type", u8),
        *reserved(6),
        ("data", u8 * 32),
    )

    @classmethod
    def of(cls, reply: bytes) -> Self:
        """Returns the message that reports a command's reply."""
        message = cls(rss_opcode=Cpl.FW6_MSG, opcode=Cpl.FW6_MSG, type=cls.COMMAND_REPLY)
        message.data[: len(reply)] = reply
        return message
