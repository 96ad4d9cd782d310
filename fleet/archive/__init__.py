"""The archive of dumps: a folder of Parquet files that DuckDB writes and reads.

| file | content |
|---|---|
| `schema.py` | the tables and their columns; docs/reference/archive.md shows them |
| `store.py` | the folder: which files count, how they get their names, who may delete them |
| `connection.py` | a connection to DuckDB whose work a signal can end |
| `database.py` | DuckDB: its limits, writing a table, a connection that reads the archive alone |
| `rows.py` | what a file's dumps say, as rows |
| `sources.py` | the files in folders |
| `adding.py` | files into the archive, in several processes |
| `compacting.py` | many small files into few |
| `outliers.py` | registers in which a card differs from the others of its type |
| `summary.py` | what the report shows |
"""

from __future__ import annotations

from vmcoredd.fleet.archive.adding import Added, Known, Outcome, add
from vmcoredd.fleet.archive.compacting import Compacted, compact
from vmcoredd.fleet.archive.database import Answer, ask, connected
from vmcoredd.fleet.archive.errors import (
    ArchiveError,
    BadQuery,
    NotAnArchive,
    OtherSchema,
)
from vmcoredd.fleet.archive.outliers import Outlier, Outliers, outliers
from vmcoredd.fleet.archive.store import Archive
from vmcoredd.fleet.archive.summary import Summary, summary

__all__ = [
    "Added",
    "Answer",
    "Archive",
    "ArchiveError",
    "BadQuery",
    "Compacted",
    "Known",
    "NotAnArchive",
    "OtherSchema",
    "Outcome",
    "Outlier",
    "Outliers",
    "Summary",
    "add",
    "ask",
    "compact",
    "connected",
    "outliers",
    "summary",
]
