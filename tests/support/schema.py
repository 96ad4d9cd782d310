"""Checks what commands print with `--json` against docs/reference/json-schema.json."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

PATH = Path(__file__).parents[2] / "docs" / "reference" / "json-schema.json"


@cache
def schema() -> dict[str, Any]:
    """The whole schema."""
    loaded: dict[str, Any] = json.loads(PATH.read_text())
    return loaded


def command_of(name: str) -> str | None:
    """The command whose output a definition describes; None for a part of one."""
    found: str | None = (
        schema()["$defs"][name].get("properties", {}).get("command", {}).get("const")
    )
    return found


@cache
def validators(command: str) -> list[Draft202012Validator]:
    """A validator for each kind of output of a command; none if there is no such command."""
    names = [name for name in schema()["$defs"] if command_of(name) == command]
    shared = {"$defs": schema()["$defs"]}
    return [Draft202012Validator(shared | {"$ref": f"#/$defs/{name}"}) for name in names]


def problems(record: Any) -> list[str]:
    """What is wrong with the output of a command, most likely kind first; empty if nothing is."""
    found = [list(_problems(validator, record)) for validator in validators(record["command"])]
    return min(found, key=len, default=[f"no definition of the command {record['command']}"])


def _problems(validator: Draft202012Validator, record: Any) -> Iterator[str]:
    for error in validator.iter_errors(record):
        yield f"{error.json_path}: {error.message[:300]}"
