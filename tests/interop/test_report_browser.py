"""The report's page in Debian's chromium: from a file, with scripts and without, and no network."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsers import browser, events, one, requests
from cliruns import spawned
from faulty import faulty
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from vmcoredd import vmcore
from vmcoredd.chip import T5

pytestmark = pytest.mark.interop
PATIENCE = 30.0
RULE_REGISTER = "EDC_H_INT_CAUSE"
WIDER = """
const parts = document.querySelectorAll("html, h1, h2, h3, p, li, nav a, article, svg, figcaption");
const width = document.documentElement.clientWidth;
return [...parts].filter(p => p.getBoundingClientRect().right > width || p.scrollWidth > width)
  .map(p => p.outerHTML.slice(0, 80));
"""
"""Gives what is wider than the window."""
HEADINGS = """
return [...document.querySelectorAll("th")].map(th => {
  const box = th.getBoundingClientRect(), frame = th.closest(".wide").getBoundingClientRect();
  const shown = box.height > 0 && th.textContent.length > 0;
  return [shown, Math.abs(box.top - frame.top) < 3, box.right <= frame.right + 1];
});
"""
"""Gives of each column's heading whether it is shown, at the top of its frame, and inside it."""
NAMES = (
    "return [...document.querySelectorAll('table.found td:first-child')].map(c => c.textContent)"
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a sick card beside a healthy one."""
    folder = tmp_path_factory.mktemp("browser")
    sick = faulty(folder / "sick", "ecc-uncorrectable-edc0", "firmware-crash")
    healthy = faulty(folder / "healthy")
    done = spawned("report", sick, "-o", folder / "report", "--against", healthy)
    assert done.returncode == 0, done.stderr
    alone = folder / "mail" / "attachment.html"  # without its folder, as a mail program saves it
    alone.parent.mkdir()
    shutil.copyfile(folder / "report" / "index.html", alone)
    return alone


@pytest.fixture(scope="module")
def opened(page: Path) -> Iterator[webdriver.Chrome]:
    with browser(scripts=True) as driver:
        driver.get(page.as_uri())
        yield driver


@pytest.fixture(scope="module")
def scriptless(page: Path) -> Iterator[webdriver.Chrome]:
    with browser(scripts=False) as driver:
        driver.get(page.as_uri())
        yield driver


def what_became_of(driver: webdriver.Chrome, page: Path) -> dict[str, str]:
    """Opens a page, and returns the addresses that it got no answer from, each with what stopped
    the request: the page's policy, or the network."""
    events(driver)
    driver.get(page.as_uri())
    seen = events(driver)
    names = {
        sent["requestId"]: sent["request"]["url"] for sent in seen["Network.requestWillBeSent"]
    }
    failed = seen["Network.loadingFailed"]
    return {names[one["requestId"]]: one.get("blockedReason", "the network") for one in failed}


def search(driver: webdriver.Chrome, text: str) -> list[str]:
    """The names of the registers that a search finds."""
    field = one(driver, ".search .text")
    field.clear()
    field.send_keys(text)
    names: list[str] = driver.execute_script(NAMES)
    return names


def test_the_page_asks_for_nothing_and_has_no_errors(opened: webdriver.Chrome, page: Path) -> None:
    assert requests(opened) == {page.as_uri()}
    assert opened.get_log("browser") == []


def test_the_browser_tells_of_a_request_and_the_policy_forbids_it(
    opened: webdriver.Chrome, page: Path, tmp_path: Path
) -> None:
    """That the test before this one can fail; whatever a dump smuggled in, nothing is sent."""
    address = "http://127.0.0.1:9/pixel.png"
    text = page.read_text().replace("<main>", f'<main><img src="{address}">', 1)
    smuggled, without = tmp_path / "smuggled.html", tmp_path / "without.html"
    smuggled.write_text(text)
    without.write_text(text.replace("Content-Security-Policy", "X-No-Policy", 1))
    try:
        assert what_became_of(opened, smuggled) == {address: "csp"}
        assert "Content Security Policy" in opened.get_log("browser")[0]["message"]
        assert what_became_of(opened, without) == {address: "the network"}
    finally:
        opened.get(page.as_uri())


@pytest.mark.parametrize("width", [360, 800, 1300, 1920])
def test_nothing_is_clipped_and_all_headings_are_there_at_once(
    opened: webdriver.Chrome, page: Path, width: int
) -> None:
    viewport = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", viewport)
    try:
        opened.get(page.as_uri())
        assert opened.execute_script(WIDER) == []
        headings = opened.execute_script(HEADINGS)
        assert len(headings) > 20
        assert {(shown, top) for shown, top, _ in headings} == {(True, True)}
        if width >= 800:  # a telephone scrolls tables sideways
            assert all(inside for _, _, inside in headings)
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_print_and_dark_screens_have_their_own_look(opened: webdriver.Chrome, page: Path) -> None:
    def looks(media: str, scheme: str) -> tuple[str, bool, bool]:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})
        paper = opened.execute_script("return getComputedStyle(document.body).backgroundColor")
        nav, rows = one(opened, "section nav"), one(opened, "table.found")
        return paper, nav.is_displayed(), rows.is_displayed()

    try:
        assert looks("screen", "light") == ("rgb(255, 255, 255)", True, True)
        assert looks("print", "light") == ("rgb(255, 255, 255)", False, False)
        dark, *_ = looks("screen", "dark")
        assert sum(map(int, re.findall(r"\d+", dark))) < 120
    finally:
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})


def test_the_verdict_comes_first(opened: webdriver.Chrome) -> None:
    card, finding = one(opened, ".card"), one(opened, ".finding")
    assert "T62100-CR" in card.text
    assert "crashed" in one(opened, ".state").text
    assert card.location["y"] < finding.location["y"] < one(opened, "form.search").location["y"]


def test_a_search_finds_registers(opened: webdriver.Chrome) -> None:
    assert set(search(opened, "edc_h_int_cause edc0")) == {RULE_REGISTER}
    assert search(opened, "no such register") == []
    every = search(opened, "sge_")
    assert len(every) > 100
    assert all("SGE_" in name for name in every)


def test_more_rows_come_on_demand(opened: webdriver.Chrome) -> None:
    assert len(search(opened, "e")) == 200
    more = one(opened, "button.more")
    opened.execute_script("arguments[0].scrollIntoView()", more)
    more.click()
    assert len(opened.execute_script(NAMES)) == 400


def test_only_what_differs_from_the_healthy_twin_is_left(opened: webdriver.Chrome) -> None:
    box = one(opened, ".differs")
    opened.execute_script("arguments[0].scrollIntoView({block: 'center'})", box)
    box.click()
    try:
        assert search(opened, RULE_REGISTER) == [RULE_REGISTER]
        assert search(opened, "pl_whoami") == []
    finally:
        box.click()


def test_evidence_leads_to_its_register(opened: webdriver.Chrome) -> None:
    link = next(
        link
        for link in opened.find_elements(By.CSS_SELECTOR, ".evidence a")
        if RULE_REGISTER in link.text
    )
    opened.execute_script("arguments[0].scrollIntoView({block: 'center'})", link)
    link.click()
    target = one(opened, ":target")
    assert RULE_REGISTER in target.text
    inside = (
        "const r = arguments[0].getBoundingClientRect(); return r.top >= 0 && r.top < innerHeight"
    )
    WebDriverWait(opened, PATIENCE).until(lambda d: d.execute_script(inside, target))


def test_memory_queues_and_ports_are_pictures(opened: webdriver.Chrome) -> None:
    for selector in ("svg.memory rect.c0", ".rings svg", ".ports rect"):
        sizes = [found.size for found in opened.find_elements(By.CSS_SELECTOR, selector)]
        assert sizes
        assert all(size["width"] > 0 and size["height"] > 0 for size in sizes)


def test_an_entity_opens_in_words(opened: webdriver.Chrome) -> None:
    entity = one(opened, "#d0-entity-CIM_QCFG")
    assert not entity.find_element(By.TAG_NAME, "pre").is_displayed()
    opened.execute_script("arguments[0].scrollIntoView({block: 'center'})", entity)
    entity.find_element(By.TAG_NAME, "summary").click()
    assert "CIM_QCFG (entity 5)" in entity.find_element(By.TAG_NAME, "pre").text


def test_without_scripts_the_first_screen_has_the_verdict(scriptless: webdriver.Chrome) -> None:
    height = 600
    scriptless.set_window_size(800, height)
    for selector in (".card", ".state", ".finding .severity"):
        found = one(scriptless, selector)
        assert found.is_displayed()
        assert found.location["y"] + found.size["height"] < height


def test_without_scripts_the_content_is_there(scriptless: webdriver.Chrome) -> None:
    assert "crashed" in one(scriptless, ".state").text
    assert RULE_REGISTER in one(scriptless, "tr[id]").find_element(By.XPATH, "..").text
    assert not one(scriptless, "form.search").is_displayed()
    assert one(scriptless, ".scriptless").is_displayed()
    assert one(scriptless, "table.log").is_displayed()
    link = one(scriptless, ".evidence a")
    link.click()
    assert scriptless.current_url.endswith(link.get_attribute("href").partition("#")[2])


def test_each_dump_has_a_tab(made_twice: Path, opened: webdriver.Chrome) -> None:
    """Last: it leaves the page."""
    opened.get(made_twice.as_uri())
    first, second = opened.find_elements(By.CSS_SELECTOR, "section.dump")
    assert (first.is_displayed(), second.is_displayed()) == (True, False)
    opened.find_elements(By.CSS_SELECTOR, ".tabs a")[1].click()
    WebDriverWait(opened, PATIENCE).until(lambda d: second.is_displayed())
    assert not first.is_displayed()


@pytest.fixture
def made_twice(tmp_path: Path) -> Path:
    """The report of a vmcore with two dumps."""
    other = faulty(tmp_path / "other", chip=T5)
    with vmcore.Reader(other) as reader:
        payload = reader.payload(0)
    dumps = vmcore.DeviceDumps()

    def fill(view: memoryview) -> None:
        view[:] = payload

    for name in ("one", "two"):
        dumps.add_device_dump(f"cxgb4_{name}", len(payload), fill)
    vmcore.write(tmp_path / "two", dumps)
    assert spawned("report", tmp_path / "two", "-o", tmp_path / "report").returncode == 0
    return tmp_path / "report" / "index.html"
