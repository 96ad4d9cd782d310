"""Makes few large files of many small ones, in which a query finds its rows sooner."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from vmcoredd.fleet.archive.database import PARQUET, connected, duckdb_errors
from vmcoredd.fleet.archive.schema import SORTED_BY, TABLES, literal, quoted
from vmcoredd.fleet.archive.store import Archive

if TYPE_CHECKING:
    from vmcoredd.fleet.archive.connection import Connection

PACK_DUMPS = 1000
"""Of a full pack."""
_GROUP_ROWS = 122_880
"""Of a row group: what a query reads at least, or skips. DuckDB's own choice, too."""
_SPILL = ".spill-"


class Compacted(NamedTuple):
    """What was done."""

    dumps: int
    """Dumps whose rows were written into packs."""
    packs: int
    """Packs that were written."""
    deleted: int
    """Files that were deleted."""
    alone: bool
    """Whether nobody else used the archive, so that files could be deleted."""


def compact(
    archive: Archive,
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    pack_dumps: int = PACK_DUMPS,
) -> Compacted:
    """Writes the rows of dumps that have files of their own, and of packs that are half full at
    most or have rows that do not count, into packs of `pack_dumps` dumps.

    `progress(done, total)` counts dumps. What does not count any more is deleted, if nobody else
    uses the archive. Raises ArchiveError and OSError; a compact that was killed, or that a full
    disk ended, leaves what was there.
    """
    spill = Path(tempfile.mkdtemp(prefix=_SPILL, dir=archive.path))
    try:
        connection = connected(spill=spill)
        with duckdb_errors(str(archive.path)), connection:
            dumps, packs = _pack(archive, connection, progress, pack_dumps)
            with archive.alone() as alone:
                deleted = archive.sweep(connection) if alone else 0
                if alone:
                    _remove_spills(archive.path, spill)
            return Compacted(dumps, packs, deleted, alone)
    finally:
        shutil.rmtree(spill, ignore_errors=True)


def _remove_spills(folder: Path, own: Path) -> None:
    """Removes what killed ones left."""
    for path in folder.glob(f"{_SPILL}*"):
        if path != own:
            shutil.rmtree(path, ignore_errors=True)


def _pack(
    archive: Archive,
    connection: Connection,
    progress: Callable[[int, int], None],
    most: int,
) -> tuple[int, int]:
    archive.held(connection)
    connection.execute(
        "create temp table moving as select row_number() over (order by dump) - 1 as place, "
        "dump, stem from held where counts and stem in (select stem from held group by stem "
        f"having not bool_and(counts) or count(*) <= {most // 2})"
    )
    total, stems = connection.execute("select count(*), count(distinct stem) from moving").one()
    if stems == 1 and _is_one_good_pack(connection):
        return 0, 0
    packs = 0
    for start in range(0, total, most):
        progress(start, total)
        _write_pack(archive, connection, start, start + most)
        packs += 1
    progress(total, total)
    return total, packs


def _is_one_good_pack(connection: Connection) -> bool:
    """Returns whether all that could be moved is a pack that would be written as it is."""
    (is_good,) = connection.execute(
        "select starts_with(stem, 'pack-') and bool_and(counts) from held "
        "where stem in (select stem from moving) group by stem"
    ).one()
    return bool(is_good)


def _write_pack(archive: Archive, connection: Connection, start: int, end: int) -> None:
    chosen = f"place >= {start} and place < {end}"
    stems = [
        stem
        for (stem,) in connection.execute(
            f"select distinct stem from moving where {chosen} order by stem"
        ).fetchall()
    ]
    with archive.temporary() as paths:
        for table, path in paths.items():
            files = ", ".join(literal(str(archive.file(table, stem))) for stem in stems)
            names = ", ".join(f"t.{quoted(column.name)}" for column in TABLES[table])
            order = ", ".join(f"t.{quoted(name)}" for name in SORTED_BY[table])
            connection.execute(
                f"copy (select {names} from read_parquet([{files}], filename = true) t "
                f"join moving m on m.dump = t.dump and m.stem = parse_filename(t.filename, true) "
                f"where m.{chosen.replace(' and ', ' and m.')} order by {order}) "
                f"to {literal(str(path))} ({PARQUET}, row_group_size {_GROUP_ROWS})"
            )
        archive.publish(archive.new_pack(), paths)
