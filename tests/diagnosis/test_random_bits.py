"""Dumps with bits that no rule and no test was written for: random causes, and random counts.

Which bits are fatal comes from Linux's interrupt handlers, not from the rules.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from random import Random
from typing import NamedTuple

import pytest
from carddump import collected
from doctored import doctored
from jsonschema import Draft202012Validator
from kernel_handlers import fatal_bits

from tests.support.schema import schema
from vmcoredd import cudbg
from vmcoredd.chip import Chip, Register
from vmcoredd.chip.instances import instance_of
from vmcoredd.chip.model import CHIPS
from vmcoredd.cudbg.words import words_of
from vmcoredd.diagnosis import Evidence, Finding, Severity, Verdict, diagnose
from vmcoredd.diagnosis.counters import MANY

pytestmark = pytest.mark.interop
SEEDS = 200 if os.environ.get("VMCOREDD_THOROUGH") == "1" else 4
CAUSES, COUNTERS = 6, 3
"""How many of each a dump gets."""
COUNTED = (
    *(f"MPS_PORT_STAT_RX_PORT_{kind}_ERROR" for kind in ("CRC", "LEN", "SYM")),
    "MPS_PORT_STAT_TX_PORT_DROP",
    *(f"MPS_STAT_RX_BG_{g}_{kind}_FRAME" for g in range(4) for kind in ("MAC_DROP", "LB_TRUNC")),
)
"""64-bit counters of errors: t4_get_port_stats(), t4_get_lb_stats()."""


class Raised(NamedTuple):
    """A bit of a cause register."""

    register: Register
    element: int
    bit: int
    fatal: bool

    @property
    def offset(self) -> int:
        """In BAR0."""
        return self.register[self.element]

    def shown_by(self, evidence: Evidence) -> bool:
        """Whether it is what the evidence shows."""
        fields = set(self.register.names_of(1 << self.bit))
        return evidence.offset == self.offset and evidence.field in fields


class Doctored(NamedTuple):
    """What was changed, and the words for it."""

    raised: tuple[Raised, ...]
    counts: dict[Register, int]
    words: dict[int, int]


@cache
def causes(chip: Chip) -> list[tuple[Register, int]]:
    """The cause registers of a dump with the bits that Linux takes for fatal; those that only say
    that another one is not 0, or that a message came, are no errors."""
    summaries = ("CIM_PF_HOST", "PL_PF", "MPS_INT_CAUSE", "MPS_STAT_INT", "MYPF", "CIM_DEBUG")
    read = {o for start, n in chip.ranges("reg_dump") for o in range(start, start + 4 * n, 4)}
    fatal = fatal_bits(chip)
    named = (r for r in chip.r if r.space == "bar0" and "INT_CAUSE" in r.name and int(r) in read)
    others = (r for r in named if not r.name.startswith((*summaries, "PL_INT_CAUSE")))
    return [(register, fatal.get(register.name, 0)) for register in others]


def raise_some(chip: Chip, random: Random) -> tuple[Raised, ...]:
    """Chooses bits, one of each register, at least half of them fatal."""
    fatal = [one for one in causes(chip) if one[1]]
    chosen = random.sample(fatal, CAUSES // 2) + random.sample(causes(chip), CAUSES // 2)
    made = {}
    for register, mask in chosen:
        fields = sum(field.mask for field in register.fields) or 0xFFFFFFFF
        bits = [bit for bit in range(32) if (mask or fields) >> bit & 1]
        bit, element = random.choice(bits), random.randrange(register.count)
        made[register[element]] = Raised(register, element, bit, bool(mask >> bit & 1))
    return tuple(made.values())


def doctor(chip: Chip, seed: int) -> Doctored:
    """Returns random bits, whose enables are set or were never set up, and random counts."""
    random = Random(seed)
    raised, words = raise_some(chip, random), {}
    for one in raised:
        words[one.offset] = 1 << one.bit
        for enable in enables(chip, one):
            words[enable] = random.choice((0, 1 << one.bit))
    counts = {}
    for name in random.sample(COUNTED, COUNTERS):
        low, high = random.choice(chip.r.instances(f"{name}_L")), chip.r[f"{name}_H"]
        element = random.randrange(low.count)
        value = random.choice((MANY - 1, MANY, random.getrandbits(20), random.getrandbits(48)))
        words[low[element]], words[high[element]] = value & 0xFFFFFFFF, value >> 32
        counts[low] = value
    return Doctored(raised, counts, words)


def enables(chip: Chip, one: Raised) -> Iterator[int]:
    """The offset of the enable register of the same instance."""
    name = one.register.name.replace("INT_CAUSE", "INT_ENABLE")
    for register in chip.r.instances(name) if name in chip.r and name != one.register.name else ():
        for element in range(register.count):
            if instance_of(register, element) == instance_of(one.register, one.element):
                yield register[element]


def shown(verdict: Verdict, one: Raised) -> list[Finding]:
    return [f for f in verdict.findings if any(map(one.shown_by, f.evidence))]


@cache
def judged(chip: Chip, seed: int) -> tuple[Doctored, cudbg.Dump, Verdict]:
    made = doctor(chip, seed)
    dump = doctored(made.words, chip)
    return made, dump, diagnose(dump)


EACH = [pytest.mark.parametrize("chip", CHIPS), pytest.mark.parametrize("seed", range(SEEDS))]


def each(test):
    """Runs a test on each dump."""
    for mark in EACH:
        test = mark(test)
    return test


@each
def test_a_bit_is_named_once_and_a_fatal_one_at_least_as_an_error(chip: Chip, seed: int) -> None:
    made, _, verdict = judged(chip, seed)
    assert verdict.lost == ()
    for one in made.raised:
        findings = shown(verdict, one)
        assert len(findings) == 1, (one, findings)
        if one.fatal:
            assert findings[0].severity in (Severity.FATAL, Severity.ERROR), (one, findings)


@each
def test_a_counter_is_named_from_a_thousand_on(chip: Chip, seed: int) -> None:
    made, _, verdict = judged(chip, seed)
    named = {e.register for f in verdict.alarming for e in f.evidence}
    for low, value in made.counts.items():
        halves = {low.name, low.name.removesuffix("_L") + "_H"}
        assert bool(halves & named) == (value >= MANY), (low, value)


@each
def test_evidence_is_what_the_dump_holds(chip: Chip, seed: int) -> None:
    _, dump, verdict = judged(chip, seed)
    shown_words = [e for f in verdict.findings for e in f.evidence if e.word is not None]
    for entity in {evidence.entity for evidence in shown_words}:
        held = {(word.offset, word.instance): word.value for word in words_of(dump, entity)}
        for evidence in (each for each in shown_words if each.entity == entity):
            word, register = evidence.word, chip.r[evidence.register]
            assert word is not None
            assert held[evidence.offset or 0, evidence.instance] == word
            wanted = register.get(word, evidence.field) if evidence.field else word
            assert evidence.value == wanted


@each
def test_the_findings_are_as_the_schema_says(chip: Chip, seed: int) -> None:
    validator = Draft202012Validator(
        {"$defs": schema()["$defs"], "type": "array", "items": {"$ref": "#/$defs/finding"}}
    )
    found = judged(chip, seed)[2].json()["findings"]
    assert list(validator.iter_errors([{"dump": 0, **finding} for finding in found])) == []


@each
def test_a_bit_that_is_cleared_is_named_no_more_and_the_others_stay(chip: Chip, seed: int) -> None:
    made, _, verdict = judged(chip, seed)
    gone, *rest = made.raised
    after = diagnose(doctored({**made.words, gone.offset: 0}, chip))
    assert shown(after, gone) == []
    for one in rest:
        before = [finding.severity for finding in shown(verdict, one)]
        assert [finding.severity for finding in shown(after, one)] == before


@pytest.mark.parametrize("chip", CHIPS)
def test_without_any_of_it_the_card_is_healthy(chip: Chip) -> None:
    assert diagnose(collected(chip).dump).alarming == ()
