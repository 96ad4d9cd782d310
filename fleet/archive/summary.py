"""What the report shows: findings by rule, card, firmware and time."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, NamedTuple

from vmcoredd.fleet.archive.database import duckdb_errors, reading
from vmcoredd.fleet.archive.store import Archive

LISTED_MOST = 200
"""Rows of a table."""
PERIODS_MOST = 60
"""Bars of the plot by time: days, else months, else years, whichever are so many at most."""
SEVERITIES = ("fatal", "error", "warning", "none")
"""The worst severity of a dump above `note`; `none` if it has no finding above it."""


class ByRule(NamedTuple):
    """What a rule found."""

    rule: str
    severity: str
    dumps: int
    cards: int
    first: datetime
    last: datetime
    meaning: str
    """Of one of them."""


class ByCard(NamedTuple):
    """A card with a finding above `note`."""

    card: str
    serial: str
    dumps: int
    fatal: int
    error: int
    warning: int
    rules: list[str]
    last: datetime


class Group(NamedTuple):
    """Dumps of one firmware, or of one period, by their worst severity."""

    name: str
    dumps: int
    fatal: int
    error: int
    warning: int
    none: int


class Unreadable(NamedTuple):
    """A file of which nothing could be read."""

    file: str
    error: str


@dataclass(frozen=True)
class Summary:
    """All of it. Lists have `LISTED_MOST` rows at most."""

    dumps: int
    """Device dumps of cards."""
    cards: int
    first: datetime | None
    last: datetime | None
    damaged: int
    foreign: int
    unreadable: int
    rules: list[ByRule]
    worst: list[ByCard]
    alarming_cards: int
    firmware: list[Group]
    periods: list[Group]
    unreadable_files: list[Unreadable]

    def record(self) -> dict[str, Any]:
        """Returns it for programs."""
        rows = ("rules", "worst", "firmware", "periods", "unreadable_files")
        return asdict(self) | {
            name: [row._asdict() for row in getattr(self, name)] for name in rows
        }


_WORST = """
create temp view judged as
select d.dump, d.card, coalesce(nullif(d.serial, ''), d.dump) as one, d.serial, d.firmware, d.time,
    coalesce(arg_min(f.severity, f.rank), 'none') as worst
from dumps d left join (
    select dump, severity, list_position(['fatal', 'error', 'warning'], severity) as rank
    from findings where severity != 'note'
) f on f.dump = d.dump
where d.condition in ('good', 'damaged')
group by all
"""
_TOTALS = """
select count(*) filter (condition in ('good', 'damaged')),
    count(distinct (card, coalesce(nullif(serial, ''), dump)))
        filter (condition in ('good', 'damaged')),
    min(time) filter (condition in ('good', 'damaged')),
    max(time) filter (condition in ('good', 'damaged')),
    count(*) filter (condition = 'damaged'), count(*) filter (condition = 'foreign'),
    count(*) filter (condition = 'unreadable')
from dumps
"""
_RULES = """
select rule, arg_min(severity, rank), count(distinct dump),
    count(distinct (card, coalesce(nullif(serial, ''), dump))), min(time), max(time), min(meaning)
from (
    select *, list_position(['fatal', 'error', 'warning'], severity) as rank from findings
    where severity != 'note'
)
group by rule order by min(rank), 3 desc, 1 limit {most}
"""
_CARDS = """
select j.card, j.serial, count(distinct j.dump), count(*) filter (f.severity = 'fatal'),
    count(*) filter (f.severity = 'error'), count(*) filter (f.severity = 'warning'),
    list(distinct f.rule order by f.rule), max(j.time)
from judged j join findings f on f.dump = j.dump and f.severity != 'note'
group by j.card, j.serial, j.one order by 4 desc, 5 desc, 6 desc, 1, 2 limit {most}
"""
_GROUPS = """
select {name}, count(*), count(*) filter (worst = 'fatal'), count(*) filter (worst = 'error'),
    count(*) filter (worst = 'warning'), count(*) filter (worst = 'none')
from judged group by 1 order by {order} limit {most}
"""
_PERIODS = ("%Y-%m-%d", "%Y-%m", "%Y")


def summary(archive: Archive) -> Summary:
    """Returns what the report shows of an archive. Raises ArchiveError."""
    with reading(archive) as connection, duckdb_errors(str(archive.path)):
        connection.execute(_WORST)

        def rows(sql: str, **parts: object) -> list[tuple[Any, ...]]:
            return connection.execute(sql.format(**{"most": LISTED_MOST} | parts)).fetchall()

        (totals,) = rows(_TOTALS)
        ((alarming,),) = rows(
            "select count(distinct (card, one)) from judged where worst != 'none'"
        )
        form = _PERIODS[-1]
        for form in _PERIODS:
            ((periods,),) = rows(f"select count(distinct strftime(time, '{form}')) from judged")
            if periods <= PERIODS_MOST:
                break
        by_firmware = "coalesce(nullif(firmware, ''), 'unknown')"
        broken = (
            "select file, error from dumps where condition = 'unreadable' order by 1 limit {most}"
        )
        dumps, cards, first, last, damaged, foreign, unreadable = totals
        return Summary(
            dumps=dumps,
            cards=cards,
            first=first,
            last=last,
            damaged=damaged,
            foreign=foreign,
            unreadable=unreadable,
            rules=[ByRule(*row) for row in rows(_RULES)],
            worst=[ByCard(*row) for row in rows(_CARDS)],
            alarming_cards=alarming,
            firmware=[Group(*row) for row in rows(_GROUPS, name=by_firmware, order="2 desc, 1")],
            periods=[
                Group(*row) for row in rows(_GROUPS, name=f"strftime(time, '{form}')", order="1")
            ],
            unreadable_files=[Unreadable(*row) for row in rows(broken)],
        )
