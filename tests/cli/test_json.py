"""What `--json` prints: one object of one shape for every command."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from carddump import collect, small
from cliruns import ROOT, Run, damage, emulated, ready
from jsonschema import Draft202012Validator

from tests.support.schema import command_of, problems, schema
from vmcoredd.chip import T6
from vmcoredd.cli.exit_codes import Exit
from vmcoredd.cli.main import parser
from vmcoredd.cudbg.container import HEADERS_BYTES

UNITS = {"size", "bytes", "seconds", "offset", "elapsed", "memory", "free"}
"""Words that are no key of their own: a key has its unit, such as `size_bytes`."""
DECODED = {"decoded", "findings"}
"""Have other keys: the columns of an entity's tables, and `offset` in BAR0 or in another space."""
RUN_ELSEWHERE = {
    *("emulate", "bench", "replay", "sweep", "guest kdump", "guest live"),
    *(
        "control state",
        "control fault on",
        "control fault off",
        "control fault list",
        "control link",
        "control log",
    ),
    *("control snapshot", "control restore", "control reset", "control stop"),
    *("control trace start", "control trace stop", "replay", "top"),
    *(f"archive {name}" for name in ("add", "query", "outliers", "report", "compact")),
}
"""Commands whose output their own tests compare with the schema: `Result.json` does so."""
WITHOUT_JSON = {
    "demo": "runs other commands, and shows what they print",
    "guest shell": "is a terminal",
    "guest run": "prints what the guest prints",
    "guest memory": "writes one file, whose name the user gives",
    "trace": "has --format jsonl, an object for each event",
}
"""The commands without --json, and why."""
COMMANDS = [
    ("cards", []),
    ("cards", ["--faults"]),
    ("cards", ["--present"]),
    ("cache list", []),
    ("doctor", []),
    ("notes", ["VMCORE"]),
    ("show", ["VMCORE", "--entity", "DEV_LOG"]),
    ("diagnose", ["VMCORE"]),
    ("show", ["VMCORE"]),
    ("show", ["VMCORE", "--register", "PL_*", "--changed-from-reset"]),
    ("extract", ["VMCORE", "-o", "OUTPUT"]),
    ("slim", ["VMCORE", "-o", "OUTPUT"]),
    ("report", ["VMCORE", "-o", "OUTPUT", "--index", "1"]),
    ("cache clear", []),
    ("diff", ["VMCORE", "VMCORE", "--other-index", "1"]),
    ("dump", ["--card", "CARD", "-o", "OUTPUT"]),
]


@pytest.mark.parametrize(("name", "arguments"), COMMANDS)
def test_json_is_an_object_with_a_version_its_command_and_units(
    vmcoredd: Run,
    made: Path,
    small_card: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    arguments: list[str],
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    words: dict[str, object] = {"VMCORE": made, "CARD": small_card, "OUTPUT": tmp_path / "out"}
    record = vmcoredd(*name.split(), *(words.get(word, word) for word in arguments), "--json").json
    assert list(record)[:2] == ["version", "command"]
    assert (record["version"], record["command"]) == (1, name)
    assert len(record) > 2
    has_registers = name in ("diagnose", "show")  # with an offset: bytes, or an index
    units = UNITS - {"offset"} if has_registers else UNITS
    assert not units & set(keys(record))


def test_lists_are_empty_not_null(vmcoredd: Run, made: Path) -> None:
    record = vmcoredd("diff", made, made, "--json").json
    assert record["different"] == []
    assert vmcoredd("notes", made, "--json").json["damage"] == []


@pytest.mark.parametrize(
    "path",
    [
        "docs/explanation/plots/bench.json",
        "docs/explanation/plots/guest/bench.json",
        "docs/explanation/plots/traffic/bench.json",
    ],
)
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
    assert set(with_json(parser())) <= described
    referenced = {item["$ref"].rpartition("/")[2] for item in schema()["oneOf"]}
    assert referenced == {name for name in schema()["$defs"] if command_of(name)}


def test_every_command_has_json_output_or_a_reason_not_to() -> None:
    command = parser()
    assert set(all_commands(command)) - set(with_json(command)) == set(WITHOUT_JSON)


def test_the_output_of_every_command_is_compared_with_the_schema() -> None:
    compared = {name for name, _ in COMMANDS} | RUN_ELSEWHERE
    assert compared == set(with_json(parser()))


@pytest.mark.parametrize("command", ["extract", "slim"])
def test_json_and_a_result_do_not_share_standard_output(
    vmcoredd: Run, made: Path, command: str
) -> None:
    result = vmcoredd(command, made, "-o", "-", "--json")
    assert (result.code, result.out) == (Exit.USAGE, "")
    assert "the result goes to stdout; give it a file" in result.err


def test_what_is_missing_of_an_extracted_payload_is_told(
    vmcoredd: Run, copied: Path, tmp_path: Path
) -> None:
    os.truncate(copied, 0x1000 + 76 + 5000)
    result = vmcoredd("extract", copied, "-o", tmp_path / "payload", "--json")
    assert result.code == Exit.INCOMPLETE
    record = result.json
    assert record["size_bytes"] == (tmp_path / "payload").stat().st_size > 0
    assert record["missing_bytes"] > 0
    assert f"the last {record['missing_bytes']:,} bytes are missing" in result.err


def test_show_prints_what_was_asked_for_only(vmcoredd: Run, made: Path) -> None:
    def show(*options: object) -> Any:
        return vmcoredd("show", made, *options, "--json").json

    every, one = show(), show("--entity", "CLK", "--entity", "RSS")
    assert len(every["entities"]) > 40
    assert not any("decoded" in entity for entity in every["entities"])
    assert [entity["name"] for entity in one["entities"]] == ["RSS", "CLK"]
    assert all(entity["decoded"] for entity in one["entities"])
    assert not {"registers", "reset"} & every.keys() | {"registers", "reset"} & one.keys()
    chosen = show("--register", "PL_WHOAMI", "--entity", "REG_DUMP")
    assert chosen["entities"] == []
    assert [found["register"] for found in chosen["registers"]] == ["PL_WHOAMI"]
    none = show("--block", "PL", "--grep", "no such text")
    assert (none["entities"], none["registers"]) == ([], [])
    changed = show("--block", "PL", "--changed-from-reset")
    assert changed["reset"]["known"] == 1
    assert changed["reset"]["unknown"] > 50


def test_show_prints_no_json_for_a_name_that_nothing_has(vmcoredd: Run, made: Path) -> None:
    for options in (["--entity", "999"], ["--register", "XYZZY"], ["--block", "XYZZY"]):
        result = vmcoredd("show", made, *options, "--json")
        assert (result.code, result.out) == (Exit.USAGE, "")


def test_show_names_entities_whose_registers_cannot_be_read(vmcoredd: Run, copied: Path) -> None:
    damage(copied, "TP_INDIRECT")
    result = vmcoredd("show", copied, "--register", "PL_WHOAMI", "--json")
    assert result.code == Exit.BAD_FILE
    assert [entity["name"] for entity in result.json["entities"]] == ["TP_INDIRECT"]
    assert result.json["entities"][0]["damage"]
    assert len(result.json["registers"]) == 1


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


def with_json(group: Any) -> Iterator[str]:
    """Yields the commands that have the option --json."""
    for name, command in all_commands(group).items():
        if any("--json" in parameter.opts for parameter in command.params):
            yield name


def all_commands(group: Any, path: tuple[str, ...] = ()) -> dict[str, Any]:
    """The commands of a group by their names, those of its groups too."""
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            found |= all_commands(command, (*path, name))
        else:
            found[" ".join((*path, name))] = command
    return found


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
