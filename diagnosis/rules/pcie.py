"""PCIE: the block's own causes, AER, and the width and speed of the link."""

from __future__ import annotations

from collections.abc import Iterator

from vmcoredd.chip.layout import U32_MASK
from vmcoredd.cudbg.blank import is_all_ones
from vmcoredd.cudbg.words import Word
from vmcoredd.diagnosis.card import Card
from vmcoredd.diagnosis.causes import Bits, causes
from vmcoredd.diagnosis.consequences import FIRMWARE_SILENT, READ_THROUGH
from vmcoredd.diagnosis.finding import ERROR, FATAL, NOTE, WARNING, Evidence
from vmcoredd.diagnosis.rule import Hit, rule

_SEAT = "seat the card again, try another slot; replace the card if it happens again"
_BUS = (
    f"sge-idma-stuck sge-pcie-error {FIRMWARE_SILENT} firmware-crash firmware-unexpected-event "
    "receive-blocked send-blocked"
)

causes(
    "PCIE_INT_CAUSE",
    Bits(
        "pcie-read-failed",
        ERROR,
        "RdRspErr",
        "a read of the host's memory failed; Linux logs it and goes on",
        "look at AER and the IOMMU's log for the address",
        explains="sge-idma-stuck sge-pcie-error",
    ),
    Bits(
        "pcie-non-fatal",
        WARNING,
        "NonFatalErr",
        "PCIE met an error that is not fatal; Linux does not look at this bit",
        "look at AER in PCIE_CONFIG",
    ),
    Bits(
        "pcie-parity-unread",
        ERROR,
        "IPGrpPerr",
        "a FIFO of the PCIe core had a parity error; Linux does not look at this bit",
        _SEAT,
        explains=_BUS,
        parity=True,
    ),
    Bits(
        "pcie-parity",
        FATAL,
        "*Perr",
        "a FIFO or memory of PCIE had a parity error",
        _SEAT,
        explains=_BUS,
        parity=True,
    ),
    source="t4_hw.c: pcie_intr_handler()",
    complete=True,
)


_CONFIG = "PCIE_CONFIG"


def _raised(word: Word, *fields: str) -> Iterator[Hit]:
    """Yields a hit if any of the fields is set."""
    raised = [field for field in fields if word.get(field)]
    if raised:
        yield Hit(Evidence.of(word, *raised), {"names": ", ".join(raised)})


_UNSUPPORTED, _ADVISORY = "UnSupReqErr", "AdvNonFatErr"


@rule(
    "pcie-aer-fatal",
    FATAL,
    "the PCIe function detected a fatal error",
    to_do="look at AER of the port above the card; " + _SEAT,
    source="PCI Express: Device Status",
    explains=_BUS + " card-off-the-bus pcie-aer-uncorrectable",
)
def aer_fatal(card: Card) -> Iterator[Hit]:
    yield from _raised(card.word("PCIE_DEV_STAT_CNTL", _CONFIG), "FatErrDet")


@rule(
    "pcie-aer-uncorrectable",
    ERROR,
    "PCIe met errors that cannot be corrected: {names}",
    to_do="look at AER of the port above the card, and at the IOMMU's log; " + _SEAT,
    source="PCI Express: AER",
    explains=_BUS + " pcie-non-fatal pcie-read-failed",
)
def aer_uncorrectable(card: Card) -> Iterator[Hit]:
    status = card.word("PCIE_AER_UNCOR_ERR_STAT", _CONFIG)
    yield from _raised(status, *(name for name in status.fields() if name != _UNSUPPORTED))


@rule(
    "pcie-unsupported-request",
    NOTE,
    "a request came that this function does not support; scanning a bus can do that",
    to_do="nothing, unless the host logs machine checks",
    source="PCI Express: AER",
)
def unsupported(card: Card) -> Iterator[Hit]:
    yield from _raised(card.word("PCIE_AER_UNCOR_ERR_STAT", _CONFIG), _UNSUPPORTED)


@rule(
    "pcie-aer-correctable",
    WARNING,
    "the PCIe link had errors that were corrected: {names}",
    to_do="watch them: a link that retries often is slow, and may fail; " + _SEAT,
    source="PCI Express: AER",
)
def aer_correctable(card: Card) -> Iterator[Hit]:
    status = card.word("PCIE_AER_COR_ERR_STAT", _CONFIG)
    yield from _raised(status, *(name for name in status.fields() if name != _ADVISORY))


@rule(
    "pcie-errors-detected",
    NOTE,
    "the PCIe function has detected errors since the last reset: {names}",
    to_do="AER has the details, if nobody has cleared them",
    source="PCI Express: Device Status",
)
def detected(card: Card) -> Iterator[Hit]:
    yield from _raised(
        card.word("PCIE_DEV_STAT_CNTL", _CONFIG), "NonFatErrDet", "CorErrDet", "UnSupReqDet"
    )


@rule(
    "pci-status-error",
    WARNING,
    "the PCI status register has errors: {names}",
    to_do="look at AER and the IOMMU's log",
    source="PCI: Status",
)
def pci_status(card: Card) -> Iterator[Hit]:
    names = ("DetPERR", "SigSERR", "RcvMstAbort", "RcvTgtAbort", "SigTgtAbort", "MstDatParErr")
    yield from _raised(card.word("PCIE_STAT_CMD", _CONFIG), *names)


@rule(
    "pcie-link-degraded",
    WARNING,
    "the PCIe link is x{width} at {speed}; the card can have x{widest} at {fastest}",
    to_do="look at the slot's width and the riser; clean the contacts; seat the card again",
    source="PCI Express: Link Capabilities, Link Status; cxgb4_main.c: pcie_print_link_status()",
)
def link_degraded(card: Card) -> Iterator[Hit]:
    can, has = card.word("PCIE_LINK_CAP", _CONFIG), card.word("PCIE_LINK_STAT_CNTL", _CONFIG)
    widest, fastest = can.get("MaxLinkWidth"), can.get("MaxLinkSpeed")
    width, speed = has.get("NegLinkWidth"), has.get("CurLinkSpeed")
    if 0 < width < widest or 0 < speed < fastest:
        evidence = Evidence.of(has, "NegLinkWidth", "CurLinkSpeed") + Evidence.of(can)
        values = {"width": width, "speed": _rate(speed), "widest": widest}
        yield Hit(evidence, {**values, "fastest": _rate(fastest)})


_GT_PER_SECOND = {1: "2.5", 2: "5", 3: "8", 4: "16"}


def _rate(speed: int) -> str:
    """Returns a link speed of the PCI Express capability: `8 GT/s`."""
    return f"{_GT_PER_SECOND[speed]} GT/s" if speed in _GT_PER_SECOND else f"speed {speed}"


@rule(
    "pcie-window-unusable",
    ERROR,
    "memory window {window} has no place: its base reads as all ones, so no memory can be read",
    to_do="reset the card",
    source="t4_hw.c: t4_memory_rw_init()",
    explains=f"{READ_THROUGH['PCIE_MEM_ACCESS_BASE_WIN']} DUMP_CONTEXT",
)
def window_unusable(card: Card) -> Iterator[Hit]:
    for word in card.words("PCIE_MEM_ACCESS_BASE_WIN"):
        if word.value == U32_MASK:
            yield Hit(Evidence.of(word), {"window": word.element})


_IN_WINDOW = READ_THROUGH["PCIE_MEM_ACCESS_BASE_WIN"].split()
_WHOLE = {"DEV_LOG", "EDC0", "EDC1"}
"""Of these; of the others the driver leaves payload out, which is zero in a dump."""


@rule(
    "pcie-window-all-ones",
    ERROR,
    "memory window 0 shows nothing but ones, while registers have values: {names} were not read",
    to_do="do not rely on the memories of this dump; reset the card",
    source="t4_hw.c: t4_memory_rw_residual()",
)
def window_all_ones(card: Card) -> Iterator[Hit]:
    """One memory alone may hold ones."""
    card.word("PL_WHOAMI")  # which has no value if the card answered nothing
    names = [each.name for each in card.dump.entities if each.good and each.name in _IN_WINDOW]
    whole = _WHOLE & {*names}
    if len(whole) > 1 and all(is_all_ones(card.blob(name)) for name in whole):
        evidence = tuple(Evidence(name, "all ones") for name in names)
        yield Hit(evidence, {"names": ", ".join(names)}, lacks=tuple(names))
