"""Our collector against the kernel's on the same card: the same bytes by the same accesses.

The cards are plain memory, zero or noise, so neither the emulator nor the code it shares with our
driver can hide an error.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.interop.kernel_driver.cards import PythonRegion
from tests.interop.kernel_driver.comparison import assert_alike, by_kernel, by_us
from tests.interop.kernel_driver.ram_card import RamCard

pytestmark = pytest.mark.interop

Sequence = Counter[tuple[bool, int, bytes]]
CARDS = [(generation, seed) for generation in (5, 6) for seed in (None, 1, 2)]


def card_of(generation: int, seed: int | None) -> RamCard:
    return RamCard(generation, edc=1, mc=1, seed=seed)


def recorded(card: RamCard) -> Sequence:
    """Counts later accesses to BAR0 by direction, offset and value of each 32-bit word."""
    seen: Sequence = Counter()
    inner = card.bar0_access

    def access(offset: int, length: int, data: bytes | None) -> bytes | None:
        answer = inner(offset, length, data)
        words = data if data is not None else answer or b""
        for word in range(0, length, 4):
            seen[data is not None, offset + word, words[word : word + 4]] += 1
        return answer

    card.bar0_access = access  # type: ignore[method-assign]
    return seen


def facade(card: RamCard) -> Any:
    """Returns the card as our driver takes it."""

    def config_read(offset: int, length: int) -> bytes:
        return card.config_access(offset, length, None) or b""

    def config_write(offset: int, data: bytes) -> None:
        card.config_access(offset, len(data), data)

    region = PythonRegion(card.bar0_access)
    bar0 = SimpleNamespace(access=region.native, region=region)
    return SimpleNamespace(bar0=bar0, config_read=config_read, config_write=config_write)


@pytest.mark.parametrize("compress", [True, False], ids=["zlib", "raw"])
@pytest.mark.parametrize("card", CARDS, ids=str)
def test_our_dump_is_the_kernels_to_the_byte(
    library: Path, card: tuple[int, int | None], compress: bool
) -> None:
    theirs, their_counts = by_kernel(library, card_of(*card).card, compress=compress)
    ours, our_counts = by_us(facade(card_of(*card)), compress=compress)
    assert_alike(theirs, ours)
    assert our_counts == their_counts


@pytest.mark.parametrize("generation", [5, 6])
def test_our_driver_makes_the_kernels_accesses(library: Path, generation: int) -> None:
    first, second = card_of(generation, None), card_of(generation, None)
    theirs, ours = recorded(first), recorded(second)
    by_kernel(library, first.card, compress=True)
    by_us(facade(second), compress=True)
    assert ours - theirs == Counter()
    assert theirs - ours == Counter()


@pytest.mark.parametrize("generation", [5, 6])
def test_our_driver_leaves_the_registers_as_the_kernels_does(
    library: Path, generation: int
) -> None:
    first, second = card_of(generation, 3), card_of(generation, 3)
    by_kernel(library, first.card, compress=True)
    by_us(facade(second), compress=True)
    words = zip(memoryview(first.bar0).cast("I"), memoryview(second.bar0).cast("I"), strict=True)
    assert [hex(4 * at) for at, (one, other) in enumerate(words) if one != other] == []
    assert first.cim == second.cim
