"""The firmware's state, which it keeps in PCIE_FW: what it says itself of its end."""

from __future__ import annotations

from collections.abc import Iterator

from vmcoredd.chip.pci import PF
from vmcoredd.diagnosis.card import Card
from vmcoredd.diagnosis.consequences import FIRMWARE_SILENT
from vmcoredd.diagnosis.finding import ERROR, FATAL, NOTE, Evidence
from vmcoredd.diagnosis.identity import EVALUATIONS
from vmcoredd.diagnosis.rule import Hit, Rule, register, rule

_LOG = "read the last lines of DEV_LOG, and CIM_LA for where the processor was"
_CONSEQUENCES = (*FIRMWARE_SILENT.split(), "cim-timer0", "device-log-errors", "link-down")
_ERRORS = (
    ("firmware-crash", _LOG + "; then update the firmware"),
    ("firmware-preparation-failed", _LOG + "; compare the configuration file with the card"),
    ("firmware-configuration-failed", _LOG + "; look at the configuration file in the flash"),
    ("firmware-initialization-failed", _LOG + "; look at the configuration file in the flash"),
    ("firmware-unexpected-event", _LOG),
    ("airflow-insufficient", "look at the fans, the filters and the card's neighbours"),
    ("device-shut-down", "look in the host's log for who shut the device down"),
    ("firmware-error-reserved", _LOG),
)
"""For each value of PCIE_FW.EVAL: the rule, and what to do."""


class _Evaluated:
    """Whether the firmware reports an error, and gives reason `number`."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self, card: Card) -> Iterator[Hit]:
        word = card.word("PCIE_FW")
        if word.get("ERR") and word.get("EVAL") == self.number:
            yield Hit(Evidence.of(word, "ERR", "EVAL"))


for _number, (_name, _to_do) in enumerate(_ERRORS):
    register(
        Rule(
            _name,
            FATAL,
            f"the firmware reports an error: it {EVALUATIONS[_number]}",
            _to_do,
            "t4_hw.c: t4_report_fw_error()",
            _Evaluated(_number),
            _CONSEQUENCES,
        )
    )


@rule(
    "firmware-halted",
    FATAL,
    "the firmware is halted: its processor was stopped from outside and runs no command",
    to_do="ask whether the firmware was being updated; else reset the card",
    source="t4_hw.c: t4_fw_halt()",
    explains=FIRMWARE_SILENT,
)
def halted(card: Card) -> Iterator[Hit]:
    word = card.word("PCIE_FW")
    if word.get("HALT"):
        yield Hit(Evidence.of(word, "HALT"))


@rule(
    "firmware-held-in-reset",
    FATAL,
    "the firmware's processor is held in reset",
    to_do="ask whether the firmware was being updated; else reset the card",
    source="t4_hw.c: t4_fw_halt(), t4_fw_restart()",
    explains=f"firmware-halted firmware-never-initialized {FIRMWARE_SILENT}",
)
def in_reset(card: Card) -> Iterator[Hit]:
    word = card.word("CIM_BOOT_CFG")
    if word.get("uPCRst"):
        yield Hit(Evidence.of(word, "uPCRst"))


@rule(
    "firmware-never-initialized",
    ERROR,
    "the firmware has neither initialized the card nor reported an error",
    to_do="look at the firmware and the configuration file in the flash, and whether a driver "
    "was ever loaded",
    source="t4_hw.c: t4_fw_hello()",
    explains=FIRMWARE_SILENT,
)
def never_initialized(card: Card) -> Iterator[Hit]:
    word = card.word("PCIE_FW")
    if not (word.get("ERR") or word.get("INIT") or word.get("HALT")):
        yield Hit(Evidence.of(word, "INIT"))


@rule(
    "firmware-other-master",
    NOTE,
    f"the firmware's master is not the driver's function, {PF}",
    to_do="look at who drives the other function: this driver does not look for the card's errors",
    source="cxgb4_main.c: adap_init0(), t4_nondata_intr()",
)
def other_master(card: Card) -> Iterator[Hit]:
    word = card.word("PCIE_FW")
    if word.get("MASTER_VLD") and word.get("MASTER") != PF:
        yield Hit(Evidence.of(word, "MASTER"))
