"""The entry point of `vmcoredd`: takes care of signals before it imports the command."""

from __future__ import annotations

import sys

from vmcoredd.cli import signals


def main() -> None:
    """Runs the command and exits with one of `exit_codes.Exit`."""
    signals.exit_at_once()
    try:
        from vmcoredd.cli import main as command
    except ModuleNotFoundError as error:
        sys.exit(_missing(error))
    signals.raise_ended()
    command.main()


def _missing(error: ModuleNotFoundError) -> int:
    """Says what to type if a module that every command needs is missing."""
    from vmcoredd.debs.errors import pip_line

    name = error.name or "vmcoredd"
    if name.startswith("vmcoredd"):
        raise error
    print(f"vmcoredd: this Python lacks the module {name}\n{pip_line(name)}", file=sys.stderr)
    return 6
