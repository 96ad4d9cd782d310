"""Counts agree with their nouns: one helper writes them, in all rooms."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from vmcoredd.plural import agreeing, counted, exact

ROOT = Path(__file__).parent.parent
ROOMS = (
    *("bench", "chip", "cli", "cudbg", "debs", "diagnosis", "driver", "emu", "hw", "qemu"),
    *("testing", "trace"),
)
NOUNS = (
    "adapter|byte|card|channel|command|cycle|dump|entitie|entrie|error|event|field|file|finding|"
    "frame|line|memorie|name|note|packet|place|port|queue|record|region|register|row|tick|time|"
    "wait|word|write"
)
NOUN = re.compile(rf" (?:\w+ )?(?:{NOUNS})s\b")
ALWAYS_SEVERAL = Counter(
    {
        "bench/engine.py": 1,
        "bench/socket_dump.py": 1,
        "chip/firmware/params.py": 1,
        "cli/registers.py": 1,
        "cli/trouble.py": 1,
        "cudbg/descriptors.py": 1,
        "cudbg/dump.py": 1,
        "emu/wires.py": 1,
        "hw/io.py": 1,
        "qemu/program.py": 1,
        "vmcore/devicedumps.py": 2,
        "vmcore/errors.py": 1,
        "vmcore/image.py": 2,
    }
)
"""By file: how many texts have a number that cannot be 1, or does not count the noun behind it."""


@pytest.mark.parametrize(
    ("count", "noun", "words"),
    [
        (0, "byte", "0 bytes"),
        (1, "byte", "1 byte"),
        (4096, "byte", "4,096 bytes"),
        (1, "entity", "1 entity"),
        (2, "entity", "2 entities"),
        (2, "day", "2 days"),
        (2, "box", "2 boxes"),
        (2, "more place", "2 more places"),
    ],
)
def test_a_count_agrees_with_its_noun(count: int, noun: str, words: str) -> None:
    assert counted(count, noun) == words


def test_words_that_do_not_end_with_the_noun_name_their_plural() -> None:
    assert counted(1, "entity is", "entities are") == "1 entity is"
    assert counted(0, "entity is", "entities are") == "0 entities are"
    assert exact(4096, "byte") == "4096 bytes"
    assert agreeing(1, "is", "are") == "is"


def test_no_text_writes_a_plural_behind_a_number_itself() -> None:
    paths = (path for room in (*ROOMS, "vmcore") for path in (ROOT / room).rglob("*.py"))
    found = {str(path.relative_to(ROOT)): list(plurals(path.read_text())) for path in paths}
    wrong = {name: texts for name, texts in found.items() if len(texts) > ALWAYS_SEVERAL[name]}
    assert wrong == {}


def test_the_search_finds_such_a_text() -> None:
    assert list(plurals('f"{len(x)} bytes are lost"')) == ["{len(x)} bytes are lost"]
    assert list(plurals("f\"{counted(n, 'byte')} in it\"")) == []


def plurals(source: str) -> Iterator[str]:
    """Yields the f-strings of a program that have a plural right behind a value."""
    if not re.search(rf"\}}{NOUN.pattern}", source):
        return
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            pairs = zip(node.values, node.values[1:], strict=False)
            if any(_counts(before, after) for before, after in pairs):
                yield ast.unparse(node)[2:-1]


def _counts(before: ast.expr, after: ast.expr) -> bool:
    """Whether a value, which is no constant, is followed by a plural."""
    if not isinstance(before, ast.FormattedValue) or not isinstance(after, ast.Constant):
        return False
    value = before.value
    if isinstance(value, ast.Name) and value.id.isupper():
        return False
    if isinstance(value, ast.Call) and ast.unparse(value.func) in ("agreeing", "counted", "exact"):
        return False
    return NOUN.match(str(after.value)) is not None
