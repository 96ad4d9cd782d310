"""Every command with its arguments and options, from the parsers that the commands have."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stdout, suppress

from pyvfio_user.__main__ import main as pyvfio_user_main
from typer import Context
from typer.cli import get_docs_for_click

from vmcoredd.cli.exit_codes import MEANINGS
from vmcoredd.cli.main import EPILOG, parser

_LISTS = re.compile(r"\*\*Commands\*\*:\n\n(?:\*.*\n)*")
"""Cut short, and the page has a table of contents."""
_EXAMPLES = re.compile(r"(?m)^Examples?: (.*(?:\n.+)*)")


def commands() -> str:
    """Returns a section for each command of `vmcoredd`."""
    command = parser()
    context = Context(command, info_name="vmcoredd")
    text = get_docs_for_click(obj=command, ctx=context, name="vmcoredd", indent=1)
    text = _LISTS.sub("", text.replace(EPILOG, ""))
    return _EXAMPLES.sub(_as_list, text)


def _as_list(examples: re.Match[str]) -> str:
    return "\n**Examples**:\n\n" + "".join(
        f"* {example.strip()}\n" for example in re.split(r";\s+(?=`)", examples[1])
    )


def exit_codes() -> str:
    """Returns the table of the exit codes."""
    rows = (f"| {code.value} | {text} |\n" for code, text in MEANINGS.items())
    return "| exit code | |\n| ---: | --- |\n" + "".join(rows)


def pyvfio_user(*command: str) -> str:
    """Returns the help of `python -m pyvfio_user COMMAND`."""
    printed = io.StringIO()
    with redirect_stdout(printed), suppress(SystemExit):
        pyvfio_user_main([*command, "--help"])
    return f"```text\n{printed.getvalue()}```\n"
