"""Back-pressure: on which way, and where, data wait between the host and the wire.

The words are read at different moments of the dump, and a busy card shows one or the other place
full for a moment; and a host that has panicked takes no more data, so that they wait in any card
with traffic. A finding is a `note`: it may be the crash's consequence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from vmcoredd.chip.back_pressure import Hop
from vmcoredd.cudbg.words import Word
from vmcoredd.diagnosis.card import REG_DUMP, Card
from vmcoredd.diagnosis.finding import NOTE, Evidence
from vmcoredd.diagnosis.rule import Hit, Rule, register

_ENTITIES = {"tp_pio": "TP_INDIRECT", "pcie_cdbg": "PCIE_INDIRECT"}
"""The entity of each space."""


def _word(card: Card, hop: Hop) -> Word:
    space = card.chip.r[hop.register].space
    return card.word(hop.register, _ENTITIES.get(space, REG_DUMP))


def _full(card: Card, hops: Sequence[Hop], channel: int) -> Iterator[tuple[Hop, Word]]:
    """Yields the hops at which a channel's data wait, and their words; goes on behind a hop whose
    word the dump lacks."""
    for hop in hops:
        with card.in_part():
            word = _word(card, hop)
            if word.value & hop.bit(card.chip.r[hop.register], channel):
                yield hop, word


def waiting(card: Card, way: str) -> Iterator[Hit]:
    """Yields a hit for each channel whose data wait on a way, `receive` or `send`."""
    hops: Sequence[Hop] = getattr(card.chip.back_pressure, way)
    for channel in range(card.chip.tp.channels):
        if full := list(_full(card, hops, channel)):
            places = list(dict.fromkeys(hop.place for hop, _ in full))
            evidence = tuple(one for hop, word in full for one in Evidence.of(word, hop.field))
            values = {"channel": channel, "places": ", ".join(places), "last": places[-1]}
            yield Hit(evidence, values)


for _way, _data, _explains in (
    ("receive", "data that come in", ("mps-drops", "tp-drops")),
    ("send", "data to send", ("sge-transmit-waits",)),
):
    register(
        Rule(
            f"{_way}-blocked",
            NOTE,
            f"{_data} on channel {{channel}} wait, in their order: {{places}}",
            "look at what takes no more behind the last place, {last}; after a panic that may be "
            "the host itself, and a place that is full alone may have been so for a moment only",
            "Chelsio's dump viewer: view_full()",
            partial(waiting, way=_way),
            _explains,
        )
    )
