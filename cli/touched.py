"""Which accesses the collection of an entity makes, for filters of traces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vmcoredd import emu
    from vmcoredd.trace.filters import Touched

_STANDARD = {"t5": "t520-cr", "t6": "t62100-cr"}
"""The card of a chip, for traces of cards that are not among ours."""


def touched(header: Mapping[str, Any], entities: Sequence[str]) -> Touched:
    """Collects the entities of the trace's card, emulated here, and returns the accesses."""
    from vmcoredd import cudbg, driver
    from vmcoredd.trace.events import Decoder
    from vmcoredd.trace.filters import key_of
    from vmcoredd.trace.records import Assembler
    from vmcoredd.trace.ring import Ring

    card, ring, whole = _card(header), Ring(), Assembler()
    with driver.open_card(card) as adapter:
        card.core.record(ring)
        buffer = memoryview(bytearray(cudbg.DUMP_SIZE))
        adapter.collect(buffer, compress="none", entities=entities)
        card.core.record(None)
    decoder = Decoder(header)
    records = (record for piece in ring.take() for record in whole.add(bytes(piece)))
    return {key_of(event) for event in decoder.events(records)}


def _card(header: Mapping[str, Any]) -> emu.Card:
    from vmcoredd import emu

    name, seed = str(header.get("card")), int(header.get("seed", 0))
    if name not in emu.profiles():
        return emu.Card.load(_STANDARD[header["chip"]])
    return emu.Card.load(name, seed, scene=str(header.get("scene", "crashed")))
