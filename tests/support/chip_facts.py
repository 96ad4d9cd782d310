"""What tests of the chip share: both generations, and what the tables declare."""

from __future__ import annotations

from vmcoredd.chip import T5, T6, Chip
from vmcoredd.chip.csvtables import Row, rows

CHIPS = (T5, T6)


def absent(chip: Chip) -> dict[str, str]:
    """Linux's registers that the chip does not have, with the reason."""
    return {
        row["register"]: row["note"]
        for row in rows("registers", "linux_absent")
        if chip.name in row["chips"].split()
    }


def linux_fields() -> dict[str, Row]:
    """Linux's fields that Chelsio calls otherwise, or that T5 and T6 do not have."""
    return {row["linux"]: row for row in rows("registers", "linux_fields")}
