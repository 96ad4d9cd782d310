"""Names that users type: in upper or lower case, and with a question where none fits."""

from __future__ import annotations

from pathlib import Path

import pytest
from cliruns import Run, one_line

from vmcoredd.cli.exit_codes import Exit
from vmcoredd.emu.profile import load, profiles

CARD = ("--card", "t62100-cr")
WRONG = [
    (("dump", "--card", "t62100cr", "-o", "OUT"), "--card", "t62100-cr"),
    (("emulate", "--card", "t520-rc", "--socket", "OUT"), "--card", "t520-cr"),
    (("guest", "kdump", "--card", "T580", "-o", "OUT"), "--card", "t580-cr"),
    (("emulate", *CARD, "--fault", "busyonce", "--socket", "OUT"), "--fault", "busy-once"),
    (("dump", *CARD, "--entity", "DEVILOG", "-o", "OUT"), "--entity", "DEV_LOG"),
    (("dump", *CARD, "--compress", "zip", "-o", "OUT"), "--compress", "zlib"),
    (("guest", "kdump", *CARD, "--kernel", "6.13", "-o", "OUT"), "--kernel", "6.12"),
    (("guest", "run", *CARD, "--kernel", "new", "--script", "OUT"), "--kernel", "newest"),
    (("bench", "--part", "file"), "--part", "files"),
    (("show", "VMCORE", "--entity", "dev-log"), "--entity", "DEV_LOG"),
    (("show", "VMCORE", "--entity", "EDC0", "--hexdump", "dbq"), "--hexdump", "DBQ contexts"),
]


@pytest.mark.parametrize(("words", "option", "right"), WRONG, ids=lambda value: str(value)[:40])
def test_a_wrong_name_is_wrong_usage_and_answered_with_the_right_one(
    vmcoredd: Run, made: Path, tmp_path: Path, words: tuple[str, ...], option: str, right: str
) -> None:
    real: dict[str, object] = {"VMCORE": made, "OUT": tmp_path / "out"}
    result = vmcoredd(*(real.get(word, word) for word in words))
    assert result.code == Exit.USAGE
    line = one_line(result)
    assert line.startswith(f"vmcoredd: {option}: no ")
    assert f"did you mean {right}" in line or f" or {right}?" in line or f" {right}," in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("words", "right"), [("diagnos", "diagnose"), ("cache lst", "list")])
def test_a_wrong_command_is_answered_with_the_right_one(
    vmcoredd: Run, words: str, right: str
) -> None:
    result = vmcoredd(*words.split())
    assert result.code == Exit.USAGE
    assert one_line(result).endswith(f"Did you mean '{right}'?")


def test_a_name_like_no_other_is_answered_with_all(vmcoredd: Run, tmp_path: Path) -> None:
    result = vmcoredd("dump", "--card", "xyz", "-o", tmp_path / "out")
    assert all(name in one_line(result) for name in profiles())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ("show", "VMCORE", "--entity", "999"),
            "no entity has the number 999; they have numbers from 1 to 71, `vmcoredd show FILE`",
        ),
        (("show", "VMCORE", "--entity", "xyzzy"), "`vmcoredd show FILE` lists those of a dump"),
        (("dump", *CARD, "--entity", "xyzzy", "-o", "OUT"), "`vmcoredd show FILE` lists"),
        (("slim", "VMCORE", "--without", "xyzzy", "-o", "OUT"), "`vmcoredd show FILE` lists"),
        (("emulate", *CARD, "--fault", "xyzzy", "--socket", "OUT"), "`vmcoredd cards --faults`"),
        (("emulate", *CARD, "--fault", "parity-mc1", "--socket", "OUT"), "`vmcoredd cards --f"),
        (("show", "VMCORE", "--register", "xyzzy"), "`--register 0x19400` takes an address"),
        (("show", "VMCORE", "--block", "xyzzy"), "no block is called xyzzy; there are CIM, "),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_name_like_no_other_of_many_is_answered_with_what_lists_them(
    vmcoredd: Run, made: Path, tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    real: dict[str, object] = {"VMCORE": made, "OUT": tmp_path / "out"}
    result = vmcoredd(*(real.get(word, word) for word in words))
    assert result.code == Exit.USAGE
    assert says in result.err
    assert len(result.err) < 400


@pytest.mark.parametrize("name", sorted(profiles()))
def test_a_card_is_known_by_what_cards_shows(vmcoredd: Run, tmp_path: Path, name: str) -> None:
    """In the columns `name` and `card`; both are upper or lower case of one name, or unique."""
    shown = load(name).card.title
    for given in (name.upper(), shown):
        result = vmcoredd(
            "dump", "--card", given, "--entity", "vpd_data", "-o", tmp_path / "out", "--force"
        )
        assert result.code in (Exit.OK, Exit.INCOMPLETE), result
