"""A strict card that tests may change; it is restored for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from emumail import Mailbox

from vmcoredd.emu import Card, Snapshot


@pytest.fixture(scope="session")
def made() -> tuple[Card, Snapshot]:
    """The card, and a snapshot of its initial state."""
    card = Card.load("t62100-cr", strict=True)
    return card, card.snapshot()


@pytest.fixture
def strict_card(made: tuple[Card, Snapshot]) -> Iterator[Card]:
    card, fresh = made
    yield card
    card.restore(fresh)
    card.access_log.clear()


@pytest.fixture
def mail(strict_card: Card) -> Mailbox:
    """The mailbox of the strict card's driver."""
    return Mailbox(strict_card)
