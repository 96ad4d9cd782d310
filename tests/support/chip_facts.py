"""Shared by tests of the chip: both chips, and the declarations of the tables."""

from __future__ import annotations

from vmcoredd.chip import T5, T6, Chip
from vmcoredd.chip.csvtables import Row, rows

CHIPS = (T5, T6)


def absent(chip: Chip) -> dict[str, str]:
    """Returns Linux's registers that the chip lacks, with the reason."""
    return {
        row["register"]: row["note"]
        for row in rows("registers", "linux_absent")
        if chip.name in row["chips"].split()
    }


def elsewhere(chip: Chip) -> set[tuple[str, str]]:
    """Returns the registers and Linux's fields that the chip has at other bits."""
    found = rows("registers", "linux_elsewhere")
    return {(row["register"], row["linux"]) for row in found if chip.name in row["chips"].split()}


def linux_fields() -> dict[str, Row]:
    """Returns Linux's fields whose Chelsio names differ, or that T5 and T6 lack."""
    return {row["linux"]: row for row in rows("registers", "linux_fields")}
