"""`--card NAME=PROFILE` and `--wire` of guests: refused by name before anything boots."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from cliruns import Run, one_line

from vmcoredd.cli.exit_codes import Exit
from vmcoredd.cli.named_cards import NamedCard, named_cards


def test_cards_without_a_name_are_called_by_their_place() -> None:
    assert named_cards(["t62100-cr", "t520-cr"]) == [
        NamedCard("a", "t62100-cr"),
        NamedCard("b", "t520-cr"),
    ]


def test_a_name_stands_before_the_profile() -> None:
    assert named_cards(["left=t520-cr", "t62100-cr"]) == [
        NamedCard("left", "t520-cr"),
        NamedCard("b", "t62100-cr"),
    ]


@pytest.mark.parametrize("path", ["./a=b.toml", "/cards/a=b.toml", "cards/a=b.toml", "x.toml"])
def test_a_path_may_hold_an_equals_sign(path: str) -> None:
    assert named_cards([path]) == [NamedCard("a", path)]


def test_a_path_may_be_named() -> None:
    assert named_cards(["x=./a=b.toml"]) == [NamedCard("x", "./a=b.toml")]


@pytest.mark.parametrize("values", [["x=t520-cr", "x=t62100-cr"], ["b=t520-cr", "t520-cr"]])
def test_two_cards_of_one_name_are_refused(values: list[str]) -> None:
    with pytest.raises(typer.BadParameter, match=r"two cards are called [xb]; name each"):
        named_cards(values)


def test_more_cards_than_letters_have_names_too() -> None:
    names = [card.name for card in named_cards(["t520-cr"] * 27)]
    assert len(set(names)) == 27


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--card", "x=t520"), "did you mean t520-cr"),
        (("--card", "t520-cr", "--wire", "0=7"), "no port a.7; t520-cr has 0 to 1"),
        (("--card", "t520-cr", "--card", "t520-cr", "--wire", "0=1"), "of which card? Type a."),
        (("--card", "t520-cr", "--wire", "b.0=1"), "no card is called b"),
        (("--card", "t520-cr", "--wire", "nonsense"), "not a wire"),
    ],
)
def test_a_wrong_card_or_wire_is_told_before_anything_boots(
    vmcoredd: Run, tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    (tmp_path / "script").touch()
    console = tmp_path / "console"
    result = vmcoredd(
        *("guest", "run", *words, "--script", tmp_path / "script", "--console", console)
    )
    assert result.code == Exit.USAGE
    assert says in one_line(result)
    assert not console.exists()
