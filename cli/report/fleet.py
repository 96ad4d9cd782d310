"""The page about an archive of dumps: one file without a script, its style and plots in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from vmcoredd.cli.report.page import part, rendered
from vmcoredd.plural import counted

if TYPE_CHECKING:
    from vmcoredd.fleet.archive import Outlier, Outliers, Summary
    from vmcoredd.fleet.archive.summary import Group

_HEIGHT = 160
_PITCH, _BAR = 32, 24
"""Of the bars by time, in the units of the picture."""
_LABEL = 80
"""The width of a label, with room beside it."""
_REGISTERS_MOST = 8
"""Of a card."""
_CARDS_MOST = 100


class Box(NamedTuple):
    """A part of a bar; `severity` is its class."""

    x: float
    y: float
    width: float
    height: float
    severity: str
    title: str


class Label(NamedTuple):
    """A text below a bar."""

    x: float
    text: str


def page(name: str, summary: Summary, outliers: Outliers) -> str:
    """Returns the HTML; everything that comes from dumps is escaped, and nothing is loaded."""
    boxes, labels = _columns(summary.periods)
    differing = [_card(list(group)) for _, group in groupby(outliers.found, lambda o: o.dump)]
    return rendered(
        "fleet.html.j2",
        part("page.css") + part("fleet.css"),
        title=f"Fleet: {name}",
        summary=summary,
        outliers=outliers,
        differing=differing[:_CARDS_MOST],
        more_cards=max(0, len(differing) - _CARDS_MOST),
        boxes=boxes,
        labels=labels,
        width=max(_PITCH * len(summary.periods), 320),
        height=_HEIGHT,
        most=max((group.dumps for group in summary.periods), default=0),
        rows=[(group, list(_row(group))) for group in summary.firmware],
    )


def _parts(group: Group) -> Iterator[tuple[str, int]]:
    """Yields how many dumps have which worst severity, the worst first."""
    for severity in ("fatal", "error", "warning", "none"):
        if count := getattr(group, severity):
            yield severity, count


def _title(group: Group, severity: str, count: int) -> str:
    what = "without a finding above note" if severity == "none" else f"with {severity} at worst"
    return f"{group.name}: {counted(count, 'dump')} {what}"


def _columns(groups: Sequence[Group]) -> tuple[list[Box], list[Label]]:
    """Returns stacked bars side by side, and the labels of some of them."""
    boxes, labels = [], []
    most = max((group.dumps for group in groups), default=1)
    step = -(-_LABEL // _PITCH)
    for i, group in enumerate(groups):
        top = float(_HEIGHT)
        for severity, count in reversed(list(_parts(group))):
            height = _HEIGHT * count / most
            top -= height
            title = _title(group, severity, count)
            x = i * _PITCH + (_PITCH - _BAR) / 2
            boxes.append(Box(x, round(top, 1), _BAR, round(height, 1), severity, title))
        if i % step == 0:
            labels.append(Label(i * _PITCH, group.name))
    return boxes, labels


def _row(group: Group) -> Iterator[Box]:
    """Yields the parts of a bar from left to right, of 100 units."""
    x = 0.0
    for severity, count in _parts(group):
        width = 100 * count / group.dumps
        title = _title(group, severity, count)
        yield Box(round(x, 2), 0, round(width, 2), 10, severity, title)
        x += width


class Card(NamedTuple):
    """A card that differs, and the first registers in which it does."""

    first: Outlier
    registers: list[Outlier]
    more: int


def _card(found: list[Outlier]) -> Card:
    return Card(found[0], found[:_REGISTERS_MOST], max(0, len(found) - _REGISTERS_MOST))
