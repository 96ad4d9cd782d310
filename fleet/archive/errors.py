"""What can be wrong with an archive, or with what is asked of it."""

from __future__ import annotations


class ArchiveError(Exception):
    """The archive cannot be read or written; the text says why."""


class NotAnArchive(ArchiveError):
    """The folder is not an archive of dumps."""


class OtherSchema(ArchiveError):
    """A newer version of this program made the archive."""


class BadQuery(ArchiveError):
    """The query is not one that the archive answers."""
