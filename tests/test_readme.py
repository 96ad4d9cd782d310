"""The Python examples in README.md run as they are."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).resolve().parent.parent / "README.md"
BLOCKS = re.findall(r"(?ms)^```python\n(.*?)^```", README.read_text())


def test_the_readme_has_an_example_of_about_ten_lines() -> None:
    assert [len(block.splitlines()) for block in BLOCKS] == [pytest.approx(12, abs=3)]


@pytest.mark.parametrize("code", BLOCKS)
def test_the_example_writes_a_vmcore_and_prints_the_firmwares_log(
    code: str, tmp_path: Path
) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == ["vmcore"]
    name, *messages = done.stdout.splitlines()
    assert name == "cxgb4_0000:01:00.4"
    assert len(messages) > 5
