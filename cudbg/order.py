"""The 52 entities of a crash-time dump, in the order in which they are collected.

Source: cxgb4_collect_hw_dump[], then cxgb4_collect_mem_dump[] (cxgb4_cudbg.c); numbers and names
from enum cudbg_dbg_entity_type (cudbg_if.h).
"""

from __future__ import annotations

ORDER: dict[int, str] = {
    66: "MBOX_LOG",
    70: "QDESC",
    2: "DEV_LOG",
    1: "REG_DUMP",
    3: "CIM_LA",
    4: "CIM_MA_LA",
    5: "CIM_QCFG",
    6: "CIM_IBQ_TP0",
    7: "CIM_IBQ_TP1",
    8: "CIM_IBQ_ULP",
    9: "CIM_IBQ_SGE0",
    10: "CIM_IBQ_SGE1",
    11: "CIM_IBQ_NCSI",
    12: "CIM_OBQ_ULP0",
    13: "CIM_OBQ_ULP1",
    14: "CIM_OBQ_ULP2",
    15: "CIM_OBQ_ULP3",
    16: "CIM_OBQ_SGE",
    17: "CIM_OBQ_NCSI",
    22: "RSS",
    25: "RSS_VF_CONF",
    27: "PATH_MTU",
    30: "PM_STATS",
    31: "HW_SCHED",
    36: "TP_INDIRECT",
    37: "SGE_INDIRECT",
    41: "ULPRX_LA",
    43: "TP_LA",
    44: "MEMINFO",
    45: "CIM_PIF_LA",
    46: "CLK",
    47: "CIM_OBQ_RXQ0",
    48: "CIM_OBQ_RXQ1",
    50: "PCIE_INDIRECT",
    51: "PM_INDIRECT",
    54: "TID_INFO",
    55: "PCIE_CONFIG",
    56: "DUMP_CONTEXT",
    57: "MPS_TCAM",
    58: "VPD_DATA",
    59: "LE_TCAM",
    60: "CCTRL",
    61: "MA_INDIRECT",
    62: "ULPTX_LA",
    64: "UP_CIM_INDIRECT",
    65: "PBT_TABLE",
    67: "HMA_INDIRECT",
    18: "EDC0",
    19: "EDC1",
    20: "MC0",
    21: "MC1",
    68: "HMA",
}

NUMBERS: dict[str, int] = {name: number for number, name in ORDER.items()}
