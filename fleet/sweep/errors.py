"""The errors of a sweep as a whole. What goes wrong in a cell is its row."""

from __future__ import annotations


class SweepError(Exception):
    """The base of the errors of a sweep; the message says what to do."""


class NotOurs(SweepError):
    """The folder holds something else, which a sweep would overwrite."""


class NotShared(SweepError):
    """A host of the cluster does not see the folder, or has another version of vmcoredd."""


class Stopped(SweepError):
    """The sweep that a cell belongs to has ended."""


class ClusterError(SweepError):
    """The cluster cannot be reached, or has nobody who does the work."""
