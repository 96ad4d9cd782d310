"""Whether a server speaks vfio-user: checks of each section of the protocol's specification.

    report = conformance.run(conformance.Target("/run/card.sock", deadline=5.0))
    print(report.exit_code, [result for result in report.results if result.outcome.value == "fail"])

`python -m pyvfio_user check` prints the same. Sources: libvfio-user's docs/vfio-user.rst, and
linux/vfio.h for what it refers to. A check reads config space, and writes its interrupt line and
back; no BAR is read or written inside its bounds. The device is reset, and migrates if it can.

A check is a function marked `@check` in the module of its section. The first line of its docstring
is what the protocol demands; it raises `Fails` with what the server does instead.
"""

from . import access, disconnection, information, interrupts, memory, messages, migration, version
from .check import CHECKS, Check, Outcome, Report, Result, Section, run
from .target import Gone, Target

__all__ = ["CHECKS", "Check", "Gone", "Outcome", "Report", "Result", "Section", "Target", "run"]

_DEFINES = access, disconnection, information, interrupts, memory, messages, migration, version
"""The modules that register checks."""
