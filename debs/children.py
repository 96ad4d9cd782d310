"""Child processes that do not outlive this process, however it ends."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from typing import Any


def bound(command: Sequence[str], number: signal.Signals = signal.SIGTERM) -> list[str]:
    """Returns `command` such that the kernel sends it a signal when its parent is gone.

    That covers a parent killed by SIGKILL. The parent is the thread that starts the command. On a
    machine without util-linux's setpriv, `command` is returned as it is.
    """
    setpriv = shutil.which("setpriv")
    name = number.name.removeprefix("SIG")
    return [setpriv, "--pdeathsig", name, "--", *command] if setpriv else [*command]


@contextlib.contextmanager
def running(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a `bound` command; an error in the context kills it and its own children.

    The options are those of subprocess.Popen. The command is not in the terminal's foreground
    group, so it does not read from the terminal, and ^C reaches it through the error.
    """
    with subprocess.Popen(bound(command), process_group=0, **options) as process:
        try:
            yield process
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
