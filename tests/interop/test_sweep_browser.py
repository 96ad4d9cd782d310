"""A sweep's page in Debian's chromium, on a telephone and on a screen."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import pytest
from browsers import browser, requests
from selenium.webdriver.common.by import By
from sweeps import made

from vmcoredd.fleet.sweep.cells import all_cells
from vmcoredd.fleet.sweep.page import page
from vmcoredd.fleet.sweep.rows import Result

pytestmark = pytest.mark.interop
WHY = "no device dump: the driver refused the adapter: its probe failed with -5 (EIO)"
FAULTS = ("healthy", "parity-cim", "memory-bit-flip=EDC0+0x1000:3")
WIDER = """
const parts = document.querySelectorAll("html, body, h1, h2, p, li, div");
const width = document.documentElement.clientWidth;
return [...parts].filter(p => p.getBoundingClientRect().right > width + 1)
  .map(p => p.outerHTML.slice(0, 80));
"""
"""Gives what is wider than the window; tables scroll in their frames."""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cells = all_cells(["t520-cr", "t62100-cr"], ["none", "6.1"], FAULTS, range(10))
    results = [Result.FAIL, Result.ERROR, Result.SKIP, *[Result.PASS] * 9]
    rows = [made(cell, results[n % 12], why=WHY * (n % 12 < 3)) for n, cell in enumerate(cells)]
    folder = tmp_path_factory.mktemp("page")
    (folder / "index.html").write_text(page(rows))
    for cell in cells:
        (folder / f"{cell.id}.json").touch()
    return folder / "index.html"


@pytest.mark.parametrize("width", [360, 1300])
def test_nothing_is_wider_than_the_window_and_every_link_leads_to_a_file(
    path: Path, width: int
) -> None:
    with browser(scripts=True) as driver:
        viewport = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", viewport)
        driver.get(path.as_uri())
        assert requests(driver) == {path.as_uri()}
        assert driver.get_log("browser") == []
        assert driver.execute_script(WIDER) == []
        links = [link.get_attribute("href") for link in driver.find_elements(By.TAG_NAME, "a")]
        assert len(links) > 120
        assert all(Path(unquote((link or "").removeprefix("file://"))).is_file() for link in links)
        boxes = driver.find_elements(By.CSS_SELECTOR, ".matrix td .box")
        assert len(boxes) == 120
        assert {box.get_attribute("class") for box in boxes} == {
            f"box {result}" for result in Result
        }
