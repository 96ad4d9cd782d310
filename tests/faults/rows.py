"""The rows of docs/reference/faults.md, which are kept in a file of JSON Lines.

A row that is there is measured again only if `steps.sh`, the silicon that declares its fault, or
$VMCOREDD_STOCK_KERNEL has changed. So a run that was interrupted goes on where it was.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from vmcoredd import emu
from vmcoredd.emu.silicon import models
from vmcoredd.emu.silicon.model import fault_name

from .cases import KERNEL, Case, Phase

HERE = Path(__file__).parent
FILE = HERE.parents[1] / "docs/reference/faults.jsonl"
STEPS = HERE / "steps.sh"
FORMAT = 1
"""A new number measures every row anew."""


@dataclass(frozen=True)
class Row:
    """What came of a case: a short fact, and what the kernel said."""

    chip: str
    fault: str
    phase: Phase
    outcome: str
    said: tuple[str, ...] = ()
    kernel: str = ""
    """The release of the kernel; empty for our own driver."""
    date: str = ""
    seconds: float = 0.0
    together: int = 1
    """How many faults were on at once (plan.py)."""
    hash: str = ""

    @property
    def case(self) -> Case:
        """The case that it is of."""
        return Case(self.chip, self.fault, self.phase)

    @property
    def series(self) -> list[str]:
        """The kernel's series, such as 6 and 12: another has other messages."""
        return self.kernel.split(".")[:2]

    @property
    def fact(self) -> tuple[str, tuple[str, ...]]:
        """What a second measurement must give too."""
        return self.outcome, self.said


def hash_of(case: Case) -> str:
    """Returns a hash of what a row in a guest depends on."""
    digest = hashlib.sha256(f"{FORMAT} {KERNEL} {case}".encode() + STEPS.read_bytes())
    digest.update(_declaration(fault_name(case.fault)))
    return digest.hexdigest()[:8]


@cache
def _declaration(fault: str) -> bytes:
    for model in models():
        if fault in model.faults():
            return inspect.getsource(model).encode()
    return b""


def read(path: Path = FILE) -> dict[Case, Row]:
    """Returns the rows of a file by their cases."""
    lines = path.read_text().splitlines() if path.exists() else []
    rows = (Row(**_typed(json.loads(line))) for line in lines)
    return {row.case: row for row in rows}


def _typed(fields: dict[str, object]) -> dict[str, object]:
    said = tuple(fields["said"])  # type: ignore[arg-type]
    return fields | {"phase": Phase(str(fields["phase"])), "said": said}


def write(rows: Iterable[Row], path: Path = FILE) -> None:
    """Writes the rows, in the order of the faults in the silicon's files."""
    order = {name: number for number, name in enumerate(["", *emu.faults()])}
    phases = [*Phase]

    def place(row: Row) -> tuple[int, str, int]:
        return order[fault_name(row.fault)], row.chip, phases.index(row.phase)

    known = (row for row in rows if fault_name(row.fault) in order)
    lines = [json.dumps(dataclasses.asdict(row)) + "\n" for row in sorted(known, key=place)]
    new = path.with_suffix(".new")
    new.write_text("".join(lines))
    new.replace(path)
