"""What is made of rows, and what foreign readers find in it: JUnit XML, KTAP, the page."""

from __future__ import annotations

import html.parser
from pathlib import Path
from urllib.parse import unquote

import pytest
from junitparser import Error, Failure, JUnitXml, Skipped
from sweeps import made

from vmcoredd.fleet.sweep import ktap
from vmcoredd.fleet.sweep.cells import Cell
from vmcoredd.fleet.sweep.junit import junit
from vmcoredd.fleet.sweep.page import MOST_TROUBLES, page
from vmcoredd.fleet.sweep.rows import MARK, Result

ODD = '<b>&"\x00\x1b[31m\ud800 é'
FOUND = {"severity": "fatal", "rule": "cim-parity", "meaning": "a parity error"}
ROWS = [
    made(Cell("t62100-cr"), found=False, elapsed_seconds=1.25),
    made(Cell("t62100-cr", fault="parity-cim"), found=True, findings=(FOUND,)),
    made(
        Cell("t62100-cr", "6.1", "firmware-crash"),
        Result.FAIL,
        why=ODD,
        files={"console": "t62100-cr_6.1_firmware-crash_0.console"},
        release="6.1.180",
    ),
    made(Cell("t520-cr", "6.1"), Result.ERROR, why="killed", elapsed_seconds=2),
    made(Cell("t520-cr", "6.1", "parity-mc1"), Result.SKIP, why="it has no MC1"),
]


def test_a_reader_of_junit_finds_every_cell_with_its_result(tmp_path: Path) -> None:
    path = tmp_path / "out.xml"
    path.write_text(junit(ROWS, "rows"))
    suites = JUnitXml.fromfile(str(path))
    ours, kernels = [*suites]
    assert (ours.name, kernels.name) == ("kernel none", "kernel 6.1")
    assert (suites.tests, suites.failures, suites.errors, suites.skipped) == (5, 1, 1, 1)
    assert (kernels.tests, kernels.failures, kernels.errors, kernels.skipped) == (3, 1, 1, 1)
    assert suites.time == 3.25
    cases = [case for suite in suites for case in suite]
    assert [case.classname for case in cases][:3] == [
        "none.t62100-cr",
        "none.t62100-cr",
        "6.1.t62100-cr",
    ]
    assert [case.name for case in cases][1] == "parity-cim seed 0"
    assert [case.is_passed for case in cases] == [True, True, False, False, False]
    kinds = [type(result) for case in cases for result in case.result]
    assert kinds == [Failure, Error, Skipped]


def test_junit_holds_any_text_and_says_where_the_log_is(tmp_path: Path) -> None:
    path = tmp_path / "out.xml"
    path.write_text(junit(ROWS, "rows"))
    case = [case for suite in JUnitXml.fromfile(str(path)) for case in suite][2]
    assert case.result[0].message == '<b>&"??[31m? é'
    assert case.system_out == "console: rows/t62100-cr_6.1_firmware-crash_0.console"


KTAP = """\
KTAP version 1
1..4
ok 1 link
not ok 2 - ping the peer # exit=1
  ok 1 nested
ok 3 jumbo # SKIP no cable
ok 4
"""


def test_results_in_ktap_are_read_those_of_the_first_level() -> None:
    found = [(test.name, test.result, test.why) for test in ktap.tests(KTAP)]
    assert found == [
        ("link", Result.PASS, ""),
        ("ping the peer", Result.FAIL, "exit=1"),
        ("jumbo", Result.SKIP, "SKIP no cable"),
        ("test 6", Result.PASS, ""),
    ]


@pytest.mark.parametrize("text", ["", "hello\nok 1 this is no KTAP\n", "not ok"])
def test_what_does_not_begin_as_ktap_has_no_results(text: str) -> None:
    assert ktap.tests(text) == ()


def test_a_script_that_prints_without_end_has_a_bounded_number_of_results() -> None:
    endless = "TAP version 13\n" + "ok 1 x\n" * 5000
    assert len(ktap.tests(endless)) == ktap.MOST


class Reader(html.parser.HTMLParser):
    """The page's elements, its links and its text; and whether all that opens is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.names: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_links_each_cells_log_or_row_and_asks_for_nothing() -> None:
    reader = Reader()
    reader.feed(page(ROWS))
    assert reader.open == []
    assert not {"script", "link", "img", "iframe"} & {*reader.names}
    targets = {unquote(link).removeprefix("./") for link in reader.links}
    logs = {f"{row.cell.id}.json" for row in ROWS} - {"t62100-cr_6.1_firmware-crash_0.json"}
    assert targets >= logs | {"t62100-cr_6.1_firmware-crash_0.console"}
    assert all("/" not in target for target in targets)


def test_the_page_begins_with_what_failed_and_is_known_as_ours() -> None:
    text = page(ROWS)
    assert MARK in text[:500]
    places = [text.index(part) for part in ("2 of 5 cells passed", "What failed", "Our own driver")]
    assert places == sorted(places)
    assert "Linux 6.1.180" in text


def test_nothing_that_a_cell_says_becomes_a_part_of_the_page() -> None:
    text = page([made(Cell("<script>x</script>", "6.1", "<b>"), Result.FAIL, why="<img src=x>")])
    assert "<script" not in text
    assert "<img" not in text


def test_many_failures_are_listed_up_to_a_bound_and_counted() -> None:
    many = [made(Cell("a", seed=n), Result.FAIL, why="x") for n in range(MOST_TROUBLES + 3)]
    assert "and 3 more cells" in page(many)


def test_a_folder_without_rows_has_a_page() -> None:
    assert "0 of 0 cells passed" in page([])
