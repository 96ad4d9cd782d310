"""Cards for the driver: the project's emulated ones, and plain memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .ram_card import RamCard
from .regions import BARS, Card, Region

CONFIG_SIZE = 0x1000


class CardError(Exception):
    """There is no such card."""


def emulated(card: Any) -> Card:
    """An `emu.Card` as the driver sees it: its BARs through their C entry points."""

    def config_access(offset: int, length: int, data: bytes | None) -> bytes | None:
        if data is None:
            return bytes(card.config_read(offset, length))
        card.config_write(offset, data)
        return None

    bars = {
        f"bar{bar}": Region(getattr(card, f"bar{bar}").access, card.bars[bar])
        for bar in BARS
        if card.bars.get(bar)
    }
    return Card(**bars, config=Region(config_access, CONFIG_SIZE))


def load(name: str, seed: int = 0, faults: Iterable[str] = ()) -> tuple[Card, object]:
    """The card `ram-t5`, `ram-t6`, or a profile of the emulator; the second keeps it alive.

    Raises CardError.
    """
    if name in ("ram-t5", "ram-t6"):
        ram = RamCard(int(name[-1]), edc=2, mc=8)
        return ram.card, ram
    from vmcoredd import emu

    try:
        card = emu.Card.load(name, seed=seed, faults=faults)
    except emu.EmuError as error:
        raise CardError(str(error)) from error
    return emulated(card), card
