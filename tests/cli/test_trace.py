"""`vmcoredd trace`: what was recorded, as text, JSON Lines and for Perfetto."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cliruns import Run, one_line

from vmcoredd import cudbg, driver, emu
from vmcoredd.cli.exit_codes import Exit
from vmcoredd.emu.control import beside
from vmcoredd.emu.recording import recording
from vmcoredd.emu.server import served


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trace of a probe."""
    path = tmp_path_factory.mktemp("trace") / "probe.npz"
    card = emu.Card.load("t520-cr", 3)
    with recording(card, path), driver.open_card(card):
        pass
    return path


def test_text_begins_with_the_card_and_whether_the_trace_is_complete(
    vmcoredd: Run, trace: Path
) -> None:
    shown = vmcoredd("trace", trace)
    first, *lines = shown.out.splitlines()
    assert first.startswith("t520-cr, seed 3, scene crashed, ")
    assert first.endswith("; complete")
    assert any("PL_WHOAMI" in line for line in lines)
    assert (shown.code, shown.err) == (Exit.OK, "")


def test_options_choose_events(vmcoredd: Run, trace: Path) -> None:
    lines = vmcoredd("trace", trace, "--register", "sf_*", "--kind", "write").out.splitlines()[1:]
    assert lines
    assert all(" write " in line and "SF_" in line for line in lines)
    assert vmcoredd("trace", trace, "--block", "MPS").out.count("\n") == 1


def test_an_entity_is_what_its_collection_accesses(vmcoredd: Run, tmp_path: Path) -> None:
    path, card = tmp_path / "dump.npz", emu.Card.load("t520-cr", 3)
    with recording(card, path), driver.open_card(card) as adapter:
        buffer = memoryview(bytearray(cudbg.DUMP_SIZE))
        adapter.collect(buffer, compress="none", entities=["CIM_QCFG", "RSS", "TP_INDIRECT"])
    shown = vmcoredd("trace", path, "--entity", "CIM_QCFG", "--format", "jsonl")
    events = [json.loads(line) for line in shown.out.splitlines()[1:-1]]
    assert {event["block"] for event in events} == {"CIM"}
    assert {event["name"] for event in events} == {
        *("CIM_QUEUE_CONFIG_REF", "CIM_QUEUE_CONFIG_CTRL"),
        *("CIM_HOST_ACC_CTRL", "CIM_HOST_ACC_DATA"),
    }


def test_a_kind_that_does_not_exist_is_refused(vmcoredd: Run, trace: Path) -> None:
    refused = vmcoredd("trace", trace, "--kind", "wirte")
    assert refused.code == Exit.USAGE
    assert "write" in one_line(refused)


def test_json_lines_are_objects_with_a_header_and_an_end(vmcoredd: Run, trace: Path) -> None:
    lines = [
        json.loads(line) for line in vmcoredd("trace", trace, "--format", "jsonl").out.splitlines()
    ]
    assert [lines[0]["kind"], lines[-1]["kind"]] == ["header", "end"]
    assert lines[-1]["complete"]
    assert lines[-1]["events"] <= len(lines) - 2


def test_output_goes_to_a_new_file(vmcoredd: Run, trace: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.pftrace"
    assert vmcoredd("trace", trace, "--format", "perfetto", "-o", out).code == Exit.OK
    assert out.stat().st_size > 1000
    refused = vmcoredd("trace", trace, "-o", out)
    assert refused.code == Exit.FAILED
    assert str(out) in one_line(refused)
    assert vmcoredd("trace", trace, "-o", out, "--force").code == Exit.OK
    assert out.read_text() == vmcoredd("trace", trace).out


def test_perfettos_format_needs_a_file(vmcoredd: Run, trace: Path) -> None:
    refused = vmcoredd("trace", trace, "--format", "perfetto")
    assert refused.code == Exit.USAGE
    assert "--output" in one_line(refused)


def test_an_incomplete_trace_is_shown_and_said_to_be_so(
    vmcoredd: Run, trace: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.npz"
    cut.write_bytes(trace.read_bytes()[:-400])
    shown = vmcoredd("trace", cut)
    assert shown.code == Exit.INCOMPLETE
    assert "INCOMPLETE" in shown.out.splitlines()[0]
    assert "PL_WHOAMI" in shown.out
    assert "the trace is incomplete" in one_line(shown)


def test_another_file_is_refused(vmcoredd: Run, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"\x7fELF" + bytes(100))
    refused = vmcoredd("trace", other)
    assert refused.code == Exit.BAD_FILE
    assert f"{other}: it is no trace" in one_line(refused)


def test_a_trace_replaces_no_file(vmcoredd: Run, tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("precious")
    refused = vmcoredd("emulate", "--card", "t520-cr", "--socket", tmp_path / "s", "--trace", path)
    assert refused.code == Exit.FAILED
    assert "exists" in one_line(refused)
    assert path.read_text() == "precious"


# A card that is served


@pytest.fixture
def served_card(tmp_path: Path) -> Iterator[Path]:
    """The socket of a card; a driver probes it again and again."""
    path, ending = tmp_path / "t5.sock", threading.Event()

    def work() -> None:
        while not ending.is_set():
            with driver.open(path):
                ending.wait(0.05)

    with served(emu.Card.load("t520-cr"), path, control=beside(path)):
        thread = threading.Thread(target=work)
        thread.start()
        yield path
        ending.set()
        thread.join()


def test_a_card_that_is_served_is_watched(vmcoredd: Run, served_card: Path) -> None:
    watched = ("trace", served_card, "--seconds", 0.5, "--register", "PL_*")
    text = vmcoredd(*watched)
    assert text.code == Exit.OK
    assert "PL_WHOAMI" in text.out
    lines = [json.loads(line) for line in vmcoredd(*watched, "--format", "jsonl").out.splitlines()]
    assert lines
    assert all(line["name"].startswith("PL_") for line in lines)


def test_a_trace_is_started_and_stopped(vmcoredd: Run, served_card: Path, tmp_path: Path) -> None:
    file = tmp_path / "new.npz"
    started = vmcoredd("control", served_card, "trace", "start", file, "--json").json
    assert started["file"] == str(file)
    refused = vmcoredd("trace", served_card)
    assert refused.code == Exit.FAILED
    assert "traced already" in one_line(refused)
    stopped = vmcoredd("control", served_card, "trace", "stop", "--json").json
    assert stopped["lost"] == 0
    assert f"{stopped['events']:,} event" in vmcoredd("trace", file).out.splitlines()[0]
