"""Registers in which a card differs from the others of its type."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from vmcoredd.chip.momentary import momentary
from vmcoredd.fleet.archive.database import connected, duckdb_errors, tables
from vmcoredd.fleet.archive.store import Archive

SHARE = 0.99
"""Of the other cards of the type that have the same value, at least."""
CARDS_LEAST = 50
"""Of a type. Of fewer cards, a value that every fourth healthy one has is too often one card's
alone, by chance."""


class Outlier(NamedTuple):
    """A register of a card that differs, while at least `SHARE` of the others are equal."""

    card: str
    serial: str
    dump: str
    entity: str
    register: str
    instance: str
    element: int
    offset: int
    value: int
    mode: int
    """What the others have."""
    share: float
    """How many of the others have it."""


class Type(NamedTuple):
    """A type of card, and how many cards of it the archive has."""

    card: str
    cards: int


@dataclass(frozen=True)
class Outliers:
    """What was found."""

    types: tuple[Type, ...]
    """Those that were compared."""
    too_few: tuple[Type, ...]
    """Those with too few cards."""
    found: tuple[Outlier, ...]
    """By card: those with most registers first."""


_CARDS = """
create temp table chosen as
select dump, card, serial, count(*) over (partition by card) as cards
from (
    select * from dumps where condition in ('good', 'damaged')
    qualify row_number() over (
        partition by card, coalesce(nullif(serial, ''), dump) order by time desc, dump
    ) = 1
)
"""
"""The newest dump of each card; a dump without a serial number is a card of its own."""
_VALUES = """
create temp table counted as
select c.card, r.entity, r.register, r.space, r."offset", r.value, count(*) as have
from registers r join chosen c on c.dump = r.dump
where c.cards >= {least} and r.register != '' and r.register not in (select name from momentary)
{wanted}
group by all
"""
_MODES = """
create temp table modes as
select card, entity, space, "offset", arg_max(value, have) as mode, max(have) as most,
    sum(have) as cards
from counted group by all
having count(*) > 1 and max(have) >= {share} * (sum(have) - 1)
"""
_FOUND = """
select c.card, c.serial, c.dump, r.entity, r.register, r.instance, r.element, r."offset", r.value,
    m.mode, m.most / (m.cards - 1) as share
from registers r
join chosen c on c.dump = r.dump
join modes m on m.card = c.card and m.entity = r.entity and m.space = r.space
    and m."offset" = r."offset" and r.value != m.mode
where true {wanted}
order by count(*) over (partition by c.dump) desc, c.card, c.serial, c.dump, r.entity, r."offset"
"""


def outliers(
    archive: Archive, registers: Sequence[str] = (), *, least: int = CARDS_LEAST
) -> Outliers:
    """Returns the registers in which the newest dump of a card differs from those of the others of
    its type, of registers that at least `SHARE` of the others have equal.

    Counters, addresses and captures, as `chip.momentary` knows them, are not compared, nor words
    that no table describes. `registers` limits it to these names. A type needs `least` cards.
    Raises ArchiveError.
    """
    with (
        tempfile.TemporaryDirectory(prefix="vmcoredd-outliers-") as spill,
        connected(spill=Path(spill)) as connection,
        duckdb_errors(str(archive.path)),
    ):
        tables(archive, connection)
        connection.execute("create temp table momentary (name varchar)")
        connection.execute("insert into momentary select unnest($1)", [[*momentary()]])
        connection.execute("create temp table wanted (name varchar)")
        connection.execute("insert into wanted select unnest($1::varchar[])", [[*registers]])
        wanted = "and r.register in (select name from wanted)" if registers else ""
        connection.execute(_CARDS)
        connection.execute(_VALUES.format(least=least, wanted=wanted))
        connection.execute(_MODES.format(share=SHARE))
        types = connection.execute(
            "select card, count(*) from chosen group by 1 order by 2 desc, 1"
        ).fetchall()
        found = connection.execute(_FOUND.format(wanted=wanted)).fetchall()
    every = [Type(*row) for row in types]
    return Outliers(
        tuple(one for one in every if one.cards >= least),
        tuple(one for one in every if one.cards < least),
        tuple(Outlier(*row) for row in found),
    )
