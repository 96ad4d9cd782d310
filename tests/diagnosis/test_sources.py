"""The functions that rules name as their source, in the source of Linux's driver."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from kernel_headers import DRIVER, text

from tests.interop.kernel_driver.source import kernel_source
from vmcoredd.diagnosis.rule import all_rules

pytestmark = pytest.mark.interop

NAMES = re.compile(r"(\w+\.[ch])|(\w+(?=\(\))|\b[a-z0-9]*_[a-z0-9_]+)")
"""A file; then functions, with `()` or, as types are, without."""


@pytest.fixture(scope="module")
def driver() -> Path:
    return kernel_source() / DRIVER


def test_every_function_that_a_rule_names_is_in_the_file_that_it_names(driver: Path) -> None:
    unknown, named = [], 0
    for rule in all_rules().values():
        file = ""
        for path, name in NAMES.findall(rule.source):
            file = path or file
            if name and file:
                named += 1
                if not re.search(rf"\b{name}\b", text(driver / file)):
                    unknown.append(f"{rule.name}: {file}: {name}")
    assert unknown == []
    assert named > 100
