"""The commands of the pages do what the pages show.

Of these pages, the blocks marked `console` are run in order, in one folder:

    ```console
    $ vmcoredd notes vmcore
    ...
    ```

In what a page shows, `...` on a line of its own stands for any lines, and within a line for any
text. Blank lines, and blanks at the end of a line, do not count. `vmcoredd emulate` is left running
until the page ends. A block behind `<!-- in a guest -->` is left to the tests with guests. A Python
or TOML block that begins with `# NAME` is written to that file. Other blocks are not run.
"""

from __future__ import annotations

import os
import pty
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from readable import readable

from vmcoredd import debs

pytestmark = pytest.mark.interop

ROOT = Path(__file__).parents[2]
PAGES = (
    "docs/tutorial/first-verdict.md",
    "docs/how-to/add-a-card.md",
    "docs/how-to/write-a-rule.md",
    "README.md",
)
BLOCK = re.compile(r"(?m)^(<!-- in a guest -->\n)?```(console|python|toml)\n((?:.*\n)*?)```")
NAMED = re.compile(r"(?m)\A# (\S+\.(?:py|toml))\n")
"""The first line of a Python or TOML block that is a file of the page's folder."""
SECONDS = 300.0
GUEST_SECONDS = 900.0
GOOD = (0, 7)
"""Exit codes: fine, and `vmcoredd diagnose` found something."""


@dataclass(frozen=True)
class Command:
    """A command of a page, and what the page shows behind it."""

    line: str
    shown: tuple[str, ...]
    in_guest: bool


def commands(text: str, folder: Path, guests: bool) -> Iterator[Command]:
    """Yields a page's commands in order, and writes the files of its blocks before them."""
    for guest, kind, block in BLOCK.findall(text):
        if kind == "console":
            yield from (one for one in _commands(block, bool(guest)) if guests or not guest)
        elif name := NAMED.match(block):
            (folder / name[1]).write_text(block)


def _commands(block: str, in_guest: bool) -> Iterator[Command]:
    joined = block.replace("\\\n", " ")
    for part in re.split(r"(?m)^\$ ", joined)[1:]:
        line, *shown = part.splitlines()
        yield Command(line, tuple(shown), in_guest)


def differences(shown: tuple[str, ...], printed: str) -> str:
    """Returns where a program's output is not as shown; an empty text if it is."""
    lines = [line.rstrip() for line in printed.splitlines() if line.strip()]
    wanted = [line.rstrip() for line in shown if line.strip()]
    place, anywhere = 0, not wanted
    for want in wanted:
        if want == "...":
            anywhere = True
            continue
        pattern = re.compile(".*".join(map(re.escape, want.split("..."))))
        found = (i for i in range(place, len(lines)) if pattern.fullmatch(lines[i]))
        at = next(found, None)
        if at is None or (at > place and not anywhere):
            return f"{want!r} is not there, but {lines[place : place + 3]}"
        place, anywhere = at + 1, False
    return "" if anywhere or place == len(lines) else f"more than shown: {lines[place]!r}"


@pytest.fixture
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PATH with `vmcoredd` and `python3`, of the interpreter that runs the tests."""
    folder = tmp_path_factory.mktemp("bin")
    for name, words in (("vmcoredd", f"{sys.executable} -m vmcoredd"), ("python3", sys.executable)):
        (folder / name).write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        (folder / name).chmod(0o755)
    return folder


def run_page(page: str, folder: Path, programs: Path, guests: bool) -> None:
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "COLUMNS": "100",
    }
    with ExitStack() as servers:
        for command in commands((ROOT / page).read_text(), folder, guests):
            seconds = GUEST_SECONDS if command.in_guest else SECONDS
            if command.line.startswith("vmcoredd emulate"):
                printed = _serve(command, folder, environment, servers)
            else:
                printed = _run(command.line, folder, environment, seconds)
            problem = differences(command.shown, printed)
            assert not problem, f"{page}: $ {command.line}\n{problem}\n\n{printed}"


def _run(line: str, folder: Path, environment: dict[str, str], seconds: float) -> str:
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
    )
    assert done.returncode in GOOD, f"$ {line}\n{done.stdout}"
    return done.stdout


def _serve(command: Command, folder: Path, environment: dict[str, str], servers: ExitStack) -> str:
    """Starts the emulator on a terminal, and returns what it prints until that is what is shown, or
    the emulator has ended."""
    ours, its = pty.openpty()
    words = shlex.split(command.line.removesuffix("&"))
    log = servers.enter_context((folder / "emulate.log").open("w+"))
    options = {"cwd": folder, "env": environment, "stdout": its, "stderr": log}
    server = servers.enter_context(subprocess.Popen(words, **options))
    servers.callback(os.close, ours)
    servers.callback(server.kill)
    os.close(its)
    printed, end = b"", time.monotonic() + SECONDS
    while time.monotonic() < end and (not printed or differences(command.shown, printed.decode())):
        if not readable([ours], 1.0):
            continue
        try:
            printed += os.read(ours, 1 << 16)
        except OSError:  # it has ended
            break
    log.seek(0)
    return printed.decode() + log.read()


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_print_what_it_shows(page, tmp_path, programs):
    run_page(page, tmp_path, programs, guests=False)


@pytest.mark.guest
def test_the_commands_of_the_tutorial_do_so_in_a_guest(prepared, tmp_path, programs):
    run_page(PAGES[0], tmp_path, programs, guests=True)


def test_libvirts_schema_accepts_the_domain_of_a_page(tmp_path, progress):
    suites = ("bookworm",)
    libvirt = debs.binaries(
        ["libvirt0"], suites=suites, name="libvirt", dependencies=False, progress=progress
    )
    lint = debs.binaries(["libxml2-utils"], suites=suites, name="xmllint", progress=progress)
    text = (ROOT / "docs/how-to/your-own-qemu.md").read_text()
    (tmp_path / "domain.xml").write_text(text.split("```xml\n")[1].split("```")[0])
    schema = libvirt / "usr/share/libvirt/schemas/domain.rng"
    command = [*debs.command(lint, "usr/bin/xmllint"), "--noout", "--relaxng", schema]
    done = subprocess.run([*command, tmp_path / "domain.xml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_page_that_shows_another_output_is_found_out():
    assert differences(("one", "...", "t...e"), "one\ntwo\n\nthree \n") == ""
    assert differences((), "anything\n") == ""
    assert differences(("one", "three"), "one\ntwo\nthree\n")
    assert differences(("one",), "one\ntwo\n")
    assert differences(("one", "..."), "two\n")
