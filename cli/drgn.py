"""A plugin for drgn: `%vmcoredd list|show|diagnose` on the core file that drgn has open.

drgn finds it by the entry point `drgn.plugins` and imports it at its own start, so it imports
nothing of ours: each command runs `vmcoredd` as a process of its own.
"""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from drgn import Program
from drgn.commands import (
    CommandArgumentError,
    CommandError,
    custom_command,
    parse_shell_command,
)

_COMMANDS = {"list": "notes", "show": "show", "diagnose": "diagnose"}
"""What the user says, and the sub-command of `vmcoredd` that does it."""
_HELP = """
    **list** lists the device dumps and the other notes of the core file, **show** the contents of a
    device dump, and **diagnose** says what is wrong with the card. The options are those of
    ``vmcoredd notes``, ``show`` and ``diagnose``, such as ``--index 0`` or ``--entity DEV_LOG``.

    The value is the exit code of ``vmcoredd``: 7, for example, if **diagnose** finds a fault.
"""


@custom_command(
    name="vmcoredd",
    description="device dumps of network adapters (cxgb4) in this core file",
    usage="**vmcoredd** **list**\\|\\ **show**\\|\\ **diagnose** [*options*]",
    long_description=_HELP,
    parse=parse_shell_command,
)
def _cmd_vmcoredd(prog: Program, name: str, args: Sequence[str], **kwargs: Any) -> int:
    if not args or args[0] not in _COMMANDS:
        words = ", ".join(_COMMANDS)
        raise CommandArgumentError(f"{name}: give one of {words}; `%help {name}` explains them")
    path = prog.core_dump_path
    if path is None:
        raise CommandError(f"{name}: this program was not made from a core file")
    return _run([_COMMANDS[args[0]], path, *args[1:]])


def _run(arguments: list[str]) -> int:
    """Runs `vmcoredd`, whose output goes where drgn's goes: a terminal, a pipe, a file."""
    words = [sys.executable, "-m", "vmcoredd", *arguments]
    sys.stdout.flush()
    try:
        target = sys.stdout.fileno()
    except (AttributeError, io.UnsupportedOperation):  # a notebook
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True)
        sys.stdout.write(done.stdout)
        return done.returncode
    return subprocess.run(words, stdout=target).returncode
