"""The driver's headers and tables, read from a kernel's source without a compiler."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

DRIVER = Path("drivers/net/ethernet/chelsio/cxgb4")


@dataclass
class Macro:
    """A field: NAME_S and NAME_M; `width` is None where there is no mask (a single bit)."""

    name: str
    shift: int = 0
    width: int | None = None


@dataclass
class Header:
    """A header's registers (NAME_A) and fields, with the other numbers it defines."""

    registers: dict[str, int] = field(default_factory=dict)
    fields: dict[str, Macro] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)


def text(path: Path) -> str:
    """A C file without comments, continued lines joined."""
    code = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.S)
    return code.replace("\\\n", " ")


def header(path: Path) -> Header:
    """The `#define NAME number` lines of a header, sorted by their meaning."""
    found = Header()
    for name, number in re.findall(
        r"#define\s+(\w+)\s+\(?(0[xX][\da-fA-F]+|\d+)U?L*\)?\s*$", text(path), flags=re.M
    ):
        value = int(number, 0)
        stem, _, kind = name.rpartition("_")
        if kind == "A":
            found.registers[stem] = value
        elif kind == "S":
            found.fields.setdefault(stem, Macro(stem)).shift = value
        elif kind == "M":
            found.fields.setdefault(stem, Macro(stem)).width = value.bit_length()
        else:
            found.numbers[name] = value
    return found


def enum(path: Path, name: str, known: dict[str, int] | None = None) -> dict[str, int]:
    """The members of `enum name { ... }`, with C's counting."""
    body = re.search(rf"enum {name}\s*\{{(.*?)\}}", text(path), flags=re.S)
    if body is None:
        raise LookupError(f"{path}: no enum {name}")
    return members(body[1], known or {})


def enum_of(path: Path, member: str) -> dict[str, int]:
    """The members of the enum, named or not, that has `member`."""
    for body in re.findall(r"enum[\w\s]*\{(.*?)\}", text(path), flags=re.S):
        if re.search(rf"\b{member}\b", body):
            return members(body, {})
    raise LookupError(f"{path}: no enum with {member}")


def members(body: str, known: dict[str, int]) -> dict[str, int]:
    """Members of an enum's body; those whose value is an expression are left out."""
    found: dict[str, int] = {}
    value = -1
    for item in filter(None, (part.strip() for part in body.split(","))):
        name, _, expression = (part.strip() for part in item.partition("="))
        if not expression:
            value += 1
        elif re.fullmatch(r"0[xX][\da-fA-F]+|\d+", expression):
            value = int(expression, 0)
        else:
            value = {**known, **found}.get(expression, -1)
        if value >= 0:
            found[name] = value
    return found


def rows(path: Path, array: str) -> list[tuple[int, ...]]:
    """The rows of `static const ... array[]...= { {1, 2}, ... };`."""
    return [
        tuple(int(cell, 0) for cell in row.split(",") if cell.strip())
        for row in re.findall(r"\{([^{}]*)\}", _body(path, array))
    ]


def numbers(path: Path, array: str) -> list[int]:
    """The numbers of `array[] = { 1, 2, ... };`."""
    return [int(cell, 0) for cell in _body(path, array).split(",") if cell.strip()]


def strings(path: Path, array: str) -> list[str]:
    """The strings of an array of strings."""
    return re.findall(r'"([^"]*)"', _body(path, array))


def _body(path: Path, array: str) -> str:
    found = re.search(rf"\b{array}\[.*?=\s*\{{(.*?)\n?\s*\}};", text(path), flags=re.S)
    if found is None:
        raise LookupError(f"{path}: no {array}")
    return found[1]


SIZES = {"__be16": 2, "__be32": 4, "__be64": 8, "__u8": 1, "u8": 1, "__u32": 4}


def struct(path: Path, name: str) -> dict[str, tuple[int, int]]:
    """Offset and size of each member of a struct, members of unions by `union.struct.member`."""
    code = text(path)
    start = re.search(rf"struct {name}\s*\{{", code)
    if start is None:
        raise LookupError(f"{path}: no struct {name}")
    body = re.sub(r"^#.*$", "", code[start.end() :], flags=re.M)
    tokens = iter(re.findall(r"\w+|[{};\[\]]", body))
    return dict(_members(tokens, "", 0, union=False)[0])


def _members(
    tokens: Iterator[str], prefix: str, start: int, *, union: bool
) -> tuple[list[tuple[str, tuple[int, int]]], int, int]:
    found: list[tuple[str, tuple[int, int]]] = []
    at = end = start
    align = 1
    for word in tokens:
        if word == "}":
            break
        if word in ("struct", "union"):
            inner, size, inner_align, name, count = _nested(tokens, word == "union")
        else:
            size = inner_align = SIZES[word]
            inner, name, count = [], next(tokens), _count(tokens)
        at = start if union else -(-end // inner_align) * inner_align
        found.append((prefix + name, (at, size * count)))
        found += [(f"{prefix}{name}.{key}", (at + off, bytes_)) for key, (off, bytes_) in inner]
        end = max(end, at + size * count)
        align = max(align, inner_align)
    return found, -(-end // align) * align, align


def _nested(
    tokens: Iterator[str], union: bool
) -> tuple[list[tuple[str, tuple[int, int]]], int, int, str, int]:
    while next(tokens) != "{":
        pass
    inner, size, align = _members(tokens, "", 0, union=union)
    name = next(tokens)
    return inner, size, align, name, _count(tokens)


def _count(tokens: Iterator[str]) -> int:
    """Parses the text after a member's name, `;` or `[count];`; a named count is 0."""
    count = 1
    for word in tokens:
        if word == ";":
            break
        if re.fullmatch(r"0[xX][\da-fA-F]+|\d+", word):
            count *= int(word, 0)
        elif word == "FW_DEVLOG_FMT_LEN":
            count *= 192
        elif word == "FW_DEVLOG_FMT_PARAMS_NUM":
            count *= 8
    return count
