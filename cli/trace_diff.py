"""`vmcoredd diff` of two traces: where two drivers part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from vmcoredd.cli.exit_codes import Exit, about, report
from vmcoredd.cli.output import emit_json, out
from vmcoredd.plural import counted

if TYPE_CHECKING:
    from vmcoredd.trace.parting import Action, Comparison, Course, Place

ZIP = b"PK\x03\x04"
CONTEXT = 3
"""Steps that both have in common, shown in front of a difference."""


def is_trace(path: Path) -> bool:
    """Returns whether a file begins as traces do, and neither vmcores nor dumps."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(ZIP)) == ZIP


def diff_traces(a: Path, b: Path, most: int, *, json: bool) -> None:
    """Shows where the drivers of two traces part, and how many differences follow."""
    from vmcoredd.trace.parting import compare

    one, other = _course(a), _course(b)
    if one.chip is not other.chip:
        raise typer.BadParameter(f"A is of a {one.chip}, this of a {other.chip}", param_hint="B")
    found = compare(one, other)
    if json:
        emit_json("diff", {"a": str(a), "b": str(b), **_record(found, one, other, most)})
    else:
        _show(found, (a, one), (b, other), most)
    for path, course in ((a, one), (b, other)):
        if course.damage:
            report(f"the trace is incomplete: {course.damage}", path)
    if found.places or found.answers or one.damage or other.damage:
        raise typer.Exit(Exit.INCOMPLETE)


def _course(path: Path) -> Course:
    from vmcoredd.trace.archive import Reader
    from vmcoredd.trace.parting import course

    with about(path), Reader(path) as reader:
        return course(reader)


def _record(found: Comparison, one: Course, other: Course, most: int) -> dict[str, Any]:
    return {
        "common_steps": found.common,
        "a_steps": len(one.actions),
        "b_steps": len(other.actions),
        "places": [
            {"a": _side(one, place.a, most), "b": _side(other, place.b, most)}
            for place in found.places
        ],
        "aligned": found.aligned,
        "answers": [
            {"a": _lines(one.actions[at : at + 1])[0], "b": _lines(other.actions[to : to + 1])[0]}
            for at, to in found.answers[:most]
        ],
        "differing_answers": len(found.answers),
        "not_compared": [
            {"what": name, "a_accesses": one.left_out[name], "b_accesses": other.left_out[name]}
            for name in _left_out(one, other)
        ],
    }


def _side(course: Course, place: tuple[int, int], most: int) -> dict[str, Any]:
    first, end = place
    return {
        "first_step": first,
        "steps": end - first,
        "lines": _lines(course.actions[first:end])[:most],
    }


def _lines(actions: Sequence[Action]) -> list[str]:
    from vmcoredd.trace import text

    return list(text.lines(action.event for action in actions))


def _show(
    found: Comparison, one: tuple[Path, Course], other: tuple[Path, Course], most: int
) -> None:
    steps = [counted(len(course.actions), "step") for _, course in (one, other)]
    out.say(f"A: {one[0]}: {steps[0]}; B: {other[0]}: {steps[1]}")
    if found.places:
        first, *others = found.places
        out.say(f"the first {counted(found.common, 'step')} are the same; then they part:", "bold")
        out.say_all(_parting(first, one[1], other[1], most))
        out.say_all(_later(others, one[1], other[1], most))
        if not found.aligned:
            out.say("what follows is too long to find where they meet again")
    else:
        out.say("the steps are the same", "bold")
    out.say_all(_answers(found, one[1], other[1], most))
    out.say_all(_not_compared(one[1], other[1]))


def _parting(place: Place, one: Course, other: Course, most: int) -> Iterator[str]:
    """Yields the steps before a place, and then those of each side."""
    before = max(0, place.a[0] - CONTEXT)
    yield from (f"    {line}" for line in _lines(one.actions[before : place.a[0]]))
    for name, course, (first, end) in (("A", one, place.a), ("B", other, place.b)):
        lines = _lines(course.actions[first:end])
        yield from (f"  {name} {line}" for line in lines[:most])
        if len(lines) > most:
            yield f"  {name} and {counted(len(lines) - most, 'line')} more"
        if not lines:
            yield f"  {name} nothing here"


def _later(places: Sequence[Place], one: Course, other: Course, most: int) -> Iterator[str]:
    """Yields a line for each side of the other places."""
    if places:
        yield f"they meet again, and differ at {counted(len(places), 'more place')}:"
    for place in places[:most]:
        for name, course, (first, end) in (("A", one, place.a), ("B", other, place.b)):
            if first < end:
                line, *_ = _lines(course.actions[first:end])
                more = f" (and {counted(end - first - 1, 'more step')})" if end > first + 1 else ""
                yield f"  {name} {line}{more}"
    if len(places) > most:
        yield f"  and {counted(len(places) - most, 'more place')}"


def _answers(found: Comparison, one: Course, other: Course, most: int) -> Iterator[str]:
    if found.answers:
        yield f"{counted(len(found.answers), 'step was', 'steps were')} answered differently:"
    for at, to in found.answers[:most]:
        for name, action in (("A", one.actions[at]), ("B", other.actions[to])):
            yield from (f"  {name} {line}" for line in _lines([action]))


def _not_compared(one: Course, other: Course) -> Iterator[str]:
    """Yields what was not compared: the accesses of A and of B."""
    if names := _left_out(one, other):
        counts = (f"{name} ({one.left_out[name]:,}, {other.left_out[name]:,})" for name in names)
        yield f"not compared (accesses of A, of B): {', '.join(counts)}"


def _left_out(one: Course, other: Course) -> list[str]:
    return [*dict.fromkeys((*one.left_out, *other.left_out))]
