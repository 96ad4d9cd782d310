"""`make docs`: the site builds strictly, its links lead somewhere, it needs no network, and the
reference has what the code has. Its pages open from files, in Debian's chromium."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from browsers import browser, one, requests
from checkout import ROOT, copy_checkout
from mkdocs.commands.build import build as mkdocs_build
from mkdocs.config import load_config
from mkdocs.exceptions import Abort
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from vmcoredd.chip import T5, T6
from vmcoredd.cli.main import parser
from vmcoredd.cudbg.entity import entities

pytestmark = pytest.mark.interop
PATIENCE = 30.0
LOADED = {"script": "src", "img": "src", "iframe": "src", "link": "href", "source": "srcset"}
"""The attribute with which an element loads something."""
FOUND = (
    "return [...document.querySelectorAll('#registers-found tbody code')].map(c => c.textContent)"
)
MAIN_PAGES = (
    "index.html",
    "docs/index.html",
    "docs/how-to/guest.html",
    "docs/explanation/architecture.html",
    "docs/reference/commands.html",
    "docs/reference/json.html",
    "docs/reference/api.html",
    "docs/reference/device-dump.html",
    "docs/reference/entities.html",
    "docs/reference/register-search.html",
)


class Parsed(HTMLParser):
    """The anchors of a page, what it links to, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: set[str] = set()
        self.loads: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.anchors.add(found.get("id", ""))
        if tag == "a":
            self.anchors.add(found.get("name", ""))
            self.links.add(found.get("href", ""))
        if tag in LOADED and found.get("rel") not in ("canonical", "next", "prev"):
            self.loads.add(found.get(LOADED[tag], ""))


def build(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Builds the site as `make docs` does, but into `folder`."""
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(
        [*command, *options], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Parsed]:
    return {path: Parsed(path.read_text()) for path in site.rglob("*.html")}


@pytest.fixture(scope="module")
def opened(site: Path) -> Iterator[webdriver.Chrome]:
    with browser(scripts=True) as driver:
        yield driver


def text_of(site: Path, page: str) -> str:
    return re.sub(r"<[^>]*>", "", (site / page).read_text())


@pytest.mark.skipif(
    os.environ.get("VMCOREDD_THOROUGH") != "1",
    reason="builds everything anew: VMCOREDD_THOROUGH=1, make test-long",
)
def test_make_docs_builds_from_nothing(tmp_path: Path) -> None:
    copy = copy_checkout(tmp_path)
    for command in (["git", "init", "--quiet"], ["git", "add", "."], ["make", "docs"]):
        subprocess.run(command, cwd=copy, check=True, timeout=1800)
    assert (copy / "build/site/index.html").exists()


def test_make_docs_builds_what_is_tested_here() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert "$(BIN)/python -m mkdocs build --quiet\n" in makefile
    assert "export NO_MKDOCS_2_WARNING = 1\n" in makefile


def test_every_link_leads_to_a_page_and_an_anchor_that_exist(pages: dict[Path, Parsed]) -> None:
    broken = []
    for path, page in pages.items():
        if path.name == "404.html":  # its links are those of a server
            continue
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme in ("http", "https", "mailto"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchors = pages[target].anchors if target in pages else {""}
            if not target.exists() or unquote(parts.fragment) not in anchors | {""}:
                broken.append((str(path), link))
    assert broken == []
    assert sum(len(page.links) for page in pages.values()) > 1000


@pytest.mark.parametrize(
    ("text", "works"),
    [("[there](#there)", True), ("[a](missing.md)", False), ("[b](#missing)", False)],
)
def test_a_broken_link_fails_the_build(tmp_path: Path, text: str, works: bool) -> None:
    """The settings are the site's, of a site with one page."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text(f"# Page\n\n{text}\n\n## There\n")
    own: dict[str, Any] = {
        "hooks": [],
        "nav": ["index.md"],
        "plugins": [],
        "extra_css": [],
        "extra": {},
    }
    config = load_config(str(ROOT / "mkdocs.yml"), docs_dir=str(tmp_path / "docs"), **own)
    config.site_dir = str(tmp_path / "site")
    with nullcontext() if works else pytest.raises(Abort, match="1 warnings in strict mode"):
        mkdocs_build(config)


def test_nothing_is_loaded_from_the_network(site: Path, pages: dict[Path, Parsed]) -> None:
    loads = {load for page in pages.values() for load in page.loads}
    assert len(loads) > 5
    assert [load for load in loads if urlsplit(load).netloc] == []
    styles = [path.read_text() for path in site.rglob("*.css")]
    assert [
        url for text in styles for url in re.findall(r"url\(\W?(?:https?:)?//[^)]*", text)
    ] == []


def test_a_page_from_a_file_asks_for_files_only(opened: webdriver.Chrome, site: Path) -> None:
    requests(opened)
    for page in MAIN_PAGES:
        opened.get((site / page).as_uri())
    asked = requests(opened)
    assert {urlsplit(address).scheme for address in asked} <= {"file", "data"}
    assert (site / MAIN_PAGES[0]).as_uri() in asked
    assert [entry for entry in opened.get_log("browser") if entry["level"] == "SEVERE"] == []


@pytest.mark.parametrize("width", [400, 1280])
def test_no_page_is_wider_than_the_window(opened: webdriver.Chrome, site: Path, width: int) -> None:
    viewport = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", viewport)
    try:
        for page in MAIN_PAGES:
            opened.get((site / page).as_uri())
            wide = opened.execute_script("return document.documentElement.scrollWidth")
            assert wide <= width, page
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def found(driver: webdriver.Chrome, site: Path, text: str) -> list[str]:
    """The names that the search for registers finds."""
    driver.get((site / "docs/reference/register-search.html").as_uri())
    field = one(driver, "#register-search input")
    field.clear()
    field.send_keys(text)
    names: list[str] = driver.execute_script(FOUND)
    return names


def test_a_register_is_found_by_name_address_and_field(
    opened: webdriver.Chrome, site: Path
) -> None:
    whoami, doorbell = T6.r.PL_WHOAMI, T6.r.SGE_PF_KDOORBELL
    assert found(opened, site, "pl_whoami")[0] == "PL_WHOAMI"
    assert set(found(opened, site, f"{int(whoami):#x}")) == {"PL_WHOAMI"}
    assert found(opened, site, f"{doorbell[3]:#x}") == ["SGE_PF_KDOORBELL"] * 2  # T5, T6
    assert "[3] at" in one(opened, "#registers-found").text
    (field, *_) = T5.r.PL_PERR_CAUSE.fields
    assert "PL_PERR_CAUSE" in found(opened, site, f"pl_perr {field.name}")
    assert field.name in one(opened, "#registers-found .hit").text
    assert "SGE_PF_KDOORBELL" in found(opened, site, "DBPRIO")  # Linux's name of a field
    assert set(found(opened, site, "SGE_INT_CAUSE?")) == {f"SGE_INT_CAUSE{i}" for i in range(1, 7)}
    assert "TP_RX_SCHED_MAP" in found(opened, site, "tp_pio 0x20")
    assert found(opened, site, "xyzzy") == []
    assert one(opened, "#register-search output").text == "none found"


def test_the_search_knows_every_register_of_both_chips(
    opened: webdriver.Chrome, site: Path
) -> None:
    opened.get((site / "docs/reference/register-search.html").as_uri())
    rows = opened.execute_script("return REGISTERS.map(([name, , , t5, t6]) => [name, t5, t6])")
    for column, chip in ((1, T5), (2, T6)):
        described = [(each.name, int(each)) for each in (*chip.r, *chip.r.aliases)]
        shown = [(row[0], row[column]) for row in rows if row[column] >= 0]
        assert sorted(shown) == sorted(described)


def test_the_sites_search_works_from_a_file(opened: webdriver.Chrome, site: Path) -> None:
    opened.get((site / "index.html").as_uri())
    one(opened, "label[for=__search]").click()
    field = one(opened, ".md-search__input")
    WebDriverWait(opened, PATIENCE).until(lambda _: field.is_displayed())
    field.send_keys("novmcoredd")
    results = WebDriverWait(opened, PATIENCE).until(
        lambda driver: driver.find_elements(By.CSS_SELECTOR, ".md-search-result__link")
    )
    assert any("api.html" in (each.get_attribute("href") or "") for each in results)


def commands() -> Iterator[tuple[str, object]]:
    """Every command by its words, and its parser."""
    todo = [("vmcoredd", parser())]
    while todo:
        words, command = todo.pop()
        yield words, command
        todo += [(f"{words} {n}", c) for n, c in getattr(command, "commands", {}).items()]


def test_every_command_and_every_option_is_in_the_reference(site: Path) -> None:
    text = text_of(site, "docs/reference/commands.html")
    sections = re.split(r"(?m)^(vmcoredd[\w ]*|python -m pyvfio_user[\w ]*)&para;$", text)[1:]
    shown = dict(zip(sections[::2], sections[1::2], strict=True))
    for words, command in commands():
        options = {option for each in command.params for option in each.opts}  # type: ignore[attr-defined]
        lacking = {option for option in options if option[0] == "-" and option not in shown[words]}
        assert lacking == set(), words
    assert len(shown) > 20
    assert "--only" in shown["python -m pyvfio_user check"]


def test_every_entity_has_a_section_with_its_function_and_an_example(site: Path) -> None:
    text = (site / "docs/reference/entities.html").read_text()
    sections = re.split(r'<h2 id="(\w+)">', text)[1:]
    shown = dict(zip(sections[::2], sections[1::2], strict=True))
    assert list(shown) == [name.lower() for name in entities()]
    for entity in entities().values():
        section = shown[entity.name.lower()]
        assert re.search(r"cudbg_\w+\(\)</code>", section), entity.name
        assert f"{entity.name} (entity {entity.number})" in section
        assert all(layout.__name__ in section for layout in entity.layouts)


def test_the_bytes_of_the_container_are_a_dumps(site: Path) -> None:
    text = text_of(site, "docs/reference/device-dump.html")
    for line in ("00 07 00 00", "0x700: NT_VMCOREDD", "e2 69 0b 04", "LINUX: the note's owner"):
        assert line in text
    assert all(name in text for name in entities())


def test_every_public_name_of_the_library_is_there(site: Path, pages: dict[Path, Parsed]) -> None:
    from vmcoredd import cudbg, diagnosis, driver, emu, vmcore

    anchors = pages[site / "docs/reference/api.html"].anchors
    rooms = (cudbg, diagnosis, driver, emu, vmcore)
    names = {f"{room.__name__}.{name}" for room in rooms for name in room.__all__}
    assert {name for name in names if name not in anchors} == set()
