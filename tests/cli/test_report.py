"""`vmcoredd report`: its files, what it escapes, what it refuses, and its pseudonyms."""

from __future__ import annotations

import html
import json
import re
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from carddump import collected
from cliruns import Run, one_line, spawned
from faulty import faulty

from tests.support.schema import problems
from vmcoredd import cudbg, vmcore
from vmcoredd.chip import T5
from vmcoredd.cli.exit_codes import Exit
from vmcoredd.cli.report.pictures import memories, port, queues
from vmcoredd.cudbg.entities.pci import VpdLayout
from vmcoredd.cudbg.slim import slimmed

HOSTILE = "</script><script>alert(1)</script>'\"&<b>"
FAULTS = ("ecc-uncorrectable-edc0", "firmware-crash")


@pytest.fixture(scope="module")
def sick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return faulty(tmp_path_factory.mktemp("sick") / "vmcore", *FAULTS)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return faulty(tmp_path_factory.mktemp("healthy") / "vmcore")


@pytest.fixture(scope="module")
def reported(sick: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the sick card."""
    folder = tmp_path_factory.mktemp("reported") / "report"
    assert spawned("report", sick, "-o", folder).returncode == Exit.OK
    return folder


class Page(HTMLParser):
    """The elements of a page, the data of its scripts, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._in = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in == "script":
            self.scripts[-1] += data
        elif self._in != "style":
            self.text += data

    @property
    def ids(self) -> list[str]:
        return [found for _, a in self.tags if (found := a.get("id"))]

    @property
    def links(self) -> list[str]:
        return [found for tag, a in self.tags if tag == "a" and (found := a.get("href"))]


def page(folder: Path) -> Page:
    return Page((folder / "index.html").read_text())


def test_a_report_is_a_page_findings_and_a_text_for_each_entity(
    vmcoredd: Run, sick: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "report"
    done = vmcoredd("report", sick, "-o", folder)
    assert done.code == Exit.OK, done.err
    assert "The report contains:" in done.out
    assert "serial numbers (VPD_DATA" in done.out
    findings = json.loads((folder / "findings.json").read_text())
    assert findings == vmcoredd("diagnose", sick, "--json").json
    assert findings["findings"]
    with vmcore.Reader(sick) as reader:
        dump = cudbg.Dump(reader.payload(0))
    texts = {path.stem: path.read_text() for path in (folder / "dump-0").iterdir()}
    assert set(texts) == {entity.name for entity in dump.entities}
    shown = vmcoredd("show", sick, "--entity", "CIM_QCFG").out
    assert texts["CIM_QCFG"].split() == shown.split()
    assert {path.stat().st_mode & 0o077 for path in [folder, *folder.rglob("*")]} == {0}


def test_the_page_begins_with_the_verdict_and_links_to_its_evidence(reported: Path) -> None:
    shown, findings = (
        page(reported),
        json.loads((reported / "findings.json").read_text())["findings"],
    )
    rules = [finding["rule"] for finding in findings]
    positions = [shown.text.index(rule) for rule in rules]
    assert positions == sorted(positions)
    assert positions[-1] < shown.text.index("All registers")
    assert len(shown.ids) == len(set(shown.ids))
    assert {link for link in shown.links if link[1:] not in shown.ids} == set()
    assert all(link.startswith("#") for link in shown.links)
    assert "EDC_H_INT_CAUSE" in shown.text


def test_the_page_asks_no_network_for_anything(reported: Path) -> None:
    shown = page(reported)
    policy = next(a for tag, a in shown.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert (policy["content"] or "").startswith("default-src 'none'; script-src 'sha256-")
    assert not [tag for tag, a in shown.tags if a.get("src") or tag in ("link", "img", "iframe")]
    assert not re.search(r"https?://", (reported / "index.html").read_text())


def test_registers_are_data_of_the_page(reported: Path) -> None:
    rows = json.loads(page(reported).scripts[0])
    assert len(rows) > 10_000
    names = {(row[0], row[1]) for row in rows}
    assert {("EDC_H_INT_CAUSE", "EDC0"), ("PL_WHOAMI", "")} <= names


def hostile(path: Path, healthy: Path) -> Path:
    """A vmcore whose VPD, note name and log hold markup."""
    with vmcore.Reader(healthy) as reader:
        dump = cudbg.Dump(reader.payload(0))
    vpd = VpdLayout.from_bytes(dump.raw("VPD_DATA"))
    vpd.mn = HOSTILE.encode()[:17]
    vpd.sn = b'"><script>alert(2)</s'.ljust(25, b"\0")
    log = bytearray(dump.raw("DEV_LOG"))
    at = log.index(b"firmware")
    log[at : at + len(HOSTILE)] = HOSTILE.encode()
    data = slimmed(dump, {}, {"VPD_DATA": bytes(vpd), "DEV_LOG": bytes(log)})

    def fill(payload: memoryview) -> None:
        payload[:] = data

    dumps = vmcore.DeviceDumps()
    dumps.add_device_dump("<img src=x onerror=alert(3)>", len(data), fill)
    vmcore.write(path, dumps)
    return path


def test_markup_from_a_dump_is_text(vmcoredd: Run, healthy: Path, tmp_path: Path) -> None:
    folder = tmp_path / "report"
    vmcoredd("report", hostile(tmp_path / "vmcore", healthy), "-o", folder)
    written, shown = (folder / "index.html").read_text(), page(folder)
    scripts = [a for tag, a in shown.tags if tag == "script"]
    assert [a.get("type") for a in scripts] == ["application/json", None]
    assert not [tag for tag, _ in shown.tags if tag in ("img", "b") and "alert" in tag]
    assert not any(name.startswith("on") for _, a in shown.tags for name in a)
    assert "<script>alert" not in written
    assert "<img" not in written
    assert HOSTILE in shown.text
    assert "<img src=x onerror=alert(3)>" in shown.text
    assert html.escape(HOSTILE[:17]) in written


def test_several_dumps_have_a_section_each(vmcoredd: Run, made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "report"
    assert vmcoredd("report", made, "-o", folder).code == Exit.OK
    shown = page(folder)
    assert {"d0", "d1"} <= set(shown.ids)
    assert {"#d0", "#d1"} <= set(shown.links)
    assert (folder / "dump-0").is_dir()
    assert (folder / "dump-1").is_dir()
    one = tmp_path / "one"
    assert vmcoredd("report", made, "-o", one, "--index", "1").code == Exit.OK
    assert sorted(path.name for path in one.iterdir()) == ["dump-1", "findings.json", "index.html"]


def test_a_healthy_twin_shows_what_differs(
    vmcoredd: Run, sick: Path, healthy: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "report"
    done = vmcoredd("report", sick, "-o", folder, "--against", healthy)
    assert done.code == Exit.OK, done.err
    shown = page(folder)
    assert "d0-twin" in shown.ids
    rows = json.loads(shown.scripts[0])
    differing = {(row[0], row[1]) for row in rows if row[6] is not None}
    assert ("EDC_H_INT_CAUSE", "EDC0") in differing
    assert ("EDC_H_INT_CAUSE", "EDC1") not in differing


def test_a_twin_of_another_chip_is_not_compared_and_so_says_the_page(
    vmcoredd: Run, healthy: Path, tmp_path: Path
) -> None:
    other, folder = tmp_path / "t5.bin", tmp_path / "report"
    other.write_bytes(collected(T5).data)
    done = vmcoredd("report", healthy, "-o", folder, "--against", other)
    assert done.code == Exit.INCOMPLETE
    said = "is not compared with t5.bin"
    assert said in one_line(done)
    assert "its chip is a T5, not a T6" in one_line(done)
    assert said in (folder / "index.html").read_text()
    assert "d0-twin" not in page(folder).ids


def test_a_redacted_report_holds_no_private_value(
    vmcoredd: Run, sick: Path, healthy: Path, reported: Path, tmp_path: Path
) -> None:
    folder, clean = reported, tmp_path / "clean"
    done = vmcoredd("report", sick, "-o", clean, "--redact", "--against", healthy)
    assert done.code == Exit.OK, done.err
    assert "pseudonyms of serial numbers" in done.out
    (card,) = json.loads((folder / "findings.json").read_text())["cards"]
    (other,) = json.loads((clean / "findings.json").read_text())["cards"]
    assert card["serial"] != other["serial"]
    assert card["firmware"] == other["firmware"]
    mac = bytes.fromhex(card["mac"])
    values = [card["serial"], card["mac"], mac.hex(), mac.hex(":"), mac[::-1].hex()]
    before, after = (texts(one) for one in (folder, clean))
    assert values[0] in before
    assert mac.hex(":") in before
    assert [value for value in values if value.lower() in after.lower()] == []
    key = re.findall(r"TP_RSS_SECRET_KEY\d +(0x[0-9a-f]{8})", before)
    assert len(key) >= 10
    assert [word for word in key if word in after] == []


def texts(folder: Path) -> str:
    """Everything in a report."""
    return "".join(path.read_text() for path in sorted(folder.rglob("*")) if path.is_file())


def test_an_existing_folder_is_kept_and_only_a_report_is_replaced(
    vmcoredd: Run, healthy: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "report"
    assert vmcoredd("report", healthy, "-o", folder).code == Exit.OK
    refused = vmcoredd("report", healthy, "-o", folder)
    assert refused.code == Exit.FAILED
    assert "File exists" in one_line(refused)
    (folder / "dump-0/old.txt").write_text("old")
    assert vmcoredd("report", healthy, "-o", folder, "--force").code == Exit.OK
    assert not (folder / "dump-0/old.txt").exists()
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "letter").write_text("dear")
    refused = vmcoredd("report", healthy, "-o", mine, "--force")
    assert refused.code == Exit.FAILED
    assert "not a report" in one_line(refused)
    assert (mine / "letter").read_text() == "dear"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "report"]


def test_a_failure_leaves_nothing_behind(vmcoredd: Run, healthy: Path, tmp_path: Path) -> None:
    assert vmcoredd("report", healthy, "-o", tmp_path / "no/such").code == Exit.FAILED
    other = tmp_path / "text"
    other.write_text("not a dump")
    wrong = vmcoredd("report", healthy, "-o", tmp_path / "report", "--against", other)
    assert wrong.code == Exit.BAD_FILE
    assert str(other) in wrong.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["text"]


def test_a_damaged_entity_is_said_on_the_page(vmcoredd: Run, healthy: Path, tmp_path: Path) -> None:
    path = tmp_path / "vmcore"
    data = bytearray(healthy.read_bytes())
    with vmcore.Reader(healthy) as reader:
        start = reader.device_dumps[0].payload_offset
    at = start + 56 + 52 * 43 + 4  # where MEMINFO starts
    data[at : at + 4] = (1 << 31).to_bytes(4, "little")
    path.write_bytes(data)
    folder = tmp_path / "report"
    vmcoredd("report", path, "-o", folder)
    assert "damaged" in (folder / "dump-0/MEMINFO.txt").read_text()
    assert "The dump has no memory map." in page(folder).text


def test_json_says_what_is_in_the_report(vmcoredd: Run, healthy: Path, tmp_path: Path) -> None:
    folder = tmp_path / "report"
    record = vmcoredd("report", healthy, "-o", folder, "--json").json
    assert problems(record) == []
    assert record["size_bytes"] == (folder / "index.html").stat().st_size
    assert record["files"] == sum(path.is_file() for path in folder.rglob("*"))


def test_a_report_takes_at_most_three_times_as_long_as_decoding(
    vmcoredd: Run, healthy: Path, tmp_path: Path
) -> None:
    def seconds(*arguments: Any) -> float:
        started = time.process_time()
        vmcoredd(*arguments)
        return time.process_time() - started

    def report() -> float:
        return seconds("report", healthy, "-o", tmp_path / "report", "--force")

    report()  # imports, tables of registers
    decoding = min(seconds("show", healthy, "--entity", "all") for _ in range(3))
    assert min(report() for _ in range(3)) < 3 * decoding  # garbage is collected in some of them


# Pictures


def test_regions_that_overlap_are_in_lanes() -> None:
    memory = [{"memory": "EDC0", "from": 0, "to": 999}]
    regions = [
        {"region": "a", "from": 0, "to": 499},
        {"region": "b", "from": 250, "to": 749},
        {"region": "c", "from": 500, "to": 999},
        {"region": "elsewhere", "from": 1000, "to": 1999},
        {"region": "beyond", "from": 900, "to": 1200},
    ]
    (bar,) = memories(memory, regions)
    assert [(box.x, box.width, box.y) for box in bar.boxes] == [
        *((0, 500, 0), (250, 500, 22), (500, 500, 0), (900, 100, 22)),
    ]


@pytest.mark.parametrize(
    ("producer", "consumer", "filled"),
    [(30, 10, [(10, 20)]), (10, 30, [(30, 70), (0, 10)]), (5, 5, []), (500, 0, [(0, 100)])],
)
def test_a_queue_is_filled_from_consumer_to_producer(
    producer: int, consumer: int, filled: list[tuple[float, float]]
) -> None:
    row = {"queue": 1, "kind": "egress", "ring": 100, "PIDX": producer, "CIDX": consumer}
    (queue,) = queues([row])
    assert list(queue.filled) == filled


def test_a_port_with_a_fault_is_not_up() -> None:
    assert port("port 0", {"linkup": 1}).state == "up"
    assert port("port 0", {"linkup": 1, "remflt": 1})[1:] == ("fault", "remote fault")
    assert port("port 0", {"linkup": 0, "linkdn": 1}).state == "down"
