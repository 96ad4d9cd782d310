"""TP: tables and logic analyser of the transport processor; the analysers of ULP_RX and ULP_TX."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from vmcoredd.chip.register import parse_fields


class RequestTable(NamedTuple):
    """A table behind a `request` register: write `prefix | row`, then read the row there."""

    register: str
    prefix: int
    """The upper bits of a request; a write with other upper bits stores a row."""
    rows: int


MTUS = 16
CONGESTION_WINDOWS = 32
SCHEDULERS = 8
MTU_TABLE = RequestTable("TP_MTU_TABLE", 0xFF000000, MTUS)
CCTRL_TABLE = RequestTable("TP_CCTRL_TABLE", 0xFFFF0000, MTUS * CONGESTION_WINDOWS)
"""Row: MTU index << 5 | window."""
PACE_TABLE = RequestTable("TP_PACE_TABLE", 0xFFFF0000, SCHEDULERS)
RSS_REQUEST = 0xFFF00000
"""Upper bits of a request to TP_RSS_LKP_TABLE, which has `rss_rows` rows."""
RSS_QUEUES_PER_ROW = 2
"""Receive queues that a row names (t4_hw.c, t4_read_rss())."""
LA_ENTRIES = 128
"""64-bit entries of TP's logic analyser."""
LA_FIELDS = parse_fields(
    "RcfOpCodeOut:60:4 State:56:4 WcfState:52:4 RcfOpcSrcOut:50:2 CRxError:49:1 ERxError:48:1 "
    "SanityFailed:47:1 SpuriousMsg:46:1 FlushInputMsg:45:1 FlushInputCpl:44:1 RssUpBit:43:1 "
    "RssFilterHit:42:1 Tid:32:10 InitTcb:31:1 LineNumber:24:7 Emsg:23:1 EdataOut:22:1 "
    "Cmsg:21:1 CdataOut:20:1 EreadPdu:19:1 CreadPdu:18:1 TunnelPkt:17:1 RcfPeerFin:16:1 "
    "RcfReasonOut:12:4 TxCchannel:10:2 RcfTxChannel:8:2 RxEchannel:6:2 RcfRxChannel:5:1 "
    "RcfDataOutSrdy:4:1 RxDvld:3:1 RxOoDvld:2:1 RxCongestion:1:1 TxCongestion:0:1"
)
"""Fields of a word of TP's logic analyser (cxgb4_debugfs.c, tp_la_show())."""
LA_PACKET_FIELDS = parse_fields(
    "CplCmdIn:56:8 CplCmdOut:48:8 ESynOut:47:1 EAckOut:46:1 EFinOut:45:1 ERstOut:44:1 "
    "SynIn:43:1 AckIn:42:1 FinIn:41:1 RstIn:40:1 DataIn:39:1 DataInVld:38:1 PadIn:37:1 "
    "RxBufEmpty:36:1 RxDdp:35:1 RxFbCongestion:34:1 TxFbCongestion:33:1 TxPktSumSrdy:32:1 "
    "RcfUlpType:28:4 Eread:27:1 Ebypass:26:1 Esave:25:1 Static0:24:1 Cread:23:1 Cbypass:22:1 "
    "Csave:21:1 CPktOut:20:1 RxPagePoolFull:18:2 RxLpbkPkt:17:1 TxLpbkPkt:16:1 RxVfValid:15:1 "
    "SynLearned:14:1 SetDelEntry:13:1 SetInvEntry:12:1 CpcmdDvld:11:1 CpcmdSave:10:1 "
    "RxPstructsFull:8:2 EpcmdDvld:7:1 EpcmdFlush:6:1 EpcmdTrimPrefix:5:1 EpcmdTrimPostfix:4:1 "
    "ERssIp4Pkt:3:1 ERssIp6Pkt:2:1 ERssTcpUdpPkt:1:1 ERssFceFipPkt:0:1"
)
"""Fields of the second word of a pair when packets are traced."""
LA_TUNNEL_FIELDS = parse_fields(
    "CplCmdIn:56:8 MpsVfVld:55:1 MpsPf:52:3 MpsVf:44:8 SynIn:43:1 AckIn:42:1 FinIn:41:1 "
    "RstIn:40:1 DataIn:39:1 DataInVld:38:1 PadIn:37:1 RxBufEmpty:36:1 RxDdp:35:1 "
    "RxFbCongestion:34:1 TxFbCongestion:33:1 TxPktSumSrdy:32:1 RcfUlpType:28:4 Eread:27:1 "
    "Ebypass:26:1 Esave:25:1 Static0:24:1 Cread:23:1 Cbypass:22:1 Csave:21:1 CPktOut:20:1 "
    "RxPagePoolFull:18:2 RxLpbkPkt:17:1 TxLpbkPkt:16:1 RxVfValid:15:1 SynLearned:14:1 "
    "SetDelEntry:13:1 SetInvEntry:12:1 CpcmdDvld:11:1 CpcmdSave:10:1 RxPstructsFull:8:2 "
    "EpcmdDvld:7:1 EpcmdFlush:6:1 EpcmdTrimPrefix:5:1 EpcmdTrimPostfix:4:1 ERssIp4Pkt:3:1 "
    "ERssIp6Pkt:2:1 ERssTcpUdpPkt:1:1 ERssFceFipPkt:0:1"
)
"""The same for a tunnelled packet."""
LA_TUNNEL_PACKET = 1 << 17
"""The bit of a pair's first word that marks a tunnelled packet (TunnelPkt)."""
ULPRX_TRACES = 8
ULPRX_TRACE_WORDS = 512
"""The logic analyser of ULP_RX: traces, and words of a trace."""
ULPTX_INSTANCES = 11
ULPTX_STRIDE = 0x10
ULPTX_READS = 512
ULPTX_ASIC_READS = 128
"""The logic analyser of ULP_TX (cudbg_entity.h)."""
CLOCK_REGISTERS = (
    "TP_TIMER_RESOLUTION",
    "TP_DACK_TIMER",
    "TP_RXT_MIN",
    "TP_RXT_MAX",
    "TP_PERS_MIN",
    "TP_PERS_MAX",
    "TP_KEEP_IDLE",
    "TP_KEEP_INTVL",
    "TP_INIT_SRTT",
    "TP_FINWAIT2_TIMER",
)
"""The registers CLK reads, in order (cudbg_collect_clk_info())."""
ULPTX_ASIC_REGISTERS = (
    "ULP_TX_ASIC_DEBUG_CTRL",
    "ULP_TX_ASIC_DEBUG_0",
    "ULP_TX_ASIC_DEBUG_1",
    "ULP_TX_ASIC_DEBUG_2",
    "ULP_TX_ASIC_DEBUG_3",
    "ULP_TX_ASIC_DEBUG_4",
    "PM_RX_CFG",
)
"""The registers ULPTX_LA reads after each write to the first. The last is a mistake of the driver:
it reads PM_RX_BASE_ADDR, the start of another block, as the sixth debug word."""


_RATE_FIELD = 0xFF


def rate_limit(kbps: int, core_clock: int) -> int:
    """Returns the half of a TX_MOD_*_RATE_LIMIT that comes nearest to a rate, at a core clock in
    kHz: bytes [15:8] that a scheduler sends in so many clock cycles [7:0]. 0 is no limit.
    """
    if not kbps:
        return 0
    wanted = kbps * 125 / (core_clock * 1000)  # bytes per cycle
    pairs = [(max(round(wanted * cycles), 1), cycles) for cycles in range(1, _RATE_FIELD + 1)]
    pairs = [pair for pair in pairs if pair[0] <= _RATE_FIELD] or [(_RATE_FIELD, 1)]
    count, cycles = min(pairs, key=lambda pair: abs(pair[0] / pair[1] - wanted))
    return count << 8 | cycles


class Tp(NamedTuple):
    """The differences between the chips."""

    channels: int
    """Channels (arch.nchan)."""
    port_channels: Mapping[int, int]
    """Channels of each port, by the number of ports (t4_hw.c, t4_get_tp_ch_map())."""
    rss_rows: int
    """Rows of TP_RSS_LKP_TABLE, two queues each."""
    rss_vfs: int
    """Virtual functions with an RSS configuration (arch.vfcount)."""

    def channel_map(self, port: int, ports: int) -> int:
        """Returns a bit for each channel that receives from a port (t4_get_tp_ch_map())."""
        count = self.port_channels[ports]
        return (1 << count) - 1 << count * port


T5 = Tp(channels=4, port_channels={1: 4, 2: 2, 4: 1}, rss_rows=1024, rss_vfs=128)
T6 = Tp(channels=2, port_channels={1: 1, 2: 1}, rss_rows=2048, rss_vfs=256)
