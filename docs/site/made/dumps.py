"""The dumps of emulated cards, of which the pages show parts: made when the site is built."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from vmcoredd import cudbg, driver, emu, vmcore

T6_CARD = "t62100-cr"
_OTHERS = "t580-mc1", "t6225-so-cr"
"""Cards with the memories that it lacks."""
_folder = tempfile.TemporaryDirectory(prefix="vmcoredd-site-")


@cache
def dump_file(card: str) -> Path:
    """Returns a vmcore with the dump of a card, which lasts as long as this process."""
    dumps = vmcore.DeviceDumps()
    with driver.open_card(emu.Card.load(card, seed=1)) as adapter:
        dumps.add_device_dump(driver.dump_name("0000:01:00.4"), *adapter.device_dump())
    path = Path(_folder.name) / f"{card}.vmcore"
    vmcore.write(path, dumps)
    dumps.close()
    return path


@cache
def note(card: str) -> tuple[vmcore.Note, bytes]:
    """Returns the dump's note and all its bytes, from its ELF header on."""
    with vmcore.Reader(dump_file(card)) as reader:
        (found,) = reader.device_dumps
    with dump_file(card).open("rb") as file:
        file.seek(found.offset)
        return found, file.read(found.payload_offset - found.offset + found.payload_size)


@cache
def dump(card: str) -> cudbg.Dump:
    """Returns the dump of a card."""
    found, data = note(card)
    return cudbg.Dump(memoryview(data)[found.payload_offset - found.offset :])


def card_with(name: str) -> str:
    """Returns a card whose dump has the entity."""
    cards = (card for card in (T6_CARD, *_OTHERS) if dump(card).entity(name).good)
    return next(cards)
