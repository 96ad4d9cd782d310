"""Debian's chromium, as a page's reader has it; it is asked for every request that it makes."""

from __future__ import annotations

import json
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from vmcoredd.debs.install import missing


@contextmanager
def browser(*, scripts: bool) -> Iterator[webdriver.Chrome]:
    """Starts a browser without a window, and ends it."""
    if lacking := missing("browser"):
        pytest.fail(f"no browser: sudo apt-get install {' '.join(lacking)}")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    options.add_argument("--headless=new")
    options.add_argument("--disable-dev-shm-usage")
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # it does not run as root otherwise
    if not scripts:
        setting = {"profile.managed_default_content_settings.javascript": 2}
        options.add_experimental_option("prefs", setting)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


def requests(driver: webdriver.Chrome) -> set[str]:
    """The addresses that the page asked for."""
    return {found["request"]["url"] for found in events(driver)["Network.requestWillBeSent"]}


def events(driver: webdriver.Chrome) -> dict[str, list[Any]]:
    """What the browser's network did since this was last called."""
    found = defaultdict(list)
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        found[message["method"]].append(message["params"])
    return found


def one(driver: webdriver.Chrome, selector: str) -> WebElement:
    return driver.find_element(By.CSS_SELECTOR, selector)
