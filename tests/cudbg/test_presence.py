"""What a card does not have is told apart from what is switched off: both have the status -24."""

from __future__ import annotations

import pytest
from carddump import CardDump, collect, small

from vmcoredd import cudbg, emu
from vmcoredd.chip import T5, T6, Chip
from vmcoredd.cudbg.presence import why_not_found

NONE = "absent: this adapter has none"
UNCERTAIN = "absent: this adapter has none, or it is switched off"


def lost(size: int) -> str:
    """The status of an MC0 that is switched off."""
    bar = f"though MA_EXT_MEMORY0_BAR describes {size} MiB of it"
    return f"-29: system error, -24: switched off, {bar}"


LOST_EDC = "-29: system error, -24: switched off, though every adapter has it"


def status(made: CardDump) -> dict[str, str]:
    """The entities whose status is -24, with their status in words."""
    found = made.dump.entities
    return {each.name: each.status for each in found if -24 in (each.code, each.sys_err)}


def broken(card: str, *faults: str) -> CardDump:
    return collect(emu.Card.load(card, faults=faults, strict=True), "none")


@pytest.mark.parametrize(
    ("card", "fault", "expected"),
    [
        ("t62100-cr", [], {"MC1": NONE, "HMA": NONE}),
        ("t62100-cr", ["no-mc0"], {"MC0": lost(8), "MC1": NONE, "HMA": NONE}),
        ("t62100-cr", ["no-edc1"], {"EDC1": LOST_EDC, "MC1": NONE, "HMA": NONE}),
        ("t6225-so-cr", [], {"MC0": NONE, "MC1": NONE}),
        ("t580-mc1", [], {"HMA": NONE}),
        ("t580-mc1", ["no-mc0"], {"MC0": lost(4), "HMA": NONE}),
        ("t520-cr", [], {"MC1": NONE, "HMA": NONE}),
    ],
)
def test_a_memory_that_is_switched_off_is_missing_and_one_that_a_card_lacks_is_absent(
    card: str, fault: list[str], expected: dict[str, str]
) -> None:
    made = broken(card, *fault)
    chip_lacks = {"MA_INDIRECT", "HMA_INDIRECT"} if made.dump.chip == T5 else set()
    assert status(made) == expected | dict.fromkeys(chip_lacks, NONE)
    missing = {each.name for each in made.dump.entities if each.is_incomplete} - {"QDESC"}
    assert missing == {name for name, words in expected.items() if words != NONE}


def test_without_any_memory_all_that_the_card_has_are_missing() -> None:
    made = broken("t62100-cr", "no-memory")
    incomplete = {each.name for each in made.dump.entities if each.is_incomplete} - {"QDESC"}
    assert incomplete == {"MEMINFO", "DUMP_CONTEXT", "EDC0", "EDC1", "MC0"}


@pytest.mark.parametrize("chip", [T5, T6], ids=repr)
def test_without_the_registers_it_is_not_known_whether_the_card_has_it(chip: Chip) -> None:
    made = collect(small(chip, "no-memory"), "none", entities=("EDC0", "MC0", "MC1"))
    assert made.dump.entity("MC0").status == UNCERTAIN
    assert made.dump.entity("MC1").status == (NONE if chip == T6 else UNCERTAIN)
    assert made.dump.entity("EDC0").status.endswith("-24: not found, or switched off")
    assert {each.name for each in made.dump.entities if each.is_incomplete} == {"EDC0"}


def test_the_headers_say_how_much_of_a_dump_its_conditions_need() -> None:
    data = collect(small(T6, "no-mc0"), "none").data
    head = cudbg.Dump(data[: 64 << 10])
    assert head.entity("MC0").is_undecided
    enough = cudbg.Dump(data[: head.bytes_for_conditions])
    assert not enough.entity("MC0").is_undecided
    assert enough.entity("MC0").is_incomplete
    assert head.bytes_for_conditions < 2 << 20


@pytest.mark.parametrize(
    ("enabled", "size", "has"),
    [("EXT_MEM1_ENABLE", 4, True), ("EXT_MEM0_ENABLE", 4, True), ("EXT_MEM0_ENABLE", 0, False)],
    ids=["on", "off", "none"],
)
def test_the_arbiters_registers_decide(enabled: str, size: int, has: bool) -> None:
    registers = {
        "MA_TARGET_MEM_ENABLE": T5.r.MA_TARGET_MEM_ENABLE.mask(enabled),
        "MA_EXT_MEMORY1_BAR": T5.r.MA_EXT_MEMORY1_BAR.of(EXT_MEM1_BASE=8, EXT_MEM1_SIZE=size),
    }
    assert why_not_found("MC1", T5, registers.get).has is has


def test_registers_of_an_adapter_that_was_gone_decide_nothing() -> None:
    assert why_not_found("MC1", T5, lambda name: 0xFFFFFFFF).has is None


def test_nothing_is_known_of_an_unknown_chip_and_of_an_unknown_entity() -> None:
    assert why_not_found("MC0", None, {}.get).has is None
    assert why_not_found("MA_INDIRECT", None, {}.get).has is None
    assert why_not_found("EDC0", None, {}.get).has is True
    assert why_not_found("entity 99", T6, {}.get).has is None
