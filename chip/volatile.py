"""Which registers change by themselves: with time, with traffic, or when an operation has ended.

Two drivers that do the same may read something else from them, or read them more or less often.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from vmcoredd.chip.register import Register

_CLOCKS = (
    *("SGE_TIMESTAMP_*", "SGE_PF_KTIMESTAMP_*", "MPS_TRC_TIMESTAMP_*", "MAC_PORT_*TIMESTAMP"),
    *("TP_TIME_*", "TP_SYNC_TIME_*", "MAC_PORT_PTP_TIMER_RD*", "MAC_PORT_PTP_SUM_*"),
)  # t4_regs.h, reg_defs: the running times of blocks
_COUNTERS = (
    *("MPS_PORT_STAT_*_[HL]", "MPS_PF_STAT_*_[HL]", "MPS_STAT_RX_BG_*_[HL]"),
    *("MPS_*_SE_CNT_*", "MPS_CLS_*_CNT*", "MPS_RX_*_BG_PG_CNT*", "MPS_RX_CNT_*"),
    *("SGE_STAT_TOTAL", "SGE_STAT_MATCH", "SGE_DBG_*_CNT", "SGE_IDMA*_DROP_CNT"),
    "SGE_DBFIFO_STATUS*",
    *("PM_[RT]X_STAT_COUNT", "TP_MIB_DATA", "TP_TX_[OT]RATE"),
    *("TP_FLM_FREE_*_CNT", "ULP_[RT]X_SE_CNT_CH*", "ULP_[RT]X_LA_WRPTR*", "LE_DB_REQ_RSP_CNT"),
)  # t4_hw.c: t4_get_port_stats(), t4_tp_get_*_stats(), t4_pmrx_get_stats() and their like
_FIRMWARES = (
    *("CIM_PF_MAILBOX_CTRL", "MYPF_CIM_PF_MAILBOX_CTRL"),  # t4_hw.c: t4_wr_mbox_meat_timeout()
    "PCIE_FW",  # likewise, and t4_fw_hello()
)
_POLLED = (
    "SF_OP",  # t4_hw.c: sf1_read(), flash_wait_op()
    "CIM_HOST_ACC_CTRL",  # t4_hw.c: t4_cim_read()
    *("CIM_IBQ_DBG_CFG", "CIM_OBQ_DBG_CFG"),  # t4_hw.c: t4_read_cim_ibq(), t4_read_cim_obq()
    "TP_RSS_LKP_TABLE",  # t4_hw.c: rd_rss_row()
    "SGE_CTXT_CMD",  # t4_hw.c: t4_sge_ctxt_rd_bd()
    *("EDC_H_BIST_CMD", "MC_P_BIST_CMD"),  # assumed: their start bit clears when they are done
    *("LE_DB_DBGI_CONFIG", "LE_DB_DBGI_RSP_STATUS"),  # cudbg_lib.c: cudbg_read_tid()
)
_TIMED = ("SGE_DEBUG_INDEX", "SGE_DEBUG_DATA_HIGH", "SGE_DEBUG_DATA_LOW")
# sge.c: sge_rx_timer_cb(), t4_hw.c: t4_idma_monitor()

HOSTS_OWN = ("iqaddr", "fl0addr", "fl1addr", "eqaddr", "phy_address", "tm")
"""The fields of mailbox commands that hold addresses in the host's memory, or its time."""
# t4fw_api.h: FW_IQ_CMD, FW_EQ_*_CMD, FW_HMA_CMD, FW_PTP_CMD


def is_volatile(register: Register) -> bool:
    """Returns whether its value changes with time or traffic."""
    return any(fnmatchcase(register.name, pattern) for pattern in _CLOCKS + _COUNTERS)


def is_polled(register: Register) -> bool:
    """Returns whether drivers read it until an operation has ended."""
    return register.name in _POLLED or waits_for_firmware(register)


def waits_for_firmware(register: Register) -> bool:
    """Returns whether it is polled until firmware has done something: up to seconds."""
    return register.name in _FIRMWARES


def is_timed(register: Register) -> bool:
    """Returns whether a timer of the driver accesses it while interfaces are up."""
    return register.name in _TIMED
