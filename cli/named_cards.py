"""The cards of a guest: `--card NAME=PROFILE`, or `--card PROFILE`, which names itself."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from typing import NamedTuple

import typer

from vmcoredd.cli.options import check_card, path_or_name

NAMED = re.compile(r"([A-Za-z][A-Za-z0-9_-]*)=(.+)")

UNNAMED = re.compile(r"[^/]*=.*")
"""Neither NAME=PROFILE nor a path."""


class NamedCard(NamedTuple):
    """A card's name in this guest, and its profile: a name, or the path of a TOML file."""

    name: str
    profile: str


def named_cards(values: Sequence[str]) -> list[NamedCard]:
    """Returns the cards that the values of --card describe.

    A value without a name is called by its place: `a`, `b`, and so on. A path that looks like
    NAME=PROFILE is written with `./` before it. Raises BadParameter for two cards of one name, or a
    wrong one.
    """
    cards: list[NamedCard] = []
    for place, value in enumerate(values):
        found = NAMED.fullmatch(value)
        if not found and UNNAMED.fullmatch(value):
            what = f"{value}: a NAME is a letter, then letters, digits, - or _, as in left=t520-cr"
            raise typer.BadParameter(what, param_hint="--card")
        name, profile = found.groups() if found else (_letter(place), value)
        if name in (card.name for card in cards):
            what = f"two cards are called {name}; name each, as in {name}2={profile}"
            raise typer.BadParameter(what, param_hint="--card")
        cards.append(NamedCard(name, check_card(profile)))
    return cards


def check_named_cards(values: list[str] | None) -> list[str] | None:
    """Checks the values of --card; returns them as they are."""
    named_cards(values or [])
    return values


def port_counts(cards: Sequence[NamedCard]) -> dict[str, int]:
    """Returns how many ports each card has, by its name."""
    from vmcoredd.emu import profile

    return {name: profile.load(path_or_name(card)).ports.count for name, card in cards}


def _letter(place: int) -> str:
    letters = string.ascii_lowercase
    return letters[place] if place < len(letters) else f"card{place}"
