"""A rule: a condition on a card, and what to say where it holds.

    @rule(
        "firmware-halted",
        FATAL,
        "the firmware's processor is halted",
        to_do="...",
        source="t4_hw.c: t4_fw_halt()",
        explains="mailbox-*",
    )
    def halted(card: Card) -> Iterator[Hit]:
        word = card.word("PCIE_FW")
        if word.get("HALT"):
            yield Hit(Evidence.of(word, "HALT"))

Rules on the bits of a cause register are rows of a table: see `diagnosis.causes`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache

from vmcoredd.chip import Chip
from vmcoredd.chip.model import CHIPS
from vmcoredd.diagnosis.card import Card
from vmcoredd.diagnosis.finding import Evidence, Finding, Severity

_registered: dict[str, Rule] = {}


@dataclass(frozen=True)
class Hit:
    """A place where a condition holds."""

    evidence: tuple[Evidence, ...]
    values: Mapping[str, object] = field(default_factory=dict)
    """What the rule's `meaning` and `to_do` have in braces."""
    severity: Severity | None = None
    """Instead of the rule's."""
    preface: str = ""
    """What comes before the rule's `meaning`."""
    explains: tuple[str, ...] | None = None
    """Instead of the rule's."""
    lacks: tuple[str, ...] = ()
    """The entities that the dump lacks here, or has only in part."""


Condition = Callable[[Card], Iterator[Hit]]


@dataclass(frozen=True)
class Rule:
    """A rule; `docs/reference/diagnosis.md` lists them all."""

    name: str
    """In kebab-case: `edc-ecc-uncorrectable`."""
    severity: Severity
    meaning: str
    """A sentence without a full stop, in the terms of the kernel's driver."""
    to_do: str
    source: str
    """The file and function that this is known from."""
    condition: Condition
    explains: tuple[str, ...] = ()
    """Patterns of rules whose findings may be consequences of this one's, and of entities that a
    dump may lack because of it: see `diagnosis.consequences`."""
    chips: tuple[Chip, ...] = CHIPS

    def judge(self, card: Card) -> Iterator[Finding]:
        """Yields a finding for each place where the condition holds.

        Raises NotJudged if the dump lacks what the condition asks for.
        """
        for hit in self.condition(card):
            yield Finding(
                severity=hit.severity or self.severity,
                rule=self.name,
                meaning=hit.preface + self.meaning.format(**hit.values),
                to_do=self.to_do.format(**hit.values),
                source=self.source,
                evidence=hit.evidence,
                explains=self.explains if hit.explains is None else hit.explains,
                lacks=hit.lacks,
            )


def register(made: Rule) -> None:
    """Adds a rule. Raises ValueError if another has its name."""
    if made.name in _registered:
        raise ValueError(f"two rules are called {made.name}")
    _registered[made.name] = made


def rule(
    name: str,
    severity: Severity,
    meaning: str,
    *,
    to_do: str,
    source: str,
    explains: str = "",
    chips: tuple[Chip, ...] = CHIPS,
) -> Callable[[Condition], Condition]:
    """Registers a condition as a rule; `explains` are patterns separated by blanks."""

    def decorate(condition: Condition) -> Condition:
        patterns = tuple(explains.split())
        register(Rule(name, severity, meaning, to_do, source, condition, patterns, chips))
        return condition

    return decorate


@cache
def all_rules() -> dict[str, Rule]:
    """Returns every rule by name, in the order of `rules.ORDER`; imports all modules."""
    home = "vmcoredd.diagnosis.rules"
    for module in importlib.import_module(home).ORDER:
        importlib.import_module(f"{home}.{module}")
    return dict(_registered)
