"""What `--json` prints: one object of one shape for every command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cliruns import Run

UNITS = {"size", "bytes", "seconds", "offset", "elapsed", "memory", "free"}
"""Words that are no key of their own: a key has its unit, such as `size_bytes`."""
DECODED = {"decoded"}
"""Has the columns of an entity's tables for keys."""
COMMANDS = [
    ("cards", []),
    ("cards", ["--faults"]),
    ("cache list", []),
    ("doctor", []),
    ("notes", ["VMCORE"]),
    ("show", ["VMCORE", "--entity", "DEV_LOG"]),
    ("diff", ["VMCORE", "VMCORE", "--other-index", "1"]),
    ("dump", ["--card", "CARD", "-o", "OUTPUT"]),
]


@pytest.mark.parametrize(("name", "arguments"), COMMANDS)
def test_json_is_an_object_with_a_version_its_command_and_units(
    vmcoredd: Run, made: Path, small_card: Path, tmp_path: Path, name: str, arguments: list[str]
) -> None:
    words: dict[str, object] = {"VMCORE": made, "CARD": small_card, "OUTPUT": tmp_path / "out"}
    record = vmcoredd(*name.split(), *(words.get(word, word) for word in arguments), "--json").json
    assert list(record)[:2] == ["version", "command"]
    assert (record["version"], record["command"]) == (1, name)
    assert len(record) > 2
    assert not UNITS & set(keys(record))


def test_lists_are_empty_not_null(vmcoredd: Run, made: Path) -> None:
    record = vmcoredd("diff", made, made, "--json").json
    assert record["different"] == []
    assert vmcoredd("notes", made, "--json").json["damage"] == []


def keys(record: Any) -> Iterator[str]:
    """All keys of a record, but those of decoded entities."""
    if isinstance(record, list):
        for item in record:
            yield from keys(item)
    elif isinstance(record, dict):
        for key, value in record.items():
            yield key
            if key not in DECODED:
                yield from keys(value)
