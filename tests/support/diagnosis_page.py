"""The generated parts of docs/reference/diagnosis.md: the rules, the faults with what names them,
and the rules that no other dump has proven. `python tests/support/diagnosis_page.py` writes
them."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmcoredd.emu import Fault

PAGE = Path(__file__).parents[2] / "docs/reference/diagnosis.md"
_PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


_VARYING = dict.fromkeys(("device-log-errors", "entity-failed"), "warning or error")
"""Rules whose severity depends on what they find."""


def page(text: str) -> str:
    """Returns the page with its generated parts made anew."""
    return _PART.sub(lambda part: part[1] + "\n".join(_PARTS[part[2]]()) + "\n" + part[3], text)


def _rules() -> Iterator[str]:
    from vmcoredd.diagnosis import all_rules

    yield "| rule | severity | meaning | what to do | explains | source |"
    yield "|---|---|---|---|---|---|"
    for rule in all_rules().values():
        explains = " ".join(f"`{pattern}`" for pattern in rule.explains)
        severity = _VARYING.get(rule.name, rule.severity)
        cells = (f"`{rule.name}`", severity, rule.meaning, rule.to_do, explains, rule.source)
        yield f"| {' | '.join(cells)} |"


def _faults() -> Iterator[str]:
    from labelled import NO_DUMP, STORIES, UNKNOWABLE, singles
    from verdicts import found, named, verdict

    yield "| fault | named by | severity | rank | all findings above `note` |"
    yield "|---|---|---|---|---|"
    for faults in (*singles(), *STORIES):
        names = [named(fault) for fault in faults]
        order = found(*faults)
        findings = {finding.rule: finding for finding in verdict(*faults).findings}
        severities = [findings[name].severity if name else "-" for name in names]
        ranks = [str(order.index(name) + 1) if name else "-" for name in names]
        above = ", ".join(dict.fromkeys(f"`{f.rule}`" for f in verdict(*faults).alarming))
        unnamed = "no rule can" if faults[0] in UNKNOWABLE else "changes no byte"
        shown = [f"`{name}`" if name else unnamed for name in names]
        cells = (" + ".join(faults), *map(", ".join, (shown, severities, ranks)), above or "-")
        yield f"| {' | '.join(cells)} |"
    of_servers = {fault.example: "ends or delays a dump" for fault in _served()}
    for name, why in {**dict.fromkeys(NO_DUMP, "leaves no dump"), **of_servers}.items():
        yield f"| {name} | {why} | - | - | - |"


def _served() -> Iterator[Fault]:
    from vmcoredd.emu import faults

    return (fault for fault in faults().values() if fault.served)


def _unproven() -> Iterator[str]:
    from verdicts import unproven

    from vmcoredd.diagnosis import all_rules

    names = unproven()
    yield f"{len(names)} of {len(all_rules())} rules:"
    yield ""
    yield from (f"- `{name}`" for name in names)


_PARTS = {"rules": _rules, "faults": _faults, "unproven": _unproven}


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    PAGE.write_text(page(PAGE.read_text()))
