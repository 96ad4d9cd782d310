"""The folder of an archive: which files count, how they get their names, who may delete them.

    fleet/archive.json                 the version of the schema
    fleet/dumps/<sha256>.<n>.parquet   a dump's row; n is its generation
    fleet/registers/<sha256>.<n>.parquet, and so on: the same dump's rows of the other tables
    fleet/dumps/pack-<n>-<id>.parquet  rows of many dumps, which `compact` wrote
    fleet/lock

Files are written under a temporary name, and never changed under their own. The one in `dumps` gets
its name last, and that makes its dump count: what a killed run left is read by nobody. Of several
generations of a dump the highest counts; of the same one, the newest pack's. Only `compact` deletes
files, those that do not count, and only while it is alone: everyone else holds the lock, shared.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from vmcoredd.fleet.archive.errors import ArchiveError, NotAnArchive, OtherSchema
from vmcoredd.fleet.archive.schema import LAST, TABLES, VERSION, literal

if TYPE_CHECKING:
    from vmcoredd.fleet.archive.connection import Connection

MARK = "archive.json"
_FORMAT = "vmcoredd archive"
_LOCK = "lock"
_SUFFIX = ".parquet"
_TEMPORARY = ".part"
_PACK = "pack-"
_NUMBER = re.compile(rf"{_PACK}(\d+)-")
_LOOSE = re.compile(r"([0-9a-f]{64})\.(\d{1,9})")
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS}
_FOLDER_MODE = 0o700  # crash memory is private
_FILE_MODE = 0o600


class Files(NamedTuple):
    """The stems that count."""

    whole: list[str]
    partly: list[str]
    """Packs that have dumps of which others have newer rows."""


class Archive:
    """An archive at `path`, which is open until `close`."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        _check_mark(self.path)
        self._lock = _lock_of(self.path)
        fcntl.flock(self._lock, fcntl.LOCK_SH)

    @classmethod
    def made(cls, path: Path) -> Archive:
        """Opens the archive at `path`; makes one if nothing is there, or an empty folder.

        Raises NotAnArchive for a folder with anything else in it.
        """
        with suppress(FileExistsError):
            os.mkdir(path, _FOLDER_MODE)
        if not (path / MARK).exists():
            if any(not name.endswith(_TEMPORARY) for name in os.listdir(path)):
                what = "neither an archive nor empty; name a new folder for the archive"
                raise NotAnArchive(f"{path}: {what}")
            _write_mark(path)
        for table in TABLES:
            with suppress(FileExistsError):
                os.mkdir(path / table, _FOLDER_MODE)
        return cls(path)

    def close(self) -> None:
        """Lets others delete what does not count."""
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = -1

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Tells whether nobody else uses the archive; if so, nobody does within the context."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(self._lock, fcntl.LOCK_SH)  # which the attempt may have lost
            yield False
            return
        try:
            yield True
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_SH)

    def file(self, table: str, stem: str) -> Path:
        """Returns where the rows of `stem` in a table are."""
        return self.path / table / f"{stem}{_SUFFIX}"

    @contextmanager
    def temporary(self) -> Iterator[dict[str, Path]]:
        """Yields paths for new files, one for each table; what is left of them is removed."""
        end = f"{os.getpid()}-{secrets.token_hex(6)}{_TEMPORARY}"
        paths = {table: self.path / table / f".{end}" for table in TABLES}
        try:
            yield paths
        finally:
            for path in paths.values():
                path.unlink(missing_ok=True)

    def publish(self, stem: str, written: Mapping[str, Path]) -> bool:
        """Gives new files, which are flushed to the disk, their names.

        Returns False if another process was faster with the same stem, whose rows are the same.
        """
        for table in TABLES:
            os.chmod(written[table], _FILE_MODE)
            _flush(written[table])
        for table in TABLES:
            if table != LAST:
                os.replace(written[table], self.file(table, stem))
        try:
            os.link(written[LAST], self.file(LAST, stem))
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            os.replace(written[LAST], self.file(LAST, stem))
        return True

    def new_pack(self) -> str:
        """Returns the stem of a new pack, which sorts behind those that are there."""
        numbers = [int(found[1]) for stem in self.packs() if (found := _NUMBER.match(stem))]
        return f"{_PACK}{max(numbers, default=0) + 1:09d}-{secrets.token_hex(4)}"

    def stems(self, table: str = LAST) -> Iterator[str]:
        """Yields the stems of the files in a table, in no order."""
        with suppress(FileNotFoundError), os.scandir(self.path / table) as entries:
            for entry in entries:
                if entry.name.endswith(_SUFFIX) and not entry.name.startswith("."):
                    yield entry.name.removesuffix(_SUFFIX)

    def packs(self) -> list[str]:
        """Returns the stems of the packs."""
        return sorted(stem for stem in self.stems() if stem.startswith(_PACK))

    def has_loose(self, dump: str, generation: int) -> bool:
        """Returns whether a dump of that generation has files of its own."""
        return self.file(LAST, loose(dump, generation)).exists()

    def in_packs(self) -> str:
        """Returns SQL for the rows of all packs in `dumps`, with their `filename`."""
        files = ", ".join(literal(str(self.file(LAST, stem))) for stem in self.packs())
        return f"read_parquet([{files}], filename = true)" if files else ""

    def held(self, connection: Connection) -> None:
        """Makes the table `held` of the connection: for each dump its stem, its `generation`, and
        whether these rows of it count."""
        connection.execute(
            "create or replace temp table found (dump varchar, generation uinteger, stem varchar)"
        )
        matches = (match for stem in self.stems() if (match := _LOOSE.fullmatch(stem)))
        while batch := [match for _, match in zip(range(_BATCH), matches, strict=False)]:
            connection.execute(
                "insert into found select unnest($1), unnest($2), unnest($3)",
                [[m[1] for m in batch], [int(m[2]) for m in batch], [m[0] for m in batch]],
            )
        if packs := self.in_packs():
            connection.execute(
                "insert into found select dump, generation, "
                f"parse_filename(filename, true) from {packs}"
            )
        connection.execute(
            "create or replace temp table held as select *, row_number() over (partition by dump "
            f"order by generation desc, starts_with(stem, {literal(_PACK)}) desc, stem desc) = 1 "
            "as counts from found"
        )

    def files(self, connection: Connection) -> Files:
        """Returns the stems that count; `held` was called."""
        rows = connection.execute(
            "select stem, bool_and(counts) from held group by stem having bool_or(counts) "
            "order by stem"
        ).fetchall()
        whole = [stem for stem, is_whole in rows if is_whole]
        return Files(whole, [stem for stem, is_whole in rows if not is_whole])

    def sweep(self, connection: Connection) -> int:
        """Deletes files that do not count; returns how many. Nobody else may use the archive."""
        self.held(connection)
        counting = {*(files := self.files(connection)).whole, *files.partly}
        gone = 0
        for table in (LAST, *TABLES):  # what does not count first loses what would make it count
            folder = self.path / table
            with os.scandir(folder) as entries:
                names = [entry.name for entry in entries]
            for name in names:
                stem = name.removesuffix(_SUFFIX)
                ours = name.endswith(_TEMPORARY) or (stem != name and _is_stem(stem))
                if ours and stem not in counting:
                    with suppress(FileNotFoundError):
                        os.unlink(folder / name)
                        gone += 1
        return gone


_BATCH = 10_000
"""Rows that are in Python's memory at once."""


def loose(dump: str, generation: int) -> str:
    """Returns the stem of a dump's own files."""
    return f"{dump}.{generation}"


def is_archive(folder: Path) -> bool:
    """Returns whether a folder is an archive."""
    return (folder / MARK).is_file()


def _is_stem(stem: str) -> bool:
    return bool(_LOOSE.fullmatch(stem)) or stem.startswith(_PACK)


def _check_mark(path: Path) -> None:
    try:
        text = (path / MARK).read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError) as error:
        hint = f"`vmcoredd archive add FOLDER --into {path}` makes one"
        raise NotAnArchive(f"{path}: no archive of dumps is there; {hint}") from error
    try:
        mark = json.loads(text)
        known = mark["format"] == _FORMAT
        version = int(mark["schema"])
    except (ValueError, KeyError, TypeError) as error:
        raise ArchiveError(f"{path / MARK}: damaged: not what an archive has there") from error
    if not known:
        raise NotAnArchive(f"{path}: {MARK} is another program's")
    if version != VERSION:
        what = f"the archive has version {version} of the schema, this program knows {VERSION}"
        hint = "a newer vmcoredd reads it" if version > VERSION else "make a new one"
        raise OtherSchema(f"{path}: {what}: {hint}")


def _write_mark(path: Path) -> None:
    text = json.dumps({"format": _FORMAT, "schema": VERSION}) + "\n"
    fd, name = tempfile.mkstemp(dir=path, suffix=_TEMPORARY)
    try:
        with os.fdopen(fd, "w") as file:
            file.write(text)
        os.replace(name, path / MARK)
    except BaseException:
        os.unlink(name)
        raise


def _lock_of(path: Path) -> int:
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path / _LOCK, flags | os.O_CREAT, _FILE_MODE)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise
    return os.open(path / MARK, flags)  # nobody deletes from where nobody can write


def _flush(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
