"""The wires of a guest that crashes: which join its ports, and when frames from outside wait."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import typer

from vmcoredd.cli.named_cards import NamedCard, port_counts

if TYPE_CHECKING:
    from vmcoredd import emu
    from vmcoredd.emu.wires import End
    from vmcoredd.qemu.kdump import OnStage, Stage


def own_wires(cards: Sequence[NamedCard]) -> list[str]:
    """Returns the wires that join the ports of each card by twos, as --wire describes them."""
    wires = []
    for name, count in port_counts(cards).items():
        wires += [f"{name}.{port}={name}.{port + 1}" for port in range(0, count - 1, 2)]
    return wires


def joined_interfaces(wires: Sequence[str], cards: Mapping[str, emu.Card]) -> tuple[str, ...]:
    """Returns the wires between ports of the guest, by its interfaces: `eth0=eth1`.

    The driver names them in the order of cards and ports. Raises BadParameter if there is none.
    """
    ends = [(name, port) for name in cards for port in range(cards[name].profile.ports.count)]
    interfaces = {end: f"eth{place}" for place, end in enumerate(ends)}
    only = next(iter(cards))

    def interface(end: End) -> str:
        return interfaces[end.card or only, end.port]

    return tuple(f"{interface(near)}={interface(far)}" for near, far in wires_inside(wires))


def wires_inside(wires: Sequence[str]) -> list[tuple[End, End]]:
    """Returns the ends of the wires between ports of the guest; BadParameter if there is none."""
    from vmcoredd.emu.wires import parse

    parsed = [parse(text) for text in wires]
    pairs = [(wire.end, wire.peer) for wire in parsed if wire.peer is not None]
    if not pairs:
        what = "traffic needs a wire between two ports of the guest, as in --wire 0=1"
        raise typer.BadParameter(what, param_hint="--traffic")
    return pairs


def holding_outside(cards: Sequence[emu.Card]) -> OnStage:
    """Returns what has frames from outside wait on their wires while the crash kernel dumps."""
    from vmcoredd.qemu.kdump import Stage

    def on_stage(stage: Stage) -> None:
        for card in cards:
            card.engine.hold_outside(held=stage is Stage.CRASHED)

    return on_stage
