"""What findings may be consequences of others, as patterns of rules and entities.

A pattern in lower case is of rules, one in upper case of entities that the dump lacks, or has only
in part. A rule names only what its own block, or one behind it on the way of the data, can show.
"""

from __future__ import annotations

FIRMWARE_STOPS = (
    "firmware-crash firmware-*-failed firmware-unexpected-event firmware-error-reserved "
    "firmware-never-initialized"
)
"""The firmware met what it could not go on with."""
FIRMWARE_SILENT = "mailbox-owned-by-firmware mailbox-timed-out mailbox-busy"
"""The firmware does not answer commands."""
PROCESSOR_STOPS = f"{FIRMWARE_STOPS} {FIRMWARE_SILENT}"
READERS = f"{PROCESSOR_STOPS} cim-memory-timeout ma-timeout"
"""What waits for memories: the firmware, its processor, and the arbiter."""

READ_THROUGH = {
    "CIM_HOST_ACC_CTRL": "CIM_LA CIM_QCFG UP_CIM_INDIRECT PBT_TABLE",
    "CIM_IBQ_DBG_CFG": "CIM_IBQ_*",
    "CIM_OBQ_DBG_CFG": "CIM_OBQ_*",
    "CIM_DEBUGCFG": "CIM_MA_LA CIM_PIF_LA",
    "LE_DB_DBGI_CONFIG": "LE_TCAM",
    "MPS_CLS_TCAM_DATA2_CTL": "MPS_TCAM",
    "SGE_CTXT_CMD": "DUMP_CONTEXT",
    "SGE_DEBUG_INDEX": "SGE_INDIRECT",
    "TP_RSS_LKP_TABLE": "RSS",
    "TP_RSS_CONFIG_VRT": "RSS_VF_CONF",
    "TP_MTU_TABLE": "PATH_MTU",
    "TP_CCTRL_TABLE": "CCTRL",
    "TP_PIO_ADDR": "TP_INDIRECT HW_SCHED",
    "TP_DBG_LA_CONFIG": "TP_LA",
    "ULP_RX_LA_CTL": "ULPRX_LA",
    "ULP_TX_LA_RDPTR_0": "ULPTX_LA",
    "PM_TX_STAT_CONFIG": "PM_STATS",
    "PM_TX_DBG_CTRL": "PM_INDIRECT",
    "PCIE_PDBG_INDIR_REQ": "PCIE_INDIRECT",
    "PCIE_CFG_SPACE_REQ": "PCIE_CONFIG",
    "MA_LOCAL_DEBUG_CFG": "MA_INDIRECT",
    "HMA_LOCAL_DEBUG_CFG": "HMA_INDIRECT",
    "PCIE_MEM_ACCESS_BASE_WIN": "EDC0 EDC1 MC0 MC1 HMA DEV_LOG",
}
"""The register through which a driver reads each entity; those of others, it reads directly."""
PARITY_SUMMARIES = "pl-fatal-parity pl-parity-summary"
"""PL's summaries of the parity errors of all blocks."""
