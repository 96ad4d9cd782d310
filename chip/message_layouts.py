"""Layouts of the messages in queues: work requests, CPLs, scatter-gather lists, responses.

`LAYOUTS` names them as C does: `chip/messages.h` is generated from it. Numbers are big-endian.
Opcodes are in `chip.messages`; what differs between the chips is in its `Messages`. Sources:
t4fw_api.h (fw_*_wr), t4_msg.h (cpl_*, ulptx_*), t4_hw.h (rsp_ctrl), cxgb4.h (sge_qstat); fields
that Linux does not name are FreeBSD's cxgbe's.
"""

from __future__ import annotations

from vmcoredd.chip.layout import BigStruct, reserved, u8, u16, u32, u64, word

_HEADER = (
    *word("op:24:8 atomic:23:1 flush:22:1 compl:21:1 immdlen:0:9"),
    *word("equiq:31:1 equeq:30:1 flowid:8:20 len16:0:8"),
)
_TID = word("opcode:24:8 tid:0:24")
_ENTRY = word("opcode:24:8 qid:14:10 index:0:14")
"""A TID that names the queue of the reply (TID_QID)."""


class WorkRequestHeader(BigStruct):
    """struct fw_wr_hdr. `immdlen` is the length of CPLs and immediate data behind the header."""

    _fields_ = (*_HEADER,)


class EthTxPkt(BigStruct):
    """struct fw_eth_tx_pkt_wr; that of PTP_TX_PKT is the same."""

    _fields_ = (*_HEADER, *reserved(8))


class EthTxPktVm(BigStruct):
    """struct fw_eth_tx_pkt_vm_wr: it repeats the frame's Ethernet header."""

    _fields_ = (
        *_HEADER,
        *reserved(8),
        ("ethmacdst", u8 * 6),
        ("ethmacsrc", u8 * 6),
        ("ethtype", u16),
        ("vlantci", u16),
    )


class EthTxPkts(BigStruct):
    """struct fw_eth_tx_pkts_wr of FreeBSD: `npkt` packets. In type 1 each is a CPL_TX_PKT and a
    list of one element; in type 0, a `UlpTxPkt`, an `Immediate` with the CPL, and a list."""

    _fields_ = (*_HEADER, *reserved(4), ("plen", u16), ("npkt", u8), ("type", u8))


class EthTxEo(BigStruct):
    """struct fw_eth_tx_eo_wr with its udpseg; of a tcpseg, `udplen` is the TCP header's length."""

    _fields_ = (
        *_HEADER,
        *reserved(8),
        ("type", u8),
        ("ethlen", u8),
        ("iplen", u16),
        ("udplen", u8),
        ("rtplen", u8),
        *reserved(2),
        ("mss", u16),
        ("schedpktsize", u16),
        ("plen", u32),
    )


class Flowc(BigStruct):
    """struct fw_flowc_wr: `nparams` `FlowcParameter`s follow it."""

    _fields_ = (
        *word("op:24:8 compl:21:1 nparams:0:8"),
        *word("flowid:8:20 len16:0:8"),
    )


class FlowcParameter(BigStruct):
    """struct fw_flowc_mnemval: what is set (`FlowParameter`), and its value."""

    _fields_ = (("mnemonic", u8), *reserved(3), ("val", u32))


class Filter(BigStruct):
    """struct fw_filter_wr. Of two fields `x` and `xm`, the second is a mask. `l` is the end that is
    here, the target of a received packet; of IPv4, an address is the first 4 bytes."""

    _fields_ = (
        *_HEADER,
        *reserved(8),
        *word("tid:12:20 rqtype:11:1 noreply:10:1 iq:0:10"),
        *word(
            "del_filter:31:1 rpttid:25:1 drop:24:1 dirsteer:23:1 maskhash:22:1 dirsteerhash:21:1 "
            "lpbk:20:1 dmac:19:1 smac:18:1 insvlan:17:1 rmvlan:16:1 hitcnts:15:1 txchan:13:2 "
            "prio:12:1 l2tix:0:12"
        ),
        ("ethtype", u16),
        ("ethtypem", u16),
        *word("frag:7:1 fragm:6:1 ivlan_vld:5:1 ovlan_vld:4:1 ivlan_vldm:3:1 ovlan_vldm:2:1", u8),
        ("smac_sel", u8),
        *word("rx_chan:15:1 rx_rpl_iq:0:10", u16),
        *word(
            "maci:23:9 macim:14:9 fcoe:13:1 fcoem:12:1 port:9:3 portm:6:3 matchtype:3:3 "
            "matchtypem:0:3"
        ),
        ("ptcl", u8),
        ("ptclm", u8),
        ("ttyp", u8),
        ("ttypm", u8),
        ("ivlan", u16),
        ("ivlanm", u16),
        ("ovlan", u16),
        ("ovlanm", u16),
        ("lip", u8 * 16),
        ("lipm", u8 * 16),
        ("fip", u8 * 16),
        ("fipm", u8 * 16),
        ("lp", u16),
        ("lpm", u16),
        ("fp", u16),
        ("fpm", u16),
        *reserved(2),
        ("sma", u8 * 6),
    )


class FilterNat(BigStruct):
    """What struct fw_filter2_wr has behind fw_filter_wr: how packets are rewritten."""

    _fields_ = (
        *reserved(2),
        *word("filter_type:1:1 swapmac:0:1", u8),
        *word("natmode:5:3 natflagcheck:4:1 ulp_type:0:4", u8),
        ("newlport", u16),
        ("newfport", u16),
        ("newlip", u8 * 16),
        ("newfip", u8 * 16),
        ("natseqcheck", u32),
        *reserved(36),
    )


class Sgl(BigStruct):
    """struct ulptx_sgl: the first element of a list; `SglPair`s hold the others."""

    _fields_ = (*word("cmd:24:8 more:23:1 nsge:0:16"), ("len0", u32), ("addr0", u64))


class SglPair(BigStruct):
    """struct ulptx_sge_pair. An odd last element has len1 0, and no addr1."""

    _fields_ = (("len0", u32), ("len1", u32), ("addr0", u64), ("addr1", u64))


class UlpTxPkt(BigStruct):
    """struct ulp_txpkt: a message inside a work request; `len` is in units of 16 bytes."""

    _fields_ = (*word("cmd:24:8 dest:16:2 fid:4:11 ro:3:1"), ("len", u32))


class Immediate(BigStruct):
    """struct ulptx_idata: `len` bytes follow it."""

    _fields_ = (*word("cmd:24:8 more:23:1"), ("len", u32))


class TxPkt(BigStruct):
    """struct cpl_tx_pkt_core (CPL_TX_PKT and CPL_TX_PKT_XT).

    `csum_*` are for types of checksums below 8. For the others, the lengths of headers are at the
    same bits, as `Messages` says.
    """

    _fields_ = (
        *word(
            "opcode:24:8 tstamp:23:1 ins_ovlan:21:1 intf:16:4 ovlan_idx:12:3 vf_vld:11:1 pf:8:3 "
            "vf:0:8"
        ),
        ("pack", u16),
        ("len", u16),
        *word(
            "l4csum_dis:63:1 ipcsum_dis:62:1 vlan_vld:60:1 vlan:44:16 csum_type:40:4 "
            "csum_loc:30:10 csum_start:20:10 csum_end:12:8",
            u64,
        ),
    )


class TxPktWords(BigStruct):
    """struct cpl_tx_pkt_core in words, for the fields of ctrl1 that differ between the chips."""

    _fields_ = (("ctrl0", u32), ("pack", u16), ("len", u16), ("ctrl1", u64))


class TxPktLso(BigStruct):
    """struct cpl_tx_pkt_lso_core; lengths of headers are in words, `ethhdr_len` beyond 14 bytes."""

    _fields_ = (
        *word(
            "opcode:24:8 first_slice:23:1 last_slice:22:1 ipv6:20:1 ethhdr_len:16:4 iphdr_len:4:12 "
            "tcphdr_len:0:4"
        ),
        ("ipid_ofst", u16),
        ("mss", u16),
        ("seqno_offset", u32),
        *word("xfer_size:0:28"),
    )


class TxTnlLso(BigStruct):
    """struct cpl_tx_tnl_lso: segmentation inside a tunnel, T6 only; lengths are in words."""

    _fields_ = (
        *word(
            "opcode:24:8 first:23:1 last:22:1 ethhdrlenxout:21:1 ipv6out:20:1 ethhdrlenout:16:4 "
            "iphdrlenout:4:12 iphdrchkout:3:1 iplensetout:2:1 ipidincout:1:1"
        ),
        ("ipidoffsetout", u16),
        *word("udplensetout:15:1 udpchkclrout:14:1 tnltype:12:2 tnlhdrlen:0:12", u16),
        *reserved(8),
        *word("ipv6:20:1 ethhdrlen:16:4 iphdrlen:4:12 tcphdrlen:0:4"),
        ("ipidoffset", u16),
        *word("mss:0:14", u16),
        ("tcpseqoffset", u32),
        *word("tnllsosize:0:28"),
    )


class L2tWriteReq(BigStruct):
    """struct cpl_l2t_write_req, without its work request's header."""

    _fields_ = (
        *_ENTRY,
        *word("noreply:15:1 port:8:2 lpbk:7:1 info:2:1 arpmiss:1:1", u16),
        ("l2t_idx", u16),
        ("vlan", u16),
        ("dst_mac", u8 * 6),
    )


class SmtWriteReq(BigStruct):
    """struct cpl_smt_write_req; of cpl_t6_smt_write_req, whose rows have one entry, all but what
    precedes `pfvf0` and what follows `src_mac0`."""

    _fields_ = (
        *_ENTRY,
        *word("norpl:31:1 idx:20:8 ovlan_idx:16:4"),
        ("pfvf1", u16),
        ("src_mac1", u8 * 6),
        ("pfvf0", u16),
        ("src_mac0", u8 * 6),
    )


class SetTcbField(BigStruct):
    """struct cpl_set_tcb_field_core."""

    _fields_ = (
        *_TID,
        *word("no_reply:15:1 reply_chan:14:1 queueno:0:14", u16),
        *word("cookie:5:3 word:0:5", u16),
        ("mask", u64),
        ("val", u64),
    )


class SetTcbRpl(BigStruct):
    """struct cpl_set_tcb_rpl."""

    _fields_ = (
        *_TID,
        *reserved(2),
        *word("cookie:5:3 word:0:5", u8),
        ("status", u8),
        ("oldval", u64),
    )


class WriteRpl(BigStruct):
    """struct cpl_l2t_write_rpl, cpl_smt_write_rpl."""

    _fields_ = (*_TID, ("status", u8), *reserved(3))


class EgrUpdate(BigStruct):
    """struct cpl_sge_egr_update."""

    _fields_ = (*word("opcode:24:8 qid:0:17"), ("cidx", u16), ("pidx", u16))


class Fw4Ack(BigStruct):
    """struct cpl_fw4_ack: gives back what a flow's work requests took, `credits` units of 16 bytes;
    `flags` are CPL_FW4_ACK_FLAGS_*."""

    _fields_ = (
        *word("opcode:24:8 flowid:0:24"),
        ("credits", u8),
        *reserved(2),
        ("flags", u8),
        ("snd_nxt", u32),
        ("snd_una", u32),
        *reserved(8),
    )


class Fw6Msg(BigStruct):
    """struct cpl_fw6_msg; type 0 holds the beginning of a firmware command's reply."""

    _fields_ = (("opcode", u8), ("type", u8), *reserved(6), ("data", u8 * 32))


class RssHeader(BigStruct):
    """struct rss_header, with which an entry of an ingress queue begins."""

    _fields_ = (
        ("opcode", u8),
        *word("send2fw:7:1 ipv6:6:1 hash_type:4:2 filter_tid:3:1 filter_hit:2:1 channel:0:2", u8),
        ("qid", u16),
        ("hash_val", u32),
    )


class RxPkt(BigStruct):
    """struct cpl_rx_pkt without its RSS header."""

    _fields_ = (
        ("opcode", u8),
        *word("ip_frag:7:1 vlan_ex:6:1 ipmi_pkt:5:1 csum_calc:4:1 iff:0:4", u8),
        ("csum", u16),
        ("vlan", u16),
        ("len", u16),
        *word(
            "chan:28:4 lro:27:1 fcoe:26:1 ip6:25:1 ip:24:1 tcp:23:1 udp:22:1 syn:21:1 psh:20:1 "
            "macidx:8:9 ethhdr_len:0:8"
        ),
        *word("iphdr_len:6:10 tcphdr_len:0:6", u16),
        ("err_vec", u16),
    )


class RxErrors(BigStruct):
    """`err_vec` of struct cpl_rx_pkt (RXERR_*)."""

    _fields_ = word(
        "ping:14:1 csum:13:1 ipcsum:12:1 tcp_opt:9:1 pkt_len:8:1 tcphdr_len:7:1 iphdr_len:6:1 "
        "ethhdr_len:5:1 attack:4:1 frag:3:1 ipvers:2:1 mac:1:1 or:0:1",
        u16,
    )


class RxErrorsCompressed(BigStruct):
    """`err_vec` as TP_OUT_CONFIG.CRxPktEnc compresses it (T6_COMPR_RXERR_*, T6_RX_TNL*)."""

    _fields_ = word(
        "tnlhdr_len:8:8 tnl_type:6:2 misc:5:1 sum:4:1 ipv6_ext:3:1 tcp_opt:2:1 len:1:1 mac:0:1",
        u16,
    )


class Response(BigStruct):
    """struct rsp_ctrl: the end of an entry of an ingress queue."""

    _fields_ = (
        ("hdrbuflen_pidx", u32),
        *word("newbuf:31:1 len:0:31"),
        *word("gen:63:1 type:60:2 timestamp:0:60", u64),
    )


class StatusPage(BigStruct):
    """struct sge_qstat: at the end of an egress queue's ring."""

    _fields_ = (("qid", u32), ("cidx", u16), ("pidx", u16))


LAYOUTS: dict[str, type[BigStruct]] = {
    "WR": WorkRequestHeader,
    "ETH_WR": EthTxPkt,
    "VM_WR": EthTxPktVm,
    "PKTS_WR": EthTxPkts,
    "EO_WR": EthTxEo,
    "FLOWC_WR": Flowc,
    "FLOWC_PARAM": FlowcParameter,
    "FILTER_WR": Filter,
    "FILTER_NAT": FilterNat,
    "SGL": Sgl,
    "SGL_PAIR": SglPair,
    "ULP_TXPKT": UlpTxPkt,
    "IDATA": Immediate,
    "TX_PKT": TxPkt,
    "TX_PKT_WORDS": TxPktWords,
    "LSO": TxPktLso,
    "TNL_LSO": TxTnlLso,
    "L2T_WRITE_REQ": L2tWriteReq,
    "SMT_WRITE_REQ": SmtWriteReq,
    "SET_TCB_FIELD": SetTcbField,
    "SET_TCB_RPL": SetTcbRpl,
    "WRITE_RPL": WriteRpl,
    "EGR_UPDATE": EgrUpdate,
    "FW4_ACK": Fw4Ack,
    "FW6_MSG": Fw6Msg,
    "RSS": RssHeader,
    "RX_PKT": RxPkt,
    "RX_ERR": RxErrors,
    "RX_ERR_SHORT": RxErrorsCompressed,
    "RSP": Response,
    "STATUS_PAGE": StatusPage,
}
