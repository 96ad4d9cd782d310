"""The parts of the benchmark, by name; a module of its own, since every start of the command needs
the names and nothing else."""

from __future__ import annotations

from enum import StrEnum


class Part(StrEnum):
    """What can be measured by itself."""

    DUMP = "dump"
    WINDOWS = "windows"
    ACCESS = "access"
    FILES = "files"
    SCALE = "scale"
    GUEST = "guest"
