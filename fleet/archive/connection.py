"""A connection to a database in memory, whose work a signal can end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import duckdb

T = TypeVar("T")


class Connection:
    """DuckDB works in a thread of its own while this one waits: a signal is handled at once, and
    what its handler raises interrupts the work."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._duckdb = duckdb.connect(":memory:", config=dict(config))
        self._worker = ThreadPoolExecutor(1, "duckdb")

    def execute(self, sql: Any, parameters: object = None) -> Connection:
        """Executes a statement; returns this connection, to fetch from."""
        self._wait(lambda: self._duckdb.execute(sql, parameters))
        return self

    def statements(self, sql: str) -> list[Any]:
        """Returns the statements of a text, as DuckDB parses it."""
        return self._duckdb.extract_statements(sql)

    @property
    def columns(self) -> list[tuple[str, str]]:
        """The names and types of the columns of the last answer."""
        return [(name, str(kind)) for name, kind, *_ in self._duckdb.description or ()]

    def fetchmany(self, count: int) -> list[tuple[Any, ...]]:
        """Returns the next rows, at most so many."""
        return self._wait(lambda: self._duckdb.fetchmany(count))

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Returns the other rows."""
        return self._wait(self._duckdb.fetchall)

    def one(self) -> tuple[Any, ...]:
        """Returns the only row of an answer that always has one."""
        (row,) = self.fetchall()
        return row

    def close(self) -> None:
        """Ends it."""
        self._worker.shutdown()
        self._duckdb.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wait(self, work: Callable[[], T]) -> T:
        future = self._worker.submit(work)
        try:
            return future.result()
        except BaseException:
            if not future.done():
                self._duckdb.interrupt()
            raise
