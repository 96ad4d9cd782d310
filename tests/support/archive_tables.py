"""The tables of docs/reference/archive.md: `python -m tests.support.archive_tables` writes them."""

from __future__ import annotations

import re
from pathlib import Path

from vmcoredd.fleet.archive.schema import ABOUT, KEYS, TABLES, Column

PAGE = Path(__file__).parents[2] / "docs/reference/archive.md"
_MARKED = re.compile(r"(<!-- tables: [^\n]*-->\n).*(<!-- end -->)", re.DOTALL)


def written() -> str:
    """The page with the tables that the code has."""
    parts = [_table("Columns of all tables", "The first columns of each table.", KEYS)]
    parts += [_table(name, _sentence(ABOUT[name]), TABLES[name][len(KEYS) :]) for name in ABOUT]
    text = "\n".join(parts)
    return _MARKED.sub(lambda found: f"{found[1]}\n{text}\n{found[2]}", PAGE.read_text())


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _table(title: str, about: str, columns: tuple[Column, ...]) -> str:
    rows = "".join(f"| `{c.name}` | {_type(c.type)} | {c.meaning} |\n" for c in columns)
    return f"## {title}\n\n{about}\n\n| column | type | |\n| --- | --- | --- |\n{rows}"


def _type(text: str) -> str:
    return "list of structs" if text.startswith("STRUCT") else text.replace("[]", " list")


if __name__ == "__main__":
    PAGE.write_text(written())
