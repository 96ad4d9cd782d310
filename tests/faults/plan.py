"""In which order cases are measured, and which of them together.

A fault with which the driver is expected to do what it does with a healthy card, or whose dump is
expected to lack what our own driver's lacks, is tried together with others, each of another model
of the silicon. If that comes true, it holds of each of them; else they are tried in halves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from vmcoredd import emu
from vmcoredd.emu.silicon import models
from vmcoredd.emu.silicon.model import fault_name

from . import ours
from .cases import Case, Phase
from .guest import Lab, flag_for
from .outcomes import USUAL
from .rows import Row

ALONE = (
    *("firmware-", "mailbox-", "device-", "server-", "dma-", "interrupt-"),
    *("send-completion-", "receive-completion-", "cim-ibq-busy"),
)
"""How the names of faults begin that a driver always meets, or whose dump takes too long."""


@dataclass(frozen=True)
class Expected:
    """A case, and what is expected of it: an outcome, and the entities that its dump loses."""

    case: Case
    outcome: str
    lost: Mapping[str, str]

    @property
    def model(self) -> str:
        """The model of the silicon that declares its fault."""
        name = fault_name(self.case.fault)
        return next((model.__name__ for model in models() if name in model.faults()), "")

    @property
    def reports(self) -> bool:
        """Whether its fault only reports something: causes of several add up."""
        fault = self.case.fault
        return bool(fault) and emu.faults()[fault_name(fault)].reports

    @property
    def is_alone(self) -> bool:
        """Whether it is tried alone."""
        fault = self.case.fault
        interrupts = self.reports and self.case.phase is Phase.TRAFFIC
        return not fault or interrupts or fault.startswith(ALONE) or "no probe" in self.outcome

    def fits(self, other: Expected) -> bool:
        """Whether the two can be told apart when they are tried together."""
        if self.reports and other.reports:
            return True
        return self.model != other.model and not self.lost.keys() & other.lost.keys()


def expected(case: Case, known: Mapping[Case, Row]) -> Expected:
    """Returns what is expected of a case."""
    if case.phase is Phase.DUMP:
        outcome = known[Case(case.chip, case.fault, Phase.OURS)].outcome
        return Expected(case, outcome, ours.parsed(outcome))
    return Expected(case, USUAL[case.phase], {})


def groups(todo: Iterable[Case], known: Mapping[Case, Row]) -> Iterator[list[Expected]]:
    """Yields the cases by phase, those that are tried together in one list."""
    every = [expected(case, known) for case in todo]
    for phase, chip in dict.fromkeys((one.case.phase, one.case.chip) for one in every):
        some = [one for one in every if (one.case.phase, one.case.chip) == (phase, chip)]
        yield from ([one] for one in some if one.is_alone and not one.reports)
        yield from _apart([one for one in some if not one.is_alone])
        yield from ([one] for one in some if one.is_alone and one.reports)


def _apart(some: Sequence[Expected]) -> list[list[Expected]]:
    """Returns lists in which each fits all others."""
    found: list[list[Expected]] = []
    for one in some:
        for group in found:
            if all(map(one.fits, group)):
                group.append(one)
                break
        else:
            found.append([one])
    return found


def measured(lab: Lab, group: Sequence[Expected]) -> Iterator[Row]:
    """Yields the rows of cases that are tried together, or in halves if that fails."""
    lost = {name: why for one in group for name, why in one.lost.items()}
    if len(group) == 1:
        yield lab.measure(group[0].case, flag_for(lost))
        return
    outcome = ours.told(lost) if lost else group[0].outcome
    cases = [one.case for one in group]
    found = lab.measure_together(cases, [one.outcome for one in group], outcome, flag_for(lost))
    yield from found
    if not found:
        for half in (group[::2], group[1::2]):
            yield from measured(lab, half)
