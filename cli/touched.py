"""Which accesses the collection of an entity makes, for filters of traces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vmcoredd import emu
    from vmcoredd.chip import Chip
    from vmcoredd.trace.filters import Touched


def touched(header: Mapping[str, Any], entities: Sequence[str]) -> Touched:
    """Collects the entities of the trace's card, emulated here, and returns the accesses."""
    from vmcoredd import cudbg, driver
    from vmcoredd.trace.events import Decoder
    from vmcoredd.trace.filters import key_of
    from vmcoredd.trace.records import Assembler
    from vmcoredd.trace.ring import Ring

    decoder, ring, whole = Decoder(header), Ring(), Assembler()
    card = _card(header, decoder.chip)
    with driver.open_card(card) as adapter:
        card.core.record(ring)
        buffer = memoryview(bytearray(cudbg.DUMP_SIZE))
        adapter.collect(buffer, compress="none", entities=entities)
        card.core.record(None)
    records = (record for piece in ring.take() for record in whole.add(bytes(piece)))
    return {key_of(event) for event in decoder.events(records)}


def _card(header: Mapping[str, Any], chip: Chip) -> emu.Card:
    """Returns the trace's card; of one that is not among ours, another with its chip."""
    from vmcoredd import emu
    from vmcoredd.emu.profile import load

    name, seed = str(header.get("card")), int(header.get("seed", 0))
    if name in emu.profiles():
        return emu.Card.load(name, seed, scene=str(header.get("scene", "crashed")))
    by_chip = {load(name).chip: name for name in emu.profiles()}
    return emu.Card.load(by_chip[chip])
