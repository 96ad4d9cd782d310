"""What to do: each step can be taken with a dump that a crash kernel made."""

from __future__ import annotations

from labelled import labelled

from vmcoredd.chip.model import CHIPS
from vmcoredd.cudbg.entity import entities
from vmcoredd.diagnosis import all_rules, diagnose

EMPTY = ("QDESC", "MBOX_LOG")
"""Entities of the driver's, which a driver that has not attached leaves empty."""


def test_nobody_is_sent_to_an_entity_that_a_crash_kernels_dump_has_not() -> None:
    sent = [
        f"{rule.name}: {rule.to_do}"
        for rule in all_rules().values()
        for name in EMPTY
        if name in rule.to_do and "empty" not in rule.to_do
    ]
    assert sent == []


def test_every_name_in_capitals_is_an_entity_a_register_or_an_abbreviation() -> None:
    known = {register.name for chip in CHIPS for register in chip.r} | set(entities())
    unknown = {
        word
        for rule in all_rules().values()
        for word in rule.to_do.replace(",", " ")
        .replace(";", " ")
        .replace(":", " ")
        .replace("'s", " ")
        .split()
        if "_" in word and word.isupper() and word not in known
    }
    assert unknown == set()


def test_a_stuck_ingress_engine_says_nothing_of_what_is_to_be_sent() -> None:
    found = {f.rule: f.meaning for f in diagnose(labelled("sge-idma0-stuck").dump).findings}
    assert "sge-idma-stuck" in found
    assert "blocked" not in found.get("sge-transmit-waits", "")
