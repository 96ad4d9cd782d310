"""DuckDB: its limits, writing a table, and a connection that reads the archive and nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from vmcoredd.fleet.archive.connection import Connection
from vmcoredd.fleet.archive.errors import ArchiveError, BadQuery
from vmcoredd.fleet.archive.schema import TABLES, literal, quoted
from vmcoredd.fleet.archive.store import Archive

WRITER_MIB = 256
"""Of memory, for each process that adds dumps."""
READER_MIB = 2048
"""Of memory, for a query, a report or `compact`; half of the machine's if that is less."""
PARQUET = "format parquet, compression zstd, parquet_version v1"
"""Of version 2 other readers refuse what DuckDB writes: arrow-rs, the deltas of 32-bit numbers."""
_FETCHED = 1000
"""Rows of an answer that are in memory at once."""


def connected(*, mib: int = 0, threads: int = 0, spill: Path | None = None) -> Connection:
    """Opens a database in memory. Rows that do not fit go to a file in `spill`, if it is given."""
    mib = mib or min(READER_MIB, _machines_mib() // 2)
    threads = threads or len(os.sched_getaffinity(0))
    connection = Connection(
        {
            "memory_limit": f"{mib}MiB",
            "threads": threads,
            "temp_directory": str(spill or ""),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,
            "preserve_insertion_order": False,
        },
    )
    connection.execute("set timezone = 'UTC'")
    return connection


def _machines_mib() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20


@contextmanager
def duckdb_errors(what: str) -> Iterator[None]:
    """Raises DuckDB's errors as ArchiveError; `what` names what was done."""
    try:
        yield
    except duckdb.Error as error:
        raise ArchiveError(f"{what}: {_in_words(error)}") from error


def _in_words(error: Exception) -> str:
    """Returns what is wrong, without DuckDB's hints on its own settings and its stack."""
    text = str(error).split("\n\n", 1)[0]
    return " ".join(text.split())


class Writer:
    """Writes rows, as lines of JSON, to Parquet files."""

    def __init__(self) -> None:
        self._connection = connected(mib=WRITER_MIB, threads=1)

    @property
    def connection(self) -> Connection:
        """The database."""
        return self._connection

    def write(self, table: str, keys: Sequence[Any], lines: Iterable[bytes], path: Path) -> None:
        """Writes a table to a new file: `keys` are the values of the first columns in each row."""
        columns = TABLES[table]
        own = columns[len(keys) :]
        types = ", ".join(f"{literal(c.name)}: {literal(c.type)}" for c in own)
        values = ", ".join(
            f"$%d::{c.type} as {quoted(c.name)}" % i for i, c in enumerate(columns[: len(keys)], 1)
        )
        with _lines_file(lines) as (fd, is_empty):
            source = f"read_json('/proc/self/fd/{fd}', format = 'newline_delimited', "
            source += f"columns = {{{types}}}, maximum_object_size = {_LINE_MOST})"
            if is_empty:
                nulls = ", ".join(f"null::{c.type} as {quoted(c.name)}" for c in own)
                source = f"(select {nulls} where false)"
            names = ", ".join(quoted(c.name) for c in own)
            self._connection.execute(
                f"copy (select {values}, {names} from {source}) to {literal(str(path))} "
                f"({PARQUET})",
                list(keys),
            )


_LINE_MOST = 64 << 20
"""Bytes of a row."""


@contextmanager
def _lines_file(lines: Iterable[bytes]) -> Iterator[tuple[int, bool]]:
    """Yields a descriptor of a file in memory that holds the lines, and whether it is empty."""
    fd = os.memfd_create("rows", os.MFD_CLOEXEC)
    with os.fdopen(fd, "wb") as file:
        for line in lines:
            file.write(line)
            file.write(b"\n")
        file.flush()
        yield fd, not os.fstat(fd).st_size


def tables(archive: Archive, connection: Connection) -> None:
    """Makes a view of each table of the archive, of the rows that count."""
    archive.held(connection)
    files = archive.files(connection)
    for table, columns in TABLES.items():
        names = ", ".join(quoted(column.name) for column in columns)
        paths = ", ".join(literal(str(archive.file(table, stem))) for stem in files.whole)
        parts = [f"select {names} from read_parquet([{paths}])"] if paths else []
        for stem in files.partly:
            parts.append(
                f"select {names} from read_parquet([{literal(str(archive.file(table, stem)))}]) "
                f"where dump in (select dump from held where counts and stem = {literal(stem)})"
            )
        if not parts:
            nulls = ", ".join(f"null::{c.type} as {quoted(c.name)}" for c in columns)
            parts = [f"select {nulls} where false"]
        connection.execute(f"create view {table} as {' union all '.join(parts)}")


@contextmanager
def reading(archive: Archive) -> Iterator[Connection]:
    """Opens a database with the archive's tables that can read no other file, and write none."""
    connection = connected()
    try:
        with duckdb_errors(str(archive.path)):
            tables(archive, connection)
            folders = ", ".join(literal(f"{archive.path / table}/") for table in TABLES)
            connection.execute(f"set allowed_directories = [{folders}]")
            connection.execute("set enable_external_access = false")
            connection.execute("set lock_configuration = true")
        yield connection
    finally:
        connection.close()


class Field(NamedTuple):
    """A column of an answer: its name, different from the others', and its type in DuckDB."""

    name: str
    type: str


class Answer:
    """What a query answers: its columns, and its rows, which can be read once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        taken: dict[str, int] = {}
        self.columns: list[Field] = []
        for name, kind in connection.columns:
            taken[name] = taken.get(name, 0) + 1
            different = name if taken[name] == 1 else f"{name}_{taken[name]}"
            self.columns.append(Field(different, kind))

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        with _query_errors():
            while rows := self._connection.fetchmany(_FETCHED):
                yield from rows


@contextmanager
def ask(archive: Archive, sql: str) -> Iterator[Answer]:
    """Answers one SELECT. Raises BadQuery for anything else, and for one that is wrong."""
    with reading(archive) as connection:
        with _query_errors():
            statements = connection.statements(sql)
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                raise BadQuery("the archive answers one SELECT, and changes nothing")
            connection.execute(statements[0])
        yield Answer(connection)


@contextmanager
def _query_errors() -> Iterator[None]:
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        what = "the query needs more memory than it may have; select fewer rows or columns"
        raise ArchiveError(what) from error
    except (duckdb.IOException, duckdb.InternalException, duckdb.FatalException) as error:
        raise ArchiveError(_in_words(error)) from error
    except duckdb.Error as error:
        raise BadQuery(str(error).rstrip()) from error
