"""Requests on a control socket: one JSON object a line, whose `do` names a verb."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any, NamedTuple

VERSION = 1
"""Rises when a key changes its meaning or goes away; new verbs and keys do not change it."""
LINE = 64 << 10
"""Bytes of a request at most, with its end."""
TEXT = 200
"""Characters of a name at most."""
PATH = 1024
"""Characters of a path at most."""
NAMES = 16
"""Names in a list at most: a fault takes the card a tenth of a second."""
SUFFIX = ".ctl"
SOCKETS = (".sock", ".socket")
"""What a control socket's suffix takes the place of; it follows any other."""


def beside(path: str | Path) -> Path:
    """Returns where the control socket of an adapter's socket is by default."""
    path = Path(path)
    stem = path.stem if path.suffix in SOCKETS else path.name
    return path.with_name(stem + SUFFIX)


class BadRequest(ValueError):
    """A request that no verb takes; says what there is instead."""


class Kind(NamedTuple):
    """What a key of a request may hold: `name`, as in `"port": a number`."""

    name: str
    holds: Callable[[Any], bool]


def _is_text(value: Any, most: int = TEXT) -> bool:
    return isinstance(value, str) and 0 < len(value) <= most and value.isprintable()


TEXTS = Kind(
    f"a list of at most {NAMES} texts",
    lambda value: isinstance(value, list) and len(value) <= NAMES and all(map(_is_text, value)),
)
ONE_TEXT = Kind(f"a text of 1 to {TEXT} printable characters", _is_text)
ONE_PATH = Kind(f"a path of 1 to {PATH} printable characters", lambda value: _is_text(value, PATH))
NUMBER = Kind(
    "a number from 0 to 2^63 - 1", lambda value: type(value) is int and 0 <= value < 1 << 63
)


class Runs(Enum):
    """Where a verb runs."""

    ON_CARD = auto()
    """In the thread that serves the card, between two messages of its client."""
    AT_ONCE = auto()
    """In the control socket's own thread; it neither waits nor touches the card."""
    BESIDE = auto()
    """In a thread beside it, one after the other; it may wait, and does not touch the card."""


@dataclass(frozen=True)
class Verb:
    """What a client can ask for. `keys`: what its request may hold besides `do` and `id`."""

    name: str
    meaning: str
    keys: Mapping[str, Kind]
    run: Callable[..., dict[str, Any]]
    needs: tuple[str, ...]
    """The keys that its request must hold."""
    runs: Runs
    changes: bool = False
    """Whether it changes the card: a trace has such requests."""


class Request(NamedTuple):
    """A request that is well-formed."""

    verb: Verb
    arguments: dict[str, Any]


def parse(line: bytes) -> dict[str, Any]:
    """Returns the object on a line. Raises BadRequest."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadRequest('not a JSON object such as {"do": "state"}')
    return value


def identity(value: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the part of a request that its answer repeats: `id`, if it has one."""
    return {"id": value["id"]} if _is_text(value.get("id")) or NUMBER.holds(value.get("id")) else {}


def request(value: Mapping[str, Any], verbs: Mapping[str, Verb]) -> Request:
    """Checks a request against the table of verbs. Raises BadRequest."""
    name = value.get("do")
    verb = verbs.get(name) if isinstance(name, str) else None
    if verb is None:
        what = f"no verb {short(name)}" if "do" in value else 'no "do"'
        raise BadRequest(f"{what}; {_there_is(name, verbs)}")
    if "id" in value and not identity(value):
        raise BadRequest(f'"id" is not {ONE_TEXT.name}, or {NUMBER.name}')
    arguments = {key: each for key, each in value.items() if key not in ("do", "id")}
    for key, each in arguments.items():
        if key not in verb.keys:
            what = _there_is(key, verb.keys) if verb.keys else "it takes none"
            raise BadRequest(f"{verb.name} has no key {short(key)}; {what}")
        if not verb.keys[key].holds(each):
            raise BadRequest(f'"{key}" of {verb.name} is not {verb.keys[key].name}')
    for key in verb.needs:
        if key not in arguments:
            raise BadRequest(f'{verb.name} needs "{key}": {verb.keys[key].name}')
    return Request(verb, arguments)


def _there_is(given: Any, known: Iterable[str]) -> str:
    """Says which name may be meant, or all of them."""
    near = difflib.get_close_matches(given, known, 1) if isinstance(given, str) else []
    return f"did you mean {near[0]}?" if near else f"there is {', '.join(known)}"


def short(value: Any) -> str:
    """Returns a value for a message, as JSON and not too long."""
    text = json.dumps(value)
    return text if len(text) <= TEXT else f"{text[:TEXT]}..."


def encoded(value: Mapping[str, Any]) -> bytes:
    """Returns the line of a request or an answer."""
    return json.dumps(value).encode() + b"\n"
