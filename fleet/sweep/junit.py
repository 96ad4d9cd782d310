"""Rows as JUnit XML, which CI systems show: a suite for each kernel, a test for each cell.

There is no standard, but all readers know these elements (ant's, as Jenkins and GitLab read them).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree as xml

from vmcoredd.fleet.sweep.rows import Result, Row

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold."""
NAMES = {Result.FAIL: "failure", Result.ERROR: "error", Result.SKIP: "skipped"}


def junit(rows: Sequence[Row], folder: str) -> str:
    """Returns the XML; `folder` is where the rows' files are."""
    root = xml.Element("testsuites", name="vmcoredd sweep")
    for kernel in dict.fromkeys(row.cell.kernel for row in rows):
        of_kernel = [row for row in rows if row.cell.kernel == kernel]
        suite = xml.SubElement(root, "testsuite", name=_text(f"kernel {kernel}"))
        _count(suite, of_kernel)
        for row in of_kernel:
            _add(suite, row, folder)
    _count(root, rows)
    xml.indent(root)
    return xml.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _count(element: xml.Element, rows: Sequence[Row]) -> None:
    element.set("tests", str(len(rows)))
    for result, name in ((Result.FAIL, "failures"), (Result.ERROR, "errors")):
        element.set(name, str(sum(row.result is result for row in rows)))
    element.set("skipped", str(sum(row.result is Result.SKIP for row in rows)))
    element.set("time", f"{sum(row.elapsed_seconds for row in rows):.3f}")


def _add(suite: xml.Element, row: Row, folder: str) -> None:
    cell = row.cell
    case = xml.SubElement(suite, "testcase", name=_text(f"{cell.fault} seed {cell.seed}"))
    case.set("classname", _text(f"{cell.kernel}.{cell.card}"))
    case.set("time", f"{row.elapsed_seconds:.3f}")
    if name := NAMES.get(row.result):
        what = xml.SubElement(case, name, message=_text(row.facts.why))
        what.text = _text(
            "\n".join(f"{one['rule']}: {one['meaning']}" for one in row.facts.findings)
        )
    said = [f"{kind}: {folder}/{name}" for kind, name in row.files.items()]
    said += [f"found: {one['rule']}" for one in row.facts.findings]
    said += [f"{test.result}: {test.name} {test.why}" for test in row.facts.tests]
    if said:
        xml.SubElement(case, "system-out").text = _text("\n".join(said))


def _text(text: str) -> str:
    return _FORBIDDEN.sub("?", text)
