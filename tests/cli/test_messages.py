"""Errors name the file or option that is wrong, in lines, and without a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from cliruns import Run, one_line

from vmcoredd.cli import exit_codes
from vmcoredd.cli.exit_codes import Exit, about, reported, writing
from vmcoredd.debs import Unavailable
from vmcoredd.vmcore.errors import VmcoreFormatError

PASSWORDS = Path("/etc/passwd")


def test_diff_names_the_file_that_is_no_vmcore(vmcoredd: Run, made: Path) -> None:
    for arguments in ([made, PASSWORDS], [PASSWORDS, made]):
        result = vmcoredd("diff", *arguments)
        assert result.code == Exit.BAD_FILE
        assert one_line(result).startswith(f"vmcoredd: {PASSWORDS}: ")
        assert "b'" not in result.err


@pytest.mark.parametrize("option", ["--index", "--other-index"])
@pytest.mark.parametrize("index", [3, 99, -1])
def test_diff_names_the_option_with_the_wrong_index(
    vmcoredd: Run, made: Path, option: str, index: int
) -> None:
    result = vmcoredd("diff", made, made, option, index)
    assert result.code == Exit.USAGE
    assert f" {option}: " in result.err


def test_an_existing_output_is_named_in_words(vmcoredd: Run, made: Path) -> None:
    result = vmcoredd("dump", "--card", "t520-cr", "-o", made)
    assert result.code == Exit.FAILED
    assert one_line(result) == f"vmcoredd: {made}: File exists"


def test_a_missing_folder_is_named_in_words(vmcoredd: Run, tmp_path: Path) -> None:
    result = vmcoredd("notes", tmp_path / "absent")
    assert one_line(result) == f"vmcoredd: {tmp_path / 'absent'}: No such file or directory"


def test_a_message_keeps_its_own_line_breaks(capfd: pytest.CaptureFixture[str]) -> None:
    def failing() -> None:
        raise Unavailable("a kernel", "the build ended with\n  make: error\x1b[31m", "Try again")

    assert reported(failing) == Exit.UNAVAILABLE
    lines = capfd.readouterr().err.splitlines()
    assert lines == [
        "vmcoredd: a kernel: the build ended with",
        "  make: error\\x1b[31m. Try again",
    ]


def test_the_innermost_subject_is_named() -> None:
    with pytest.raises(VmcoreFormatError) as caught, about("outer"), about("inner"):
        raise VmcoreFormatError("note 3", 44, 12)
    assert exit_codes.message(caught.value).startswith("inner: note 3: ")


def test_an_error_in_writing_is_not_the_inputs() -> None:
    with pytest.raises(OSError, match="28") as caught, about("input"), writing("output"):
        raise OSError(28, "No space left on device")
    assert exit_codes.message(caught.value) == "output: No space left on device"
    with pytest.raises(VmcoreFormatError) as damaged, about("input"), writing("output"):
        raise VmcoreFormatError("note 3", 44, 12)
    assert exit_codes.message(damaged.value).startswith("input: ")
