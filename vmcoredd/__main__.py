"""`python -m vmcoredd`: the command, without an installed script."""

import sys

try:
    from vmcoredd.cli.main import main
except ModuleNotFoundError as error:
    from vmcoredd.debs.errors import pip_line

    if (error.name or "vmcoredd").startswith("vmcoredd"):
        raise
    print(
        f"vmcoredd: this Python lacks the module {error.name}\n{pip_line(error.name or '')}",
        file=sys.stderr,
    )
    sys.exit(6)

main()
