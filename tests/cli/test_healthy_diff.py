"""`vmcoredd diff --with-healthy`."""

from __future__ import annotations

from pathlib import Path

import pytest
from cliruns import Run, spawned

from vmcoredd.cli.exit_codes import Exit


@pytest.fixture(scope="module")
def sick(tmp_path_factory: pytest.TempPathFactory, small_card: Path) -> Path:
    """A vmcore of a T6 whose EDC0 has an uncorrectable error, which lacks EDC1."""
    path = tmp_path_factory.mktemp("sick") / "vmcore"
    faults = ("--fault", "ecc-uncorrectable-edc0", "--fault", "no-edc1")
    done = spawned("dump", "--card", small_card, *faults, "-o", path)
    assert done.returncode == Exit.INCOMPLETE
    return path


def test_what_findings_speak_of_comes_first(vmcoredd: Run, sick: Path) -> None:
    result = vmcoredd("diff", "--with-healthy", sick)
    assert result.code == Exit.INCOMPLETE
    lines = result.out.splitlines()
    assert lines[2].startswith("beside 11 healthy cards of its kind: emulated, a T62100-CR")
    titles = [line for line in lines if line and not line.startswith(" ")]
    assert titles.index("missing entities") < titles.index("registers of which findings speak")
    cause = next(line for line in lines if "EDC_H_INT_CAUSE" in line)
    assert cause.endswith("0x00000004 (healthy 0x00000000), ECC_UE_INT_CAUSE 0x1 (0x0)")
    assert lines[lines.index(cause) - 1].startswith("  fatal edc-ecc-uncorrectable: ")
    assert "1 entity is missing" in lines[-1]


def test_programs_get_all_of_it(vmcoredd: Run, sick: Path) -> None:
    record = vmcoredd("diff", "--with-healthy", sick, "--json").json
    assert record["healthy"] == {"card": "T62100-CR", "cards": 11}
    assert [one["name"] for one in record["missing"]] == ["EDC1"]
    found = {one["register"]: one for one in record["registers"]}
    assert found["EDC_H_INT_CAUSE"]["findings"] == ["edc-ecc-uncorrectable"]
    assert found["EDC_H_INT_CAUSE"]["instance"] == "EDC0"
    assert found["MA_TARGET_MEM_ENABLE"]["fields"] == [
        {"field": "EDRAM1_ENABLE", "value": 0, "healthy": 1}
    ]
    assert record["damaged"] == []


def test_of_a_healthy_card_nothing_differs(vmcoredd: Run, made: Path) -> None:
    result = vmcoredd("diff", "--with-healthy", made, "--index", "1")
    assert (result.code, result.out.splitlines()[-1]) == (
        Exit.OK,
        "nothing differs in meaning from a healthy card",
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("{sick}",), "B: name a second file, or use --with-healthy"),
        (("--with-healthy", "{sick}", "{sick}"), "B: there is none with --with-healthy"),
        (("--with-healthy", "{sick}", "--other-index", "0"), "--other-index: it needs B"),
        (("--with-healthy", "--card-only", "{sick}"), "--card-only: a healthy card is compared"),
        (("--with-healthy", "{text}"), "{text}: "),
    ],
)
def test_what_cannot_be_compared_is_said(
    vmcoredd: Run, sick: Path, tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    text = tmp_path / "text"
    text.write_text("not a vmcore")
    names = {"sick": sick, "text": text}
    result = vmcoredd("diff", *(word.format(**names) for word in words))
    assert result.code in (Exit.USAGE, Exit.BAD_FILE)
    assert says.format(**names) in result.err
