"""Traces of what a guest's driver does to a fresh card."""

from __future__ import annotations

import signal
from pathlib import Path

from cliruns import emulated, ended, ready, spawned
from stock import BOOT

from vmcoredd.cli.exit_codes import Exit


def traced(kernel: str | Path, script: str, folder: Path, *more: str) -> Path:
    """Runs a script in a guest whose `--kernel` drives a T6; returns the trace, in a new folder.

    `more` are further words of `vmcoredd guest run`.
    """
    folder.mkdir()
    socket, trace, run = (folder / name for name in ("t6.sock", "trace.npz", "run.sh"))
    run.write_text(f"#!/bin/sh\n{script}\n")
    card = ("--card", "t62100-cr", "--scene", "fresh", "--wire", "0=1")
    with emulated(*card, "--socket", socket, "--trace", trace) as server:
        ready(server)
        words = ("guest", "run", "--kernel", kernel, "--socket", socket, "--script", run)
        done = spawned(*words, "--console", folder / "console", *more, timeout=BOOT)
        assert done.returncode == Exit.OK, done.stderr
        assert ended(server, signal.SIGTERM).code == Exit.OK
    return trace
