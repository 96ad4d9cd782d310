"""What of a dump differs in meaning from healthy cards.

tests/interop/kernel_driver/test_healthy.py has the kernel's driver use a healthy card.
"""

from __future__ import annotations

import os
from functools import cache

import pytest
from carddump import SMALL, collect

from vmcoredd import cudbg, emu
from vmcoredd.chip.momentary import Kind
from vmcoredd.cudbg.meaning import NOT_IN_DUMP, Place, Told, compare_with_healthy
from vmcoredd.raised import Twins, twins_of

THOROUGH = os.environ.get("VMCOREDD_THOROUGH") == "1"
CARDS = sorted(emu.profiles()) if THOROUGH else ["t520-cr", "t62100-cr"]


def dump_of(name: str, *faults: str, seed: int = 11, scene: str = "crashed") -> cudbg.Dump:
    return collect(emu.Card.load(name, seed, scene=scene, faults=faults, **SMALL)).dump


@cache
def twins(name: str) -> Twins:
    return twins_of(dump_of(name))


def told_by(dump: cudbg.Dump, name: str = "t62100-cr") -> Told:
    return compare_with_healthy(dump, twins(name).dumps, modelled=twins(name).model)


def names(told: Told) -> list[str]:
    return [one.word.label for one in told.registers]


@pytest.mark.parametrize("name", CARDS)
@pytest.mark.parametrize(("seed", "scene"), [(11, "crashed"), (12, "crashed"), (13, "fresh")])
def test_a_healthy_card_differs_in_nothing(name: str, seed: int, scene: str) -> None:
    told = told_by(dump_of(name, seed=seed, scene=scene), name)
    assert (names(told), told.rows, told.missing, told.damaged) == ([], [], [], [])
    assert not told.differs


def test_causes_come_first_then_what_is_modelled() -> None:
    told = told_by(dump_of("t62100-cr", "ecc-uncorrectable-edc0", "firmware-crash"))
    assert names(told) == [
        *("CIM_HOST_INT_CAUSE", "PL_INT_CAUSE", "EDC_H_INT_CAUSE"),
        *("PCIE_FW", "PCIE_STAT_CMD", "EDC_H_ECC_STATUS"),
    ]
    assert told.registers[2].fields == {"ECC_UE_INT_CAUSE": (1, 0)}
    assert [one.modelled for one in told.registers] == [True] * 5 + [False]


def test_a_register_that_tells_something_is_compared_whatever_its_kind() -> None:
    dump = dump_of("t62100-cr", "ecc-uncorrectable-edc0")
    (word,) = [one for one in cudbg.words.find(dump, "EDC_H_ECC_ERR_ADDR") if one.value]
    place = Place(word.entity, word.space, word.offset)
    assert "EDC_H_ECC_ERR_ADDR" not in names(told_by(dump))
    told = compare_with_healthy(dump, twins("t62100-cr").dumps, telling=[place])
    assert "EDC_H_ECC_ERR_ADDR" in names(told)


def test_entities_that_failed_and_what_follows_from_it() -> None:
    told = told_by(dump_of("t62100-cr", "no-edc1"))
    assert [one.name for one in told.missing] == ["EDC1"]
    assert names(told) == ["MA_TARGET_MEM_ENABLE"]
    assert {(row.entity, row.location) for row in told.rows} == {
        ("MEMINFO", "regions, ULPTX state")
    }


def test_what_is_not_compared_has_a_reason() -> None:
    dump = collect(emu.Card.load("t62100-cr", 11, **SMALL), entities=("REG_DUMP", "CIM_LA")).dump
    told = told_by(dump)
    assert told.entities_left_out[Kind.CAPTURE] == ["CIM_LA"]
    assert "TP_INDIRECT" in told.entities_left_out[NOT_IN_DUMP]
    assert told.words_left_out[Kind.COUNTER] > 50


def test_of_a_damaged_entity_the_words_that_are_left_are_compared() -> None:
    made = collect(emu.Card.load("t62100-cr", 11, faults=["parity-tp"], **SMALL), "none")
    start = made.dump.entity("REG_DUMP").start
    told = told_by(cudbg.Dump(made.data[: start + 0x8000]))
    assert "TP_INT_CAUSE" in names(told)
    assert "REG_DUMP" in told.damaged
