"""The errors of traces, all derived from `TraceError`."""

from __future__ import annotations


class TraceError(Exception):
    """The base of all errors in this room."""


class TraceFormatError(TraceError):
    """A file is not a trace, or not one that can be read; the message says where it breaks."""


class TraceExists(TraceError):
    """A file is in the way of a new trace."""
