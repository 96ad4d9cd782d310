"""Emulates and serves the cards of a guest, with their wires."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from vmcoredd.cli.named_cards import NamedCard
from vmcoredd.cli.options import card_and_fault, path_or_name, wire_options
from vmcoredd.cli.output import err

if TYPE_CHECKING:
    from vmcoredd import emu
    from vmcoredd.qemu.guest import Adapter


class Setup(NamedTuple):
    """Cards and what is to be done with them, as the options say it."""

    cards: Sequence[NamedCard]
    seed: int
    scene: str
    map_window: bool = False
    wires: Sequence[str] = ()
    captures: Sequence[str] = ()
    root_ports: bool = False  # the guest has one for each card
    force: bool = False  # captures replace files
    sockets: Sequence[Path] = ()  # of adapters that are served already
    faults: Sequence[str] = ()  # each of one card, NAME.FAULT, or of all


@contextmanager
def serving(setup: Setup) -> Iterator[tuple[list[Adapter], dict[str, emu.Card]]]:
    """Serves the cards, each by a thread, and prints what they are and where their ports lead.

    Yields the adapters, and the cards by name, in the same order; those on sockets follow. Raises
    BadParameter and emu.wires.CaptureExists.
    """
    from vmcoredd.emu import wires
    from vmcoredd.emu.control import beside
    from vmcoredd.qemu.guest import Adapter
    from vmcoredd.qemu.prepare import serve_cards
    from vmcoredd.qemu.program import address

    _check_faults(setup)
    cards = {card.name: _load(setup, place) for place, card in enumerate(setup.cards)}
    with wire_options():
        plugged = wires.plug(setup.wires, cards)
        captures = wires.capture(setup.captures, cards, force=setup.force)
    with (
        tempfile.TemporaryDirectory(prefix="vmcoredd-") as folder,
        serve_cards(list(cards.values()), Path(folder)) as adapters,
    ):
        for place, (card, adapter) in enumerate(zip(setup.cards, adapters, strict=True)):
            where, control = address(place, setup.root_ports), beside(adapter.socket)
            what = f"card {card.name}: {card.profile} at {where}, scene {setup.scene}"
            own = cards[card.name].profile.faults
            faults = "".join(f", fault {text}" for text in (*own, *_faults(setup, card.name)))
            err.print(f"{what}{faults}, control socket {control}", markup=False)
        for place, path in enumerate(setup.sockets, len(cards)):
            where = address(place, setup.root_ports)
            err.print(f"socket {path}: the adapter at {where}", markup=False)
        for wire in plugged:
            err.print(str(wire), markup=False)
        for capture in captures:
            err.print(f"port {capture.end}: captured in {capture.path}", markup=False)
        served = [Adapter(path, any_device=True) for path in setup.sockets]
        yield [*adapters, *served], cards


def _load(setup: Setup, place: int) -> emu.Card:
    from vmcoredd import emu

    card = emu.Card.load(
        path_or_name(setup.cards[place].profile),
        setup.seed + place,
        scene=setup.scene,
        map_window=setup.map_window,
    )
    card.fail_served(*_faults(setup, setup.cards[place].name))
    return card


def _check_faults(setup: Setup) -> None:
    """Raises BadParameter for a fault of a card that is not there."""
    names = [card.name for card in setup.cards]
    for text in setup.faults:
        name, _ = card_and_fault(text)
        if name and name not in names:
            why = f"{text}: no card is called {name}; there is {', '.join(names)}"
            raise typer.BadParameter(why, param_hint="--fault")


def _faults(setup: Setup, card: str) -> list[str]:
    """Returns the faults of a card."""
    return [fault for name, fault in map(card_and_fault, setup.faults) if name in ("", card)]
