"""Entities of the lookup engine, queues and MAC addresses: the kernel's dump against ours.

They differ from card to card by hash table, number of connections and queues, and table sizes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.interop.kernel_driver import dump
from tests.interop.kernel_driver.cards import emulated
from tests.interop.kernel_driver.harness import Harness
from vmcoredd import cudbg, driver, emu

pytestmark = pytest.mark.interop

CARDS = ("t520-cr", "t62100-cr")
NAMES = ("SGE_INDIRECT", "TID_INFO", "DUMP_CONTEXT", "MPS_TCAM", "LE_TCAM")
TABLES: dict[str, dict[str, Any]] = {
    "no connections": {"tables": {"connections": 0, "filters": 0}},
    "hash table": {"tables": {"hash_filters": True, "connections": 100}},
    "large hash table": {"tables": {"hash_filters": True, "hash_tids": 32768, "connections": 512}},
    "many queues": {"queues": {"per_port": 16}, "tables": {"filters": 64}},
}


def compressed_addresses(card: emu.Card) -> None:
    """Doubles the TIDs of a T6."""
    card.core.spaces.set(card.chip.r.LE_DB_CONFIG, 1 << 17)


def largest_table(card: emu.Card) -> None:
    """Sets the largest number of TIDs that the kernel can compress without spoiling them."""
    r = card.chip.r
    card.core.spaces.set(r.LE_DB_CONFIG, r.LE_DB_CONFIG.of(HASHEN=1))
    card.core.spaces.set(r.LE_DB_HASH_CONFIG, 49_568 - 3072 - 1536)


def too_large_a_table(card: emu.Card) -> None:
    r = card.chip.r
    card.core.spaces.set(r.LE_DB_CONFIG, r.LE_DB_CONFIG.of(HASHEN=1))
    card.core.spaces.set(r.LE_DB_HASH_CONFIG, 49_932 - 3072 - 1536)


def assert_alike(library: Path, one: emu.Card, other: emu.Card) -> None:
    """The same bytes and codes, by the same number of accesses."""
    with Harness(library, emulated(one)) as witness:
        witness.probe()
        theirs, counts = dump.read(witness.collect()), witness.counts
    data = memoryview(bytearray(cudbg.DUMP_SIZE))
    with driver.open_card(other) as adapter:
        report = adapter.collect(data)
    ours = dump.read(data)
    for entity in (e for e in report.entities if e.name in NAMES):
        number, made = entity.number, entity.counts
        assert ours.entities[number].codes == theirs.entities[number].codes
        assert ours.entities[number].raw == theirs.entities[number].raw
        assert (made.r32, made.w32, made.r64, made.w64) == counts[number][:4]


def load(name: str, seed: int, **overrides: dict[str, Any]) -> emu.Card:
    return emu.Card.load(name, seed, strict=True, memory={"mc0": 1}, **overrides)


@pytest.mark.parametrize("seed", [4, 5])
@pytest.mark.parametrize("tables", TABLES)
@pytest.mark.parametrize("name", CARDS)
def test_these_entities_equal_the_kernels_for_any_content(
    library: Path, name: str, tables: str, seed: int
) -> None:
    overrides = TABLES[tables]
    assert_alike(library, load(name, seed, **overrides), load(name, seed, **overrides))


@pytest.mark.parametrize("change", [compressed_addresses, largest_table, too_large_a_table])
def test_a_table_of_another_size_is_dumped_as_the_kernel_does(
    library: Path, change: Callable[[emu.Card], None]
) -> None:
    cards = [load("t62100-cr", 6) for _ in range(2)]
    for card in cards:
        change(card)
    assert_alike(library, *cards)
