"""`vmcoredd diff` of two traces: where two drivers part."""

from __future__ import annotations

from pathlib import Path

import pytest
from cliruns import Run, one_line

from vmcoredd import cudbg, driver, emu
from vmcoredd.cli.exit_codes import Exit
from vmcoredd.emu.recording import recording


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of traces: `whole` and `again` of one dump; `less`, without an entity; `t5`."""
    folder = tmp_path_factory.mktemp("traces")
    three = ["CIM_QCFG", "RSS", "TP_INDIRECT"]
    made = {"whole": three, "again": three, "less": [three[0], three[2]], "t5": three}
    for name, entities in made.items():
        card = emu.Card.load("t520-cr" if name == "t5" else "t62100-cr")
        with recording(card, folder / name), driver.open_card(card) as adapter:
            buffer = memoryview(bytearray(cudbg.DUMP_SIZE))
            adapter.collect(buffer, compress="none", entities=entities)
    return folder


def test_equal_traces_say_so(vmcoredd: Run, traces: Path) -> None:
    shown = vmcoredd("diff", traces / "whole", traces / "again")
    assert (shown.code, shown.err) == (Exit.OK, "")
    steps, same, left_out = shown.out.splitlines()
    assert steps.startswith(f"A: {traces / 'whole'}: ")
    assert same == "the steps are the same"
    assert left_out.startswith("not compared (accesses of A, of B): configuration space (")


def test_the_first_difference_is_shown_between_what_is_common(vmcoredd: Run, traces: Path) -> None:
    shown = vmcoredd("diff", traces / "whole", traces / "less", "--lines", 4)
    assert shown.code == Exit.INCOMPLETE
    lines = shown.out.splitlines()
    at = next(n for n, line in enumerate(lines) if line.endswith("are the same; then they part:"))
    assert lines[at + 1].startswith("    ")
    only_a = [line for line in lines if line.startswith("  A ")]
    assert any("TP_RSS_LKP_TABLE" in line for line in only_a)
    assert "  B nothing here" in lines
    swapped = vmcoredd("diff", traces / "less", traces / "whole").out
    assert "  A nothing here" in swapped


def test_traces_are_not_told_apart_by_host_and_card(vmcoredd: Run, traces: Path) -> None:
    refused = vmcoredd("diff", "--card-only", traces / "whole", traces / "again")
    assert refused.code == Exit.USAGE
    assert "--card-only: it is for dumps, and these are traces" in refused.err


def test_json_has_the_places_with_their_lines(vmcoredd: Run, traces: Path) -> None:
    record = vmcoredd("diff", traces / "whole", traces / "less", "--lines", 2, "--json").json
    (place,) = record["places"]
    assert place["a"]["first_step"] == place["b"]["first_step"] == record["common_steps"]
    assert record["a_steps"] - record["b_steps"] == place["a"]["steps"]
    assert place["b"] == {"first_step": record["common_steps"], "steps": 0, "lines": []}
    assert 0 < len(place["a"]["lines"]) <= 2
    equal = vmcoredd("diff", traces / "whole", traces / "again", "--json").json
    assert (equal["places"], equal["answers"], equal["differing_answers"]) == ([], [], 0)


def test_a_trace_and_something_else_cannot_be_compared(
    vmcoredd: Run, traces: Path, made: Path
) -> None:
    for words, name in (((traces / "whole", made), "B"), ((made, traces / "whole"), "A")):
        refused = vmcoredd("diff", *words)
        assert refused.code == Exit.USAGE
        assert one_line(refused).startswith(f"vmcoredd: {name}: no trace, but the other is one")


def test_traces_of_two_chips_cannot_be_compared(vmcoredd: Run, traces: Path) -> None:
    refused = vmcoredd("diff", traces / "whole", traces / "t5")
    assert refused.code == Exit.USAGE
    assert "A is of a T6, this of a T5" in one_line(refused)


def test_a_trace_that_is_cut_is_compared_and_said_to_be_so(
    vmcoredd: Run, traces: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut"
    cut.write_bytes((traces / "whole").read_bytes()[:-400])
    shown = vmcoredd("diff", traces / "whole", cut)
    assert shown.code == Exit.INCOMPLETE
    assert f"{cut}: the trace is incomplete" in shown.err


def test_another_archive_is_a_bad_file(vmcoredd: Run, tmp_path: Path) -> None:
    other = tmp_path / "other.zip"
    other.write_bytes(b"PK\x03\x04" + bytes(100))
    refused = vmcoredd("diff", other, other)
    assert refused.code == Exit.BAD_FILE
    assert f"{other}: it is no trace" in one_line(refused)
