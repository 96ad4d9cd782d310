"""`vmcoredd replay`: exit codes, what it prints, and traces that are no good."""

from __future__ import annotations

import signal
import zipfile
from pathlib import Path

import pytest
from cliruns import PATIENCE, Run, emulated, ended, one_line, ready

from pyvfio_user import Client
from vmcoredd import driver, emu
from vmcoredd.chip import T5
from vmcoredd.cli.exit_codes import Exit
from vmcoredd.emu.recording import recording
from vmcoredd.emu.server import served


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trace of a probe of a card that no profile here describes."""
    path = tmp_path_factory.mktemp("trace") / "probe.npz"
    card = emu.Card.load("t520-cr", 3, memory={"edc0": 1, "edc1": 1, "mc0": 1})
    with recording(card, path), driver.open_card(card):
        pass
    return path


def test_a_trace_is_equal_on_the_card_that_its_header_describes(vmcoredd: Run, trace: Path) -> None:
    again = vmcoredd("replay", trace)
    assert (again.code, again.err) == (Exit.OK, "")
    assert again.out.splitlines()[-1] == "equal"


def test_json_says_what_was_compared(vmcoredd: Run, trace: Path) -> None:
    found = vmcoredd("replay", trace, "--json").json
    assert found["equal"]
    assert found["accesses"] > 100
    assert found["parts"] == [{"title": "", "accesses": found["accesses"], "differences": 0}]


def test_another_card_differs_and_the_first_difference_is_decoded(
    vmcoredd: Run, trace: Path, tmp_path: Path
) -> None:
    with served(emu.Card.load("t520-cr", 3, card={"revision": 2}), tmp_path / "s"):
        again = vmcoredd("replay", trace, "--against", tmp_path / "s", "--lines", "1")
    assert again.code == Exit.INCOMPLETE
    assert again.out.splitlines()[0].endswith("  read PL_REV")
    assert "Rev=0x1" in again.out.splitlines()[1]
    assert "Rev=0x2" in again.out.splitlines()[2]


def test_a_cut_trace_is_played_as_far_as_it_goes(
    vmcoredd: Run, trace: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.npz"
    cut.write_bytes(trace.read_bytes()[:-400])
    again = vmcoredd("replay", cut)
    assert again.code == Exit.INCOMPLETE
    assert again.out.splitlines()[-1] == "equal"
    assert "the trace is incomplete" in one_line(again)


def test_another_file_is_refused(vmcoredd: Run, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"\x7fELF" + bytes(100))
    refused = vmcoredd("replay", other)
    assert refused.code == Exit.BAD_FILE
    assert f"{other}: it is no trace" in one_line(refused)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (b'"fresh"', b'"frosh"', "no scene frosh"),
        (b'"device_id"', b'"device_xy"', "unknown field"),
        (b'"speed": 10', b'"speed": "x"', "ports.speed"),
    ],
)
def test_a_header_that_describes_no_card_is_refused(
    vmcoredd: Run, trace: Path, tmp_path: Path, old: bytes, new: bytes, why: str
) -> None:
    doctored = tmp_path / "doctored.npz"
    with (
        zipfile.ZipFile(trace) as source,
        zipfile.ZipFile(doctored, "w", zipfile.ZIP_DEFLATED) as to,
    ):
        for name in source.namelist():
            content = source.read(name)
            if name == "header.json":
                content = content.replace(b'"crashed"', b'"fresh"').replace(old, new)
            to.writestr(name, content)
    refused = vmcoredd("replay", doctored)
    assert refused.code in (Exit.USAGE, Exit.FAILED)
    assert why in refused.err


def test_a_missing_server_is_an_error(vmcoredd: Run, trace: Path, tmp_path: Path) -> None:
    refused = vmcoredd("replay", trace, "--against", tmp_path / "nobody.sock")
    assert refused.code == Exit.NO_DEVICE
    assert "nobody.sock" in one_line(refused)


# The adapter's side


def test_a_dump_of_a_replayed_adapter_is_the_recorded_one(
    vmcoredd: Run, tmp_path: Path, small_card: Path
) -> None:
    dumps = []
    trace, socket = tmp_path / "dump.npz", tmp_path / "card.sock"
    for options in (["--card", small_card, "--trace", trace], ["--replay", trace]):
        with emulated(*options, "--socket", socket, "--no-control") as process:
            ready(process)
            output = tmp_path / f"{len(dumps)}.vmcore"
            assert vmcoredd("dump", "--socket", socket, "-o", output).code == Exit.OK
            if "--trace" in options:
                assert ended(process, signal.SIGTERM).code == Exit.OK
            out, err = process.communicate(timeout=PATIENCE)
            assert process.returncode == Exit.OK, out + err
            dumps.append(output.read_bytes())
    assert dumps[0] == dumps[1]
    assert out.splitlines()[-1] == "equal"


def test_sigterm_ends_a_replayed_adapter_whose_driver_never_came(
    trace: Path, tmp_path: Path
) -> None:
    with emulated("--replay", trace, "--socket", tmp_path / "s") as process:
        ready(process)
        gone = ended(process, signal.SIGTERM)
    assert gone.code == Exit.INCOMPLETE
    assert "the end of the driver" in gone.out


def test_a_driver_that_does_something_else_is_told(
    vmcoredd: Run, trace: Path, tmp_path: Path
) -> None:
    socket = tmp_path / "card.sock"
    with emulated("--replay", trace, "--socket", socket) as process:
        ready(process)
        with Client(socket) as client:
            client.region_read(0, int(T5.r.SGE_CONTROL), 4)
        process.wait(PATIENCE)
        out, _ = process.communicate()
    assert process.returncode == Exit.INCOMPLETE
    assert "read SGE_CONTROL" in out


@pytest.mark.parametrize("options", [[], ["--card", "t520-cr", "--replay", "trace.npz"]])
def test_emulate_needs_a_card_or_a_trace(vmcoredd: Run, tmp_path: Path, options: list[str]) -> None:
    refused = vmcoredd("emulate", *options, "--socket", tmp_path / "s")
    assert refused.code == Exit.USAGE
    assert "--replay" in refused.err
