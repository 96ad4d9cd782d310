"""Parsers as they are changed convert as those of typer do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.main import get_command

from vmcoredd.cli.parsers import adapt

HERE = str(Path(__file__))
GIVEN = {
    "nothing": [],
    "texts": ["--text", "a", "--texts", "b", "--texts", "c"],
    "paths": ["--path", "absent", "--paths", HERE, "--paths", "-"],
    "numbers": ["--number", "-5", "--numbers", "0.5", "--numbers", "1e3", "--few", "3"],
    "a flag": ["--flag"],
    "a file": ["--file", HERE],
    "arguments": ["one", "two"],
}
REFUSED = {
    "no number": ["--number", "x"],
    "one of several is no number": ["--numbers", "1", "--numbers", "x"],
    "above the range": ["--few", "9"],
    "a file that is not there": ["--file", "absent"],
    "a folder": ["--file", str(Path(HERE).parent)],
}


def parser() -> Any:
    app = typer.Typer()

    @app.command()
    def everything(
        words: Annotated[list[Path] | None, typer.Argument()] = None,
        text: str = "default",
        texts: Annotated[list[str] | None, typer.Option()] = None,
        path: Path | None = None,
        paths: Annotated[list[Path] | None, typer.Option()] = None,
        number: int = 1,
        numbers: Annotated[list[float] | None, typer.Option()] = None,
        few: Annotated[int, typer.Option(max=5)] = 2,
        flag: bool = False,
        file: Annotated[Path | None, typer.Option(exists=True, dir_okay=False)] = None,
    ) -> Any:
        return words, text, texts, path, paths, number, numbers, few, flag, file

    return get_command(app)


def adapted() -> Any:
    made = parser()
    adapt(made)
    return made


@pytest.mark.parametrize("words", GIVEN.values(), ids=GIVEN)
def test_values_are_those_that_typer_makes(words: list[str]) -> None:
    ours, typers = (made.main(words, standalone_mode=False) for made in (adapted(), parser()))
    assert ours == typers
    assert [type(value) for value in ours] == [type(value) for value in typers]


@pytest.mark.parametrize("words", REFUSED.values(), ids=REFUSED)
def test_values_are_refused_as_typer_does(words: list[str]) -> None:
    messages = []
    for made in (adapted(), parser()):
        with pytest.raises(typer.BadParameter) as refused:
            made.main(words, standalone_mode=False)
        messages.append(str(refused.value))
    assert messages[0] == messages[1]
