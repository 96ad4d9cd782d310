"""The command as users run it, but in this process, and vmcores made by it."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cliruns import SMALL_CARD, Result, Run, spawned

from vmcoredd.cli.main import main


@pytest.fixture(autouse=True)
def heard_signals() -> Iterator[None]:
    """Commands hear the signals that end them, even where a shell's `&` or nohup started the tests:
    what ignores a signal hands that down."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    ignored = [number for number in numbers if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture
def vmcoredd(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs the command in this process."""

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["vmcoredd", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "500")  # typer's error messages stay on one line
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capfd.readouterr()
        return Result(int(end.value.code or 0), out, err)

    return run


@pytest.fixture(scope="session")
def small_card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A card with little memory, as a TOML file."""
    path = tmp_path_factory.mktemp("cards") / "small.toml"
    path.write_text(SMALL_CARD)
    return path


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, small_card: Path) -> Path:
    """A vmcore with dumps of a T6 and of a T5."""
    path = tmp_path_factory.mktemp("made") / "vmcore"
    done = spawned("dump", "--card", small_card, "--card", "t520-cr", "-o", path)
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    """A copy of that vmcore, to be damaged."""
    path = tmp_path / "copied"
    shutil.copyfile(made, path)
    return path
