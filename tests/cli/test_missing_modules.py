"""Commands on a Python without the optional modules: each runs, or says what to type."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from cliruns import PATIENCE, WITHOUT, Result, one_line

from vmcoredd.cli.exit_codes import Exit

CARD, OUTPUT = ("--card", "t62100-cr"), ("-o", "OUTPUT")
ARCHIVED = (("query", "select 1"), ("outliers",), ("report", *OUTPUT), ("compact",))
NEED = {
    "qemu.qmp": [
        ("guest", "kdump", *CARD, *OUTPUT),
        ("guest", "live", *CARD, *OUTPUT),
        ("guest", "run", *CARD, "--script", "VMCORE"),
        ("guest", "shell", *CARD),
        ("guest", "memory", "--monitor", "MONITOR", *OUTPUT),
        ("bench", "--part", "guest"),
        ("bench", "--part", "traffic"),
    ],
    "distributed": [("sweep", "--card", "CARD", "--scheduler", "tcp://127.0.0.1:9", *OUTPUT)],
    "duckdb": [
        ("archive", "add", "VMCORE", "--into", "ARCHIVE"),
        *(("archive", *words, "--in", "ARCHIVE") for words in ARCHIVED),
    ],
    "matplotlib": [("bench", "--part", "files", *OUTPUT)],
    "pyvfio_user": [
        ("dump", "--socket", "ABSENT", *OUTPUT),
        ("emulate", *CARD, "--socket", "S"),
        ("cards",),
    ],
}
"""By module, the commands that need it."""
NEED_NONE = [
    ("notes", "VMCORE"),
    ("show", "VMCORE", "--entity", "DEV_LOG"),
    ("extract", "VMCORE", *OUTPUT),
    ("diff", "VMCORE", "VMCORE"),
    ("cache", "list"),
    ("--version",),
    ("--help",),
]
NEED_NO_EXTRA = [
    *NEED_NONE,
    ("cards",),
    ("dump", "--card", "CARD", *OUTPUT),
    ("sweep", "--card", "CARD", *OUTPUT),
]


@pytest.fixture
def without(tmp_path: Path, made: Path, small_card: Path) -> object:
    """Runs a command in a Python without some modules."""

    def run(modules: str, words: tuple[str, ...]) -> Result:
        real = {"VMCORE": made, "CARD": small_card, "OUTPUT": tmp_path / "out"}
        real |= {
            "ARCHIVE": tmp_path / "archive",
            "ABSENT": tmp_path / "absent",
            "S": tmp_path / "s",
            "MONITOR": tmp_path / "qmp",
        }
        if "MONITOR" in words:
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(real["MONITOR"]))
        arguments = [str(real.get(word, word)) for word in words]
        command = [sys.executable, "-c", WITHOUT, modules, *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, cwd=tmp_path, check=False
        )
        assert "Traceback" not in done.stderr
        assert "No module named" not in done.stderr
        return Result(done.returncode, done.stdout, done.stderr)

    return run


@pytest.mark.parametrize(
    ("module", "words"),
    [(module, words) for module, commands in NEED.items() for words in commands],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else value,
)
def test_a_command_says_what_to_type_where_a_module_is_missing(
    without: object, module: str, words: tuple[str, ...]
) -> None:
    result = without(module, words)  # type: ignore[operator]
    assert result.code == Exit.UNAVAILABLE, result
    assert "pip install" in result.err
    assert one_line(result)


@pytest.mark.parametrize("words", NEED_NO_EXTRA, ids=" ".join)
def test_other_commands_run_without_the_extras(without: object, words: tuple[str, ...]) -> None:
    absent = "qemu,qemu.qmp,matplotlib,numpy,elftools,dask,distributed,duckdb"
    result = without(absent, words)  # type: ignore[operator]
    assert result.code == Exit.OK, result


@pytest.mark.parametrize("words", NEED_NONE, ids=" ".join)
def test_files_are_read_without_pyvfio_user(without: object, words: tuple[str, ...]) -> None:
    assert without("pyvfio_user", words).code == Exit.OK  # type: ignore[operator]


@pytest.mark.parametrize("module", ["typer", "rich", "_cffi_backend"])
def test_a_python_without_a_dependency_says_what_to_type(without: object, module: str) -> None:
    words = ("dump", "--card", "CARD", *OUTPUT)
    result = without(module, words)  # type: ignore[operator]
    assert result.code == Exit.UNAVAILABLE
    assert f"-m pip install {module.removeprefix('_').removesuffix('_backend')}" in result.err
