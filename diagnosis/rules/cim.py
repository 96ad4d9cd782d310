"""CIM: the embedded processor, its queues and its mailboxes."""

from __future__ import annotations

from vmcoredd.diagnosis.causes import Bits, causes
from vmcoredd.diagnosis.consequences import PROCESSOR_STOPS, READ_THROUGH
from vmcoredd.diagnosis.finding import ERROR, FATAL, NOTE

_REPLACE = "reset the card; replace it if it happens again"
_ACCESSES = READ_THROUGH["CIM_HOST_ACC_CTRL"]
_QUEUES = f"{READ_THROUGH['CIM_IBQ_DBG_CFG']} {READ_THROUGH['CIM_OBQ_DBG_CFG']}"
_QUEUES_FAIL = f"{PROCESSOR_STOPS} {_ACCESSES} {_QUEUES} debug-interface-busy"
_HANDLER = "t4_hw.c: cim_intr_handler()"

causes(
    "CIM_HOST_INT_CAUSE",
    Bits(
        "cim-queue-parity",
        FATAL,
        "IBQ*ParErr OBQ*ParErr",
        "a queue of the processor's had a parity error",
        _REPLACE,
        explains=_QUEUES_FAIL,
        parity=True,
    ),
    Bits(
        "cim-mailbox-parity",
        FATAL,
        "MBHostParErr MBUpParErr 0x20000",
        "CIM mailbox: a parity error on the processor's or the host's side",
        _REPLACE,
        explains=PROCESSOR_STOPS,
        parity=True,
    ),
    Bits(
        "cim-tieq-parity",
        FATAL,
        "TieQ*ParErrInt",
        "CIM TIEQ: an incoming or outgoing parity error",
        _REPLACE,
        explains=PROCESSOR_STOPS,
        parity=True,
    ),
    Bits(
        "cim-prefetch-drop",
        FATAL,
        "PrefDropInt",
        "CIM dropped a prefetch of a control register",
        _REPLACE,
        explains=PROCESSOR_STOPS,
    ),
    Bits(
        "cim-interface-parity",
        ERROR,
        "*IntfParErr *IntfPerr *RspDataParErr",
        "a parity error between the processor and another block; Linux does not look at these bits",
        _REPLACE,
        explains=PROCESSOR_STOPS,
        parity=True,
    ),
    Bits(
        "cim-timer0",
        NOTE,
        "Timer0Int",
        "timer 0 was raised: the firmware does so when it crashes, for the host to notice; "
        "without a crash it means nothing",
        "read PCIE_FW",
    ),
    Bits(
        "cim-access-summary",
        NOTE,
        "uPAccNonZero",
        "CIM_HOST_UPACC_INT_CAUSE is not 0",
        "read that register",
    ),
    source=_HANDLER,
)

_TRACE = "read CIM_PIF_LA for the access, and CIM_LA for the code that made it; update the firmware"
causes(
    "CIM_HOST_UPACC_INT_CAUSE",
    Bits(
        "cim-access-timeout",
        FATAL,
        "TimeOutInt",
        "CIM PIF timeout: an access of the firmware to a register was not answered in time",
        "the address is one of the processor's; how these map to registers is not public; "
        + _TRACE,
        explains=PROCESSOR_STOPS,
        shows="CIM_DEBUG_ADDR_TIMEOUT",
    ),
    Bits(
        "cim-memory-timeout",
        FATAL,
        "TimeOutMAInt",
        "CIM PIF MA timeout: an access of the firmware to memory was not answered in time",
        "look for errors of MA, EDC and MC; " + _TRACE,
        explains=PROCESSOR_STOPS,
    ),
    Bits(
        "cim-illegal-access",
        FATAL,
        "RsvdSpaceInt Ill*Int",
        "the firmware made an illegal access, or one to reserved space",
        _TRACE,
        explains=PROCESSOR_STOPS,
        shows="CIM_DEBUG_ADDR_ILLEGAL",
    ),
    Bits(
        "cim-forbidden-access",
        FATAL,
        "Sgl*Int BlkWrBootInt BlkWrFlashInt Blk*EEPROMInt Blk*CtlInt Blk*PlInt",
        "the firmware made an access that the space does not allow",
        _TRACE,
        explains=PROCESSOR_STOPS,
    ),
    Bits(
        "cim-lookup-overwrite",
        FATAL,
        "*OvrLookupInt",
        "CIM: the FIFO of requests or of responses was overwritten",
        _TRACE,
        explains=PROCESSOR_STOPS,
    ),
    source=_HANDLER,
)

for _cause, _rule, _bits, _parity in (
    ("CIM_UP_INT_CAUSE", "cim-up-parity", "*ParErr *ParErrInt *IntfPerr PrefDropInt", True),
    ("CIM_UP_ACC_INT_CAUSE", "cim-up-access", "TimeOut* RsvdSpaceInt Ill*Int *OvrLookupInt", False),
):
    causes(
        _cause,
        Bits(
            _rule,
            ERROR,
            _bits,
            "the processor itself was told of an error ({register})",
            _TRACE,
            explains=PROCESSOR_STOPS,
            parity=_parity,
        ),
        source="reg_defs (for the processor; Linux does not read it)",
    )
