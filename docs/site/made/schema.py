"""What `--json` prints, as tables, from the schemas."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[3]
SCHEMAS = {
    "vmcoredd": _ROOT / "docs/reference/json-schema.json",
    "pyvfio_user": _ROOT / "pyvfio_user/src/pyvfio_user/json-schema.json",
}
_HEAD = "| key | type | | |\n| --- | --- | --- | --- |\n"


def schema(distribution: str) -> str:
    """Returns a section for each command's object, and for each object that several have."""
    root = json.loads(SCHEMAS[distribution].read_text())
    commands = [_name(each["$ref"]) for each in root["oneOf"]]
    parts = [f"{root['description']}\n"]
    for name in (*commands, *(name for name in root["$defs"] if name not in commands)):
        node = root["$defs"][name]
        parts += [f"### {name}\n", f"{_text(node, code=name in commands)}\n"]
        rows = "".join(f"| {' | '.join(row)} |\n" for row in _rows(node, ""))
        parts.append(_HEAD + rows if rows else f"{_type(node)}\n")
    return "\n".join(parts)


def _rows(node: dict[str, Any], prefix: str) -> Iterator[tuple[str, ...]]:
    """Yields key, type, whether it may be missing, and meaning; of objects inside, their keys."""
    if node.get("type") == "array":
        prefix += "[]"
        yield from _rows(node["items"], prefix)
    for key, value in node.get("properties", {}).items():
        path = f"{prefix}.{key}".lstrip(".")
        optional = "" if key in node.get("required", ()) else "optional"
        yield f"`{path}`", _type(value), optional, _text(value)
        yield from _rows(value, path)
    for form in node.get("oneOf", ()):
        yield from _rows(form, prefix)
    if isinstance(more := node.get("additionalProperties"), dict):
        path = f"{prefix}.*".lstrip(".")
        yield f"`{path}`", _type(more), "any key", _text(more)
        yield from _rows(more, path)


def _type(node: dict[str, Any]) -> str:
    if "$ref" in node:
        name = _name(node["$ref"])
        return f"[{name}](#{name})"
    if "oneOf" in node:
        return " or ".join(map(_type, node["oneOf"]))
    for word, values in (("const", [node.get("const")]), ("enum", node.get("enum"))):
        if word in node:
            return ", ".join(f"`{json.dumps(value)}`" for value in values or ())
    if node.get("type") == "array":
        inner = node.get("items", {})
        return f"list of {_type(inner)}" if inner else "list"
    kinds = node.get("type", "anything")
    return kinds if isinstance(kinds, str) else " or ".join(kinds)


def _text(node: dict[str, Any], *, code: bool = False) -> str:
    text = str(node.get("description", ""))
    return f"`{text}`" if code and text else text.replace("|", "\\|")


def _name(reference: str) -> str:
    return reference.removeprefix("#/$defs/")
