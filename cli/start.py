"""The entry point of `vmcoredd`: takes care of signals before it imports the command.

What is imported is never garbage. The collector does not look through it: while it is imported,
while the command runs, and when the process ends, which takes a third less time so.
"""

from __future__ import annotations

import gc
import sys
import traceback

from vmcoredd.cli import signals

UNAVAILABLE, NO_VERDICT = 6, 128
"""`exit_codes.Exit` has them too; but its module imports what may be missing."""


def main() -> None:
    """Runs the command and exits with one of `exit_codes.Exit`."""
    signals.exit_at_once()
    # `git bisect run` takes most exit codes for a bad kernel, also Python's own after a traceback
    of_errors = NO_VERDICT if "--ktap" in sys.argv else None
    try:
        _run(of_errors)
    except Exception:
        if of_errors is None:
            raise
        traceback.print_exc()
        sys.exit(of_errors)
    finally:
        gc.freeze()


def _run(of_errors: int | None) -> None:
    gc.disable()
    try:
        from vmcoredd.cli import main as command
    except ModuleNotFoundError as error:
        _say_missing(error)
        sys.exit(of_errors or UNAVAILABLE)
    gc.freeze()
    gc.enable()
    signals.raise_ended()
    command.main(of_errors)


def _say_missing(error: ModuleNotFoundError) -> None:
    """Says what to type if a module that every command needs is missing."""
    from vmcoredd.debs.errors import pip_line

    name = error.name or "vmcoredd"
    if name.startswith("vmcoredd"):
        raise error
    print(f"vmcoredd: this Python lacks the module {name}\n{pip_line(name)}", file=sys.stderr)
