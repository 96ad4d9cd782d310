"""LE, ULP, PM and CPL: the blocks that handle connections, and pass messages between blocks."""

from __future__ import annotations

from vmcoredd.diagnosis.causes import Bits, causes
from vmcoredd.diagnosis.consequences import FIRMWARE_STOPS, READ_THROUGH
from vmcoredd.diagnosis.finding import ERROR, FATAL, NOTE

_REPLACE = "reset the card; replace it if it happens again"
_UNREAD = "reg_defs (Linux does not read it)"

causes(
    "LE_DB_INT_CAUSE",
    Bits(
        "le-parity",
        FATAL,
        "ParityErr ReqQParErr TcamIntPerr SsramIntPerr",
        "the lookup engine had a parity error",
        _REPLACE + "; LE_TCAM shows which entries are left",
        explains=f"{READ_THROUGH['LE_DB_DBGI_CONFIG']} debug-interface-busy",
        parity=True,
    ),
    Bits(
        "le-unknown-command",
        FATAL,
        "UnknownCmd CmdTidErr",
        "the lookup engine was given a command or a TID that is not valid",
        "look in LE_TCAM for entries that cannot be; update the firmware",
    ),
    Bits(
        "le-lookup-failed",
        ERROR,
        "LIPMiss LIP0 HashTblMemCrcErr",
        "the lookup engine: LIP miss, 0 LIP, or a wrong CRC in the memory of the hash table",
        "compare LE_TCAM's CLIP entries with the host's addresses",
    ),
    Bits(
        "le-other-parity",
        ERROR,
        "*Perr *ParErr *AccFail *MemAccErr *CrcErr *IntErr PipelineErr *Fifoerr",
        "the lookup engine had a parity error or a failed access; Linux does not read these bits",
        _REPLACE,
        parity=True,
    ),
    Bits(
        "le-events",
        NOTE,
        "*Hit Miss SYNCookie* NFASrchFail Act*",
        "the lookup engine counts events, which are no errors",
        "nothing",
    ),
    source="t4_hw.c: le_intr_handler()",
)

_TRANSMIT = "update the firmware and the upper-layer driver"
causes(
    "ULP_TX_INT_CAUSE",
    Bits(
        "ulp-tx-bounds",
        ERROR,
        "Pbl_bound_err_*",
        "a page list of the upper-layer protocols was addressed beyond its end; Linux logs it and "
        "goes on",
        _TRANSMIT,
    ),
    Bits(
        "ulp-tx-parity",
        FATAL,
        0xFFFFFFF,
        "a FIFO or memory of ULP_TX had a parity error",
        _REPLACE,
        parity=True,
    ),
    source="t4_hw.c: ulptx_intr_handler()",
    complete=True,
)
causes(
    "ULP_TX_INT_CAUSE_2",
    Bits(
        "ulp-tx-parity-2",
        ERROR,
        "*perr*",
        "a FIFO or memory of ULP_TX had a parity error",
        _REPLACE,
        parity=True,
    ),
    source=_UNREAD,
)
causes(
    "ULP_RX_INT_CAUSE",
    Bits(
        "ulp-rx-context",
        FATAL,
        "CAUSE_CTX_* 0x1800000",
        "ULP_RX: context error",
        _TRANSMIT + "; read ULPRX_LA",
    ),
    Bits(
        "ulp-rx-parity",
        FATAL,
        0x7FFFFF,
        "a FIFO or memory of ULP_RX had a parity error",
        _REPLACE,
        parity=True,
    ),
    Bits(
        "ulp-rx-framing",
        ERROR,
        "SE_CNT_MISMATCH_*",
        "ULP_RX counted a beginning of a message without an end",
        "look for errors of TP and PM",
    ),
    source="t4_hw.c: ulprx_intr_handler()",
)
causes(
    "ULP_RX_INT_CAUSE_2",
    Bits(
        "ulp-rx-protection",
        ERROR,
        "*",
        "ULP_RX met a parity error, or data that belong to no region of the upper-layer protocols",
        _TRANSMIT,
    ),
    source=_UNREAD,
)

_PM_RX_DATA = Bits(
    "pm-rx-data",
    ERROR,
    "*sdc_err bundle_len* ospi_overflow*",
    "the payload manager's data had a wrong checksum or length; Linux does not look at these bits",
    _REPLACE,
)
for _side, _length, _framing, _parity, *_more in (
    (
        "tx",
        "pcmd_len_ovfl* zero_c_cmd_error",
        "*framing_error",
        "ospi_or_bundle_len_par_err db_options_par_error icspi_par_error c_pcmd_par_error",
    ),
    (
        "rx",
        "zero_e_cmd_error",
        "*framing_error",
        "ocspi_par_error db_options_par_error iespi_par_error e_pcmd_par_error",
        _PM_RX_DATA,
    ),
):
    causes(
        f"PM_{_side.upper()}_INT_CAUSE",
        Bits(
            f"pm-{_side}-length",
            FATAL,
            _length,
            "the payload manager was given a command whose length is 0 or too large ({register})",
            "look for errors of TP; update the firmware",
        ),
        Bits(
            f"pm-{_side}-framing",
            FATAL,
            _framing,
            "a message through the payload manager had no proper beginning or end ({register})",
            "look for errors of TP and ULP; reset the card",
        ),
        Bits(
            f"pm-{_side}-parity",
            FATAL,
            _parity,
            "the payload manager had a parity error ({register})",
            _REPLACE,
            parity=True,
        ),
        *_more,
        source=f"t4_hw.c: pm{_side}_intr_handler()",
        complete=not _more,
    )

causes(
    "CPL_INTR_CAUSE",
    Bits(
        "cpl-switch-parity",
        FATAL,
        "cim_op_map_perr",
        "CPL switch: CIM op_map parity error",
        _REPLACE,
        parity=True,
    ),
    Bits(
        "cpl-switch-framing",
        FATAL,
        "*_framing_error cim_ovfl_error",
        "a message between blocks had no proper beginning or end, or overran the processor",
        "the field names the sender; reset the card",
        explains=FIRMWARE_STOPS,
    ),
    Bits(
        "cpl-switch-no-receiver",
        FATAL,
        "zero_switch_error",
        "CPL switch: no-switch error",
        "update the firmware",
    ),
    Bits(
        "cpl-switch-data-parity",
        ERROR,
        "perr_cpl_*",
        "a message between blocks had a parity error; Linux does not look at these bits",
        _REPLACE,
        parity=True,
    ),
    source="t4_hw.c: cplsw_intr_handler()",
)
