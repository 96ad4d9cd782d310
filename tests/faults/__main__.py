"""Measures what drivers do with each fault, Linux's in a guest and our own: `make faults`.

    python -m tests.faults                                # what is not measured yet
    python -m tests.faults --chip T6 --phase probe        # a part of it
    python -m tests.faults --fault 'firmware-*' --again   # measured already, too

The rows go into docs/reference/faults.jsonl as they come; a run that was interrupted goes on where
it was. At the end docs/reference/faults.md is written from them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from . import ours, page, plan, rows
from .cases import CARDS, HEALTHY, IN_GUEST, Case, Phase, cases
from .guest import laboratory
from .rows import Row

Rows = dict[Case, Row]
ORDER = (Phase.PROBE, Phase.OPEN, Phase.DUMP, Phase.TRAFFIC)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="faults", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("--chip", action="append", choices=CARDS, help="only this chip's card; repeatable")
    add("--phase", action="append", choices=[*IN_GUEST], help="only this phase; repeatable")
    add("--fault", default="*", help="only faults that match this pattern")
    add("--again", action="store_true", help="also what is measured already")
    add("--list", action="store_true", help="tell what would be measured, and measure nothing")
    return parser.parse_args()


def refreshed(known: Mapping[Case, Row]) -> Rows:
    """Returns the rows of our own driver, measured anew, and those in a guest that are planned."""
    found: Rows = {}
    for chip in CARDS:
        met = dict(ours.measured(chip))
        found |= {row.case: row for row in (ours.row(chip, fault, met[fault]) for fault in met)}
        found |= {case: known[case] for case in cases(chip, met) if case in known}
    return found


def planned(chosen: argparse.Namespace, known: Mapping[Case, Row]) -> Iterator[Case]:
    """Yields the chosen cases that are not measured yet, phase by phase."""
    every = [case for chip in CARDS for case in cases(chip, ours.met(chip, known))]
    for case in sorted(every, key=lambda case: ORDER.index(case.phase)):
        if case.phase not in (chosen.phase or IN_GUEST) or case.chip not in (chosen.chip or CARDS):
            continue
        is_new = case not in known or known[case].hash != rows.hash_of(case)
        fits = fnmatchcase(case.fault, chosen.fault)
        if (fits and chosen.again) or (is_new and (fits or case.fault == HEALTHY)):
            yield case


def measure(todo: Sequence[Case], known: Rows) -> None:
    """Measures cases, and writes each row when it is known."""
    began, done = time.monotonic(), 0
    with laboratory() as lab:
        lab.expect(known.values())
        for group in plan.groups(todo, known):
            for row in plan.measured(lab, group):
                known[row.case], done = row, done + 1
                lines = (f"{done} of {len(todo)}, {row.case}: {row.outcome}", *row.said)
                print(f"{time.monotonic() - began:5.0f} s", *lines, sep="\n        ", flush=True)
                rows.write(known.values())


def main() -> None:
    """Measures, and writes rows and page."""
    chosen = arguments()
    known = refreshed(rows.read())
    rows.write(known.values())
    todo = list(planned(chosen, known))
    print(f"{len(todo)} rows to measure", flush=True)
    if chosen.list:
        print(*todo, sep="\n")
        return
    try:
        measure(todo, known)
    finally:
        page.PAGE.write_text(page.written(page.PAGE.read_text(), rows.read()))


if __name__ == "__main__":
    main()
