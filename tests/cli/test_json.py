"""What `--json` prints: one object of one shape for every command."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from carddump import collect, small
from cliruns import ROOT, Run, emulated, ready
from jsonschema import Draft202012Validator
from typer.main import get_command

from tests.support.schema import command_of, problems, schema
from vmcoredd.chip import T6
from vmcoredd.cli.exit_codes import Exit
from vmcoredd.cli.main import app
from vmcoredd.cudbg.container import HEADERS_BYTES

UNITS = {"size", "bytes", "seconds", "offset", "elapsed", "memory", "free"}
"""Words that are no key of their own: a key has its unit, such as `size_bytes`."""
DECODED = {"decoded", "findings"}
"""Have other keys: the columns of an entity's tables, and `offset` in BAR0 or in another space."""
COMMANDS = [
    ("cards", []),
    ("cards", ["--faults"]),
    ("cache list", []),
    ("doctor", []),
    ("notes", ["VMCORE"]),
    ("show", ["VMCORE", "--entity", "DEV_LOG"]),
    ("diagnose", ["VMCORE"]),
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
    units = UNITS - {"offset"} if name == "diagnose" else UNITS  # of a register: bytes, or an index
    assert not units & set(keys(record))


def test_lists_are_empty_not_null(vmcoredd: Run, made: Path) -> None:
    record = vmcoredd("diff", made, made, "--json").json
    assert record["different"] == []
    assert vmcoredd("notes", made, "--json").json["damage"] == []


@pytest.mark.parametrize("path", ["docs/plots/bench.json", "docs/plots/guest/bench.json"])
def test_the_benchmarks_results_in_the_docs_are_as_the_schema_says(path: str) -> None:
    assert problems(json.loads((ROOT / path).read_text())) == []


def test_a_servers_line_is_as_the_schema_says(small_card: Path, tmp_path: Path) -> None:
    with emulated("--card", small_card, "--socket", tmp_path / "t6.sock") as server:
        assert problems(ready(server)) == []


def test_a_failed_dump_is_as_the_schema_says(vmcoredd: Run, tmp_path: Path) -> None:
    result = vmcoredd("dump", "--socket", tmp_path / "absent", "-o", tmp_path / "out", "--json")
    assert result.code == Exit.NO_DEVICE
    assert result.json["output"] is None


def test_a_damaged_dump_is_as_the_schema_says(vmcoredd: Run, copied: Path) -> None:
    with copied.open("r+b") as file:
        file.seek(0x1000 + 64 + HEADERS_BYTES)
        file.write(b"\xff" * (1 << 20))
    result = vmcoredd("show", copied, "--entity", "all", "--rows", 10, "--json")
    assert result.code == Exit.BAD_FILE
    assert any(entity["damage"] for entity in result.json["entities"])
    assert vmcoredd("diff", copied, copied, "--json").json["not_compared"]
    os.truncate(copied, 1 << 20)
    assert vmcoredd("notes", copied, "--json").json["damage"]


def test_findings_are_as_the_schema_says(vmcoredd: Run, tmp_path: Path) -> None:
    path = tmp_path / "dump.bin"
    path.write_bytes(collect(small(T6, "firmware-error"), entities=("REG_DUMP",)).data)
    result = vmcoredd("diagnose", path, "--json")
    assert result.code == Exit.FOUND
    assert result.json["findings"]
    path.write_bytes(collect(small(T6), entities=("CLK",)).data)
    assert vmcoredd("diagnose", path, "--json").json["lost"]


def test_every_command_with_json_output_is_in_the_schema() -> None:
    described = {command_of(name) for name in schema()["$defs"]} - {None}
    assert set(with_json(get_command(app))) <= described
    referenced = {item["$ref"].rpartition("/")[2] for item in schema()["oneOf"]}
    assert referenced == {name for name in schema()["$defs"] if command_of(name)}


def test_the_schema_itself_is_valid() -> None:
    Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"news": 1}, "'news' was unexpected"),
        ({"cards": None}, "None is not of type 'array'"),
        ({"version": 2}, "1 was expected"),
    ],
)
def test_the_schema_refuses_what_it_does_not_describe(
    vmcoredd: Run, change: dict[str, object], says: str
) -> None:
    record = vmcoredd("cards", "--json").json
    assert any(says in line for line in problems(record | change))
    record["cards"][0]["colour"] = "red"
    assert any("'colour' was unexpected" in line for line in problems(record))


def with_json(group: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Yields the commands of a group that have the option --json."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from with_json(command, (*path, name))
        elif any("--json" in parameter.opts for parameter in command.params):
            yield " ".join((*path, name))


def keys(record: Any) -> Iterator[str]:
    """All keys of a record, but those of decoded entities and of findings."""
    if isinstance(record, list):
        for item in record:
            yield from keys(item)
    elif isinstance(record, dict):
        for key, value in record.items():
            yield key
            if key not in DECODED:
                yield from keys(value)
