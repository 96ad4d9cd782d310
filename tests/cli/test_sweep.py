"""`vmcoredd sweep`: what its options mean, what it prints, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
import typer
from cliruns import PATIENCE, Run, command, one_line
from readable import readable

from vmcoredd import emu
from vmcoredd.cli import sweep_options
from vmcoredd.cli.exit_codes import Exit


def test_all_and_patterns_are_names() -> None:
    assert sweep_options.cards(["all"]) == emu.profiles()
    assert sweep_options.cards(["t6*", "t520-cr"])[-1] == "t520-cr"
    parity = sweep_options.faults(["parity-*"])
    assert len(parity) > 5
    assert all(name.startswith("parity-") for name in parity)


def test_all_faults_are_the_healthy_card_and_the_example_of_each() -> None:
    found = sweep_options.faults(["all"])
    assert found == ["healthy", *(fault.example for fault in emu.faults().values())]


def test_lists_have_commas_and_each_name_once() -> None:
    assert sweep_options.cards(["t520-cr,t62100-cr", "t520-cr"]) == ["t520-cr", "t62100-cr"]
    assert sweep_options.faults(["none,PARITY-CIM", "healthy"]) == ["healthy", "parity-cim"]
    kernels = sweep_options.kernels(["none,6.1", "./linux"], script=False)
    assert kernels == ["none", "6.1", "./linux"]


def test_a_comma_in_a_fault_is_not_between_two() -> None:
    text = "flash-busy@read:SF_OP:2,p=0.1,for=2s,parity-cim,memory-bit-flip=EDC0+0x1000:3"
    first, *others = sweep_options.faults([text])
    assert first == "flash-busy@read:SF_OP:2,p=0.1,for=2s"
    assert others == ["parity-cim", "memory-bit-flip=EDC0+0x1000:3"]


def test_a_path_with_a_comma_is_one_card(tmp_path: Path) -> None:
    path = tmp_path / "a,b.toml"
    path.touch()
    assert sweep_options.cards([str(path)]) == [str(path)]


def test_seeds_are_numbers_and_ranges() -> None:
    assert sweep_options.seeds(["0..3", "2,7,9..9"]) == [0, 1, 2, 3, 7, 9]


@pytest.mark.parametrize("text", ["", "x", "3..1", "-1", "1..", "0..999999999", "1.5"])
def test_other_seeds_are_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        sweep_options.seeds([text])


def test_a_shard_is_a_number_of_so_many() -> None:
    assert sweep_options.shard("3/16") == (3, 16)
    assert sweep_options.shard(None) == (1, 1)
    for text in ("0/4", "5/4", "1", "a/b", "1/0"):
        with pytest.raises(typer.BadParameter, match="is no shard"):
            sweep_options.shard(text)


WRONG = {
    "a card that there is not": (("--card", "t62100"), "did you mean t62100-big or t62100-cr"),
    "a fault that there is not": (("--fault", "parity-cmi"), "did you mean parity-cim"),
    "a kernel that there is not": (("--kernel", "6.13"), "There are none, 6.1, 6.12"),
    "a pattern of nothing": (("--fault", "xyz-*"), "no fault matches xyz-*"),
    "an argument of a fault": (("--fault", "firmware-retval=EBUS"), "did you mean"),
    "a kernel without dumps": (("--kernel", "debian:6.12"), "cannot hold a device dump"),
    "a script without a guest": (("--script", "SCRIPT"), "add --kernel 6.1"),
    "a wire without a script": (("--wire", "0=1"), "it needs --script"),
    "too many cells": (("--fault", "all", "--seed", "0..99999"), "sweep a part of them"),
    "two outputs": (("--ktap", "--json"), "give one of the two, not both"),
    "a shard of nothing": (("--shard", "17/16"), "3/16 is the third of sixteen"),
}


@pytest.mark.parametrize(("words", "said"), WRONG.values(), ids=WRONG)
def test_wrong_usage_says_what_to_type_and_makes_no_folder(
    vmcoredd: Run, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    (tmp_path / "test.sh").touch()
    words = tuple(str(tmp_path / "test.sh") if word == "SCRIPT" else word for word in words)
    result = vmcoredd("sweep", "-o", tmp_path / "rows", *words)
    code = Exit.NO_VERDICT if "--ktap" in words else Exit.USAGE
    assert result.code in (Exit.USAGE, code)
    assert said in one_line(result)
    assert not (tmp_path / "rows").exists()


def swept(vmcoredd: Run, card: Path, folder: Path, *words: object):  # type: ignore[no-untyped-def]
    return vmcoredd("sweep", "--card", card, "-o", folder, *words)


def test_a_sweep_prints_what_failed_a_summary_and_where_the_page_is(
    vmcoredd: Run, small_card: Path, tmp_path: Path
) -> None:
    faults = ("--fault", "healthy,device-gone,parity-cim,parity-mc1")
    result = swept(vmcoredd, small_card, tmp_path / "rows", *faults, "--jobs", 1)
    assert result.code == Exit.FOUND
    first, *rest = result.out.splitlines()
    assert first.startswith("fail  small-")
    assert "no device dump: " in first
    (summary,) = [line.split() for line in rest if line.strip().startswith("none")]
    assert summary[2:] == ["2", "1", "0", "1", "1"]
    assert rest[-1] == f"{tmp_path / 'rows/index.html'}: 4 cells"
    assert "4 cells to try; 1 at once" in result.err

    again = swept(vmcoredd, small_card, tmp_path / "rows", *faults)
    assert (again.code, again.out) == (result.code, result.out)
    assert "to try" not in again.err

    more = swept(
        vmcoredd, small_card, tmp_path / "rows", "--fault", "healthy,parity-mc1", "--again"
    )
    assert more.code == Exit.OK
    assert "2 cells to try" in more.err
    assert "4 cells" in (tmp_path / "rows/index.html").read_text()


def test_json_has_the_rows_of_a_shard(vmcoredd: Run, small_card: Path, tmp_path: Path) -> None:
    words = ("--fault", "parity-mc1,healthy", "--shard", "1/2", "--json", "--keep-vmcore")
    record = swept(vmcoredd, small_card, tmp_path / "rows", *words).json
    assert (record["cells"], record["tried"]) == (1, 1)
    assert record["results"] == {"pass": 0, "fail": 0, "error": 0, "skip": 1}
    (row,) = record["rows"]
    assert json.loads((tmp_path / "rows" / f"{row['id']}.json").read_text()) == row


def test_ktap_and_junit_have_every_cell(vmcoredd: Run, small_card: Path, tmp_path: Path) -> None:
    from junitparser import JUnitXml

    words = ("--fault", "parity-mc1,device-gone", "--ktap", "--junit", tmp_path / "out.xml")
    result = swept(vmcoredd, small_card, tmp_path / "rows", *words)
    assert result.code == Exit.FAILED
    version, plan, skipped, failed = result.out.splitlines()
    assert (version, plan) == ("KTAP version 1", "1..2")
    assert skipped.startswith("ok 1 small-")
    assert " # SKIP no such fault" in skipped
    assert failed.startswith("not ok 2 small-")
    assert " # no device dump: " in failed
    assert JUnitXml.fromfile(str(tmp_path / "out.xml")).tests == 2


def test_a_file_for_junit_that_cannot_be_written_is_told_before_the_sweep(
    vmcoredd: Run, tmp_path: Path
) -> None:
    words = ("--junit", tmp_path / "absent" / "out.xml")
    result = vmcoredd("sweep", "-o", tmp_path / "rows", *words)
    assert result.code == Exit.FAILED
    assert "No such file" in one_line(result)
    assert not (tmp_path / "rows").exists()


def test_a_folder_with_a_page_of_somebody_elses_is_refused(vmcoredd: Run, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<html>")
    result = vmcoredd("sweep", "-o", tmp_path)
    assert result.code == Exit.FAILED
    assert "is not a sweep's page" in one_line(result)


def test_a_card_that_cannot_be_read_is_wrong_usage(vmcoredd: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("[card")
    result = swept(vmcoredd, tmp_path / "bad.toml", tmp_path / "rows")
    assert result.code == Exit.USAGE
    assert "bad.toml" in one_line(result)


def test_ctrl_c_ends_a_sweep_which_goes_on_later(
    vmcoredd: Run, small_card: Path, tmp_path: Path
) -> None:
    words = ("sweep", "--card", small_card, "--seed", "0..29", "-o", tmp_path / "rows")
    process = subprocess.Popen(command(*words), stderr=subprocess.PIPE, text=True)
    assert process.stderr
    while "to try" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == Exit.INTERRUPTED
    assert "left; the same command goes on" in err
    assert not list((tmp_path / "rows").glob(".*"))


def test_a_sweep_that_is_killed_takes_its_processes_along(small_card: Path, tmp_path: Path) -> None:
    words = ("sweep", "--card", small_card, "--seed", "0..29", "--jobs", 2, "-o", tmp_path / "rows")
    process = subprocess.Popen(command(*words), stderr=subprocess.DEVNULL)
    children: list[str] = []
    while len(children) < 2:
        tasks = [*Path(f"/proc/{process.pid}/task").glob("*/children")]
        children = [pid for path in tasks for pid in path.read_text().split()]
    watched = [os.pidfd_open(int(pid)) for pid in children]
    process.kill()
    process.wait()
    for one in watched:
        assert readable([one], PATIENCE)
        os.close(one)


def test_a_kernel_that_is_not_built_is_skipped_by_git_bisect(
    vmcoredd: Run, small_card: Path, tmp_path: Path
) -> None:
    (tmp_path / "linux").mkdir()
    (tmp_path / "linux/Kbuild").touch()
    words = ("--kernel", tmp_path / "linux")
    result = swept(vmcoredd, small_card, tmp_path / "rows", *words, "--ktap")
    assert result.code == Exit.UNTRIED
    assert "is not built" in one_line(result)
    assert swept(vmcoredd, small_card, tmp_path / "rows", *words).code == Exit.FAILED
