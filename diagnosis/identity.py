"""Which card it is, and in which state its firmware was."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from vmcoredd.chip.layout import U32_MASK
from vmcoredd.cudbg.words import Word
from vmcoredd.diagnosis.card import Card, NotJudged

EVALUATIONS = (
    "crashed",
    "failed while it prepared the device",
    "failed while it configured the device",
    "failed while it initialized the device",
    "stopped after an unexpected event",
    "stopped because of insufficient airflow",
    "shut the device down",
    "stopped for a reason that is reserved",
)
"""PCIE_FW.EVAL in words (t4_hw.c, t4_report_fw_error())."""


@dataclass(frozen=True)
class Identity:
    """A card, as far as its dump tells. What it does not tell is empty or None."""

    chip: str = ""
    """`T6 rev 0`."""
    name: str = ""
    part: str = ""
    serial: str = ""
    mac: str = ""
    ports: int | None = None
    firmware: str = ""
    """The version in the flash: `1.27.5.0`."""
    state: str = ""
    """What the firmware was doing: `initialized, no error reported`, `crashed`, `halted`, ..."""

    def json(self) -> dict[str, Any]:
        """Returns a plain dict."""
        return asdict(self)


def identify(card: Card) -> Identity:
    """Returns the card's identity; what the dump lacks stays empty, and the reason is in the card's
    `gaps`."""
    vpd: dict[str, Any] = {}
    with card.in_part():
        vpd = card.items("VPD_DATA")
    return Identity(
        chip=card.dump.adapter,
        name=str(vpd.get("model") or ""),
        part=str(vpd.get("part number") or ""),
        serial=str(vpd.get("serial number") or ""),
        mac=str(vpd.get("network address") or ""),
        ports=_known(lambda: card.ports),
        firmware=str(vpd.get("firmware") or ""),
        state=_known(lambda: _state(card)) or "",
    )


def _known(ask: Callable[[], Any]) -> Any:
    with suppress(NotJudged):
        return ask()
    return None


def _state(card: Card) -> str:
    return firmware_state(card.raw_word("PCIE_FW"), card)


def firmware_state(word: Word, card: Card) -> str:
    """Returns what PCIE_FW and CIM_BOOT_CFG say that the firmware does."""
    if word.value == U32_MASK:
        return "unknown: the card is off the bus"
    if word.get("ERR"):
        return EVALUATIONS[word.get("EVAL")]
    if word.get("HALT"):
        return "halted"
    if in_reset := _known(lambda: card.word("CIM_BOOT_CFG").get("uPCRst")):
        return "held in reset"
    state = "initialized, no error reported" if word.get("INIT") else "never initialized"
    return state + "; whether it is held in reset is not in the dump" * (in_reset is None)
