"""The registers of both chips, for the page that searches them: a script that holds the data."""

from __future__ import annotations

import json
from collections.abc import Iterator

from vmcoredd.chip import BAR0, T5, T6, Chip, Register, csvtables
from vmcoredd.chip.generate import either, one_row, pairs

SCRIPT = "docs/site/assets/registers-data.js"
"""The path of the script in the site; `register-search.js` beside it reads it."""
PAGE = """\
<form id="register-search" role="search" onsubmit="return false">
<label>Name, address or field
<input type="search" name="q" autocomplete="off" spellcheck="false"
placeholder="SGE_INT_CAUSE*, 0x19400, ERR_DROPPED_DB, tp_pio 0x40"></label>
<output></output>
</form>
<div id="registers-found"></div>
<script src="../site/assets/registers-data.js"></script>
<script src="../site/assets/register-search.js"></script>
"""


def register_search() -> str:
    """Returns the form, and the place for what it finds."""
    return PAGE


def script() -> str:
    """Returns the script: `REGISTERS`, a list of rows.

    A row has a name, the block, the space (empty for BAR0), the offset on a T5 and on a T6 (-1
    where it has none), count and stride of an array, the access, the value after reset, the fields,
    and notes. A field has a name, its lowest bit, its width, and Linux's name if that differs.
    """
    linux = {
        (row["register"], row["field"]): row["linux"]
        for row in csvtables.rows("registers", "linux_fields")
        if row["field"]
    }
    rows = [_row(t5, t6, linux) for t5, t6 in pairs(map(_all, (T5, T6)), _same)]
    return f"const REGISTERS = {json.dumps(rows, separators=(',', ':'))};\n"


def _all(chip: Chip) -> list[Register]:
    return [*chip.r, *chip.r.aliases]


def _same(each: Register) -> tuple[object, ...]:
    """Returns what registers of both chips must have in common to share a row."""
    return each.space != BAR0, each.space, *one_row(each)


def _row(
    t5: Register | None, t6: Register | None, linux: dict[tuple[str, str], str]
) -> list[object]:
    first = either(t5, t6)
    return [
        first.name,
        first.block,
        "" if first.space == BAR0 else first.space,
        *(-1 if each is None else int(each) for each in (t5, t6)),
        first.count,
        first.stride,
        first.access,
        f"{first.reset:#x} ({first.reset_source})" if first.reset_source else "",
        [
            [field.name, field.shift, field.width, linux.get((first.name, field.name), "")]
            for field in first.fields
        ],
        "; ".join(_notes(first)),
    ]


def _notes(each: Register) -> Iterator[str]:
    yield each.source
    if each.alias:
        yield f"another name of {each.alias}"
    if each.chelsio_name != each.name:
        yield f"{each.chelsio_name} in Chelsio's database"
    if each.note:
        yield each.note
