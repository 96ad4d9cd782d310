"""What each port of a card has carried since its counters were last cleared."""

from __future__ import annotations

from dataclasses import dataclass

from vmcoredd.diagnosis.card import Card
from vmcoredd.diagnosis.counters import counts


@dataclass(frozen=True)
class Traffic:
    """A port's counters in MPS (t4_hw.c, t4_get_port_stats())."""

    port: int
    received: int
    """Frames, among them those that no interface wants."""
    received_bytes: int
    sent: int
    sent_bytes: int


_COUNTERS = ("RX_PORT_FRAMES", "RX_PORT_BYTES", "TX_PORT_FRAMES", "TX_PORT_BYTES")


def traffic(card: Card) -> tuple[Traffic, ...]:
    """Returns the counters of each port; without those that the dump lacks. Raises NotJudged if it
    does not tell how many ports there are."""
    ports = card.ports
    found: dict[int, list[int]] = {}
    for name in _COUNTERS:
        for counter in counts(card, f"MPS_PORT_STAT_{name}"):
            found.setdefault(counter.low.element, []).append(counter.value)
    whole = {port: values for port, values in found.items() if len(values) == len(_COUNTERS)}
    return tuple(Traffic(port, *whole[port]) for port in sorted(whole) if port < ports)
