"""The benchmark, `vmcoredd bench`: measurements and plots. Each figure is a ratio within one run.

Each part has a module. `suite` runs the parts, `processes` and `machine` place them on CPUs, and
`measure` times them.
"""

if __name__ != "vmcoredd.bench":
    raise ImportError("import vmcoredd.bench, not bench")

from enum import StrEnum


class Part(StrEnum):
    """The parts that can be measured alone. Each start of the command imports only this module."""

    DUMP = "dump"
    WINDOWS = "windows"
    ACCESS = "access"
    FILES = "files"
    READING = "reading"
    SCALE = "scale"
    ENGINE = "engine"
    TRACE = "trace"
    ARCHIVE = "archive"
    GUEST = "guest"
    TRAFFIC = "traffic"
