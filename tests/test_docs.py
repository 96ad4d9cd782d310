"""Pages name what exists: files, modules, functions, links. Their tables follow from the code."""

import importlib.util
import pkgutil
import re
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from limits_tables import PAGE, written

from tests import test_rooms

ROOT = Path(__file__).resolve().parent.parent
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "pyvfio_user/README.md",
    "pyvfio_user/docs/*.md",
    "docs/**/*.md",
    "tests/**/*.md",
)
INCLUDE = ROOT / "pyvfio_user/src/pyvfio_user/include"
FOREIGN = ("drivers/", "fs/", "include/", "linux/", "lib/", "subprojects/")
"""How paths of the kernel and of libvfio-user begin."""
FILE = re.compile(r"(?<![\w./*<>-])[\w.-]+(?:/[\w.-]+)+\.(?:py|c|h|md|csv|toml|config|svg|patch)\b")
BARE = re.compile(r"`([\w-]+\.(?:py|c|h|toml|config))`")
FOLDER = re.compile(r"`((?:[\w.-]+/)+)`")
MODULE = re.compile(r"\bvmcoredd(?:\.[a-z]\w*)+")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
FUNCTION = re.compile(r"`(\w+)\(\)`")
ARROW = re.compile(r'(?m)^ {4}(\w+)(?:\["[^\n]*?"\])? --> (\w+)')


def tracked(*patterns: str) -> list[Path]:
    """Files of the repository, also new ones that git does not ignore."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return sorted({ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).exists()})


def page_names() -> list[str]:
    found = {path for pattern in PAGES for path in ROOT.glob(pattern)}
    return sorted(str(path.relative_to(ROOT)) for path in found)


@pytest.mark.parametrize("page", page_names())
def test_the_files_and_folders_that_a_page_names_exist(page: str) -> None:
    text = (ROOT / page).read_text()
    named = {*FILE.findall(text), *FOLDER.findall(text)}
    folders = (ROOT, ROOT / "pyvfio_user", (ROOT / page).parent, INCLUDE)
    ours = sorted(name for name in named if not name.startswith(FOREIGN))
    assert [n for n in ours if not any((folder / n).exists() for folder in folders)] == []


@pytest.mark.parametrize("page", page_names())
def test_the_links_of_a_page_resolve(page: str) -> None:
    links = LINK.findall((ROOT / page).read_text())
    local = {(ROOT / page).parent / link for link in links if "://" not in link}
    assert [path for path in local if not path.exists()] == []


@pytest.mark.parametrize("page", page_names())
def test_the_modules_that_a_page_names_exist(page: str) -> None:
    names = sorted(set(MODULE.findall((ROOT / page).read_text())))
    assert [name for name in names if not is_importable(name)] == []


def is_importable(name: str) -> bool:
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return importlib.util.find_spec(name) is not None
    return True


def test_the_functions_that_the_page_of_architecture_names_exist() -> None:
    text = (ROOT / "docs/explanation/architecture.md").read_text()
    code = "\n".join(path.read_text() for path in tracked("*.py", "*.c", "*.h"))
    names = sorted(set(FUNCTION.findall(text)))
    assert len(names) > 10
    assert [n for n in names if not re.search(rf"(def |[\w*] \*?){n}\(", code)] == []


def test_the_files_that_it_names_without_their_folder_exist() -> None:
    text = (ROOT / "docs/explanation/architecture.md").read_text()
    known = {path.name for path in tracked()}
    assert sorted(set(BARE.findall(text)) - known) == []


def test_the_diagram_of_the_rooms_has_the_arrows_that_imports_may_take() -> None:
    text = (ROOT / "docs/explanation/architecture.md").read_text()
    diagram = text.split("```mermaid\n")[1].split("```")[0]
    below: dict[str, set[str]] = {}
    for upper, lower in ARROW.findall(diagram):
        below.setdefault(upper, set()).add(lower)
    for room, allowed in test_rooms.ALLOWED.items():
        assert reached(room, below) == reached(room, test_rooms.ALLOWED), room
        assert allowed <= reached(room, below)
    assert {*below, *(room for rooms in below.values() for room in rooms)} == test_rooms.ROOMS


def reached(room: str, below: dict[str, set[str]]) -> set[str]:
    """All rooms under `room`."""
    found: set[str] = set()
    for lower in below.get(room, ()):
        found |= {lower} | reached(lower, below)
    return found


def test_the_tables_of_limits_are_those_of_the_code() -> None:
    page = PAGE.read_text()
    assert page == written(page), "python -m tests.support.limits_tables writes them"


def test_each_finding_about_another_program_has_a_report_and_a_test() -> None:
    folder = ROOT / "docs/upstream"
    rows = re.findall(
        r"(?m)^\| \[([\w-]+)\]\(([\w-]+\.md)#([\w-]+)\) ", (folder / "README.md").read_text()
    )
    assert all(name == anchor for name, _, anchor in rows)
    reports = {
        (name, page)
        for page in ("cxgb4.md", "libvfio-user.md", "readers.md")
        for name in re.findall(r"(?m)^## (\S+)$", (folder / page).read_text())
    }
    assert {(name, page) for name, page, _ in rows} == reports
    tests = "".join(path.read_text() for path in tracked("tests/interop/test_*.py"))
    assert [name for name, _ in sorted(reports) if f'"{name}"' not in tests] == []


def test_the_glossary_is_in_order() -> None:
    glossary = (ROOT / "docs/explanation/architecture.md").read_text().split("## Glossary")[1]
    words = re.findall(r"(?m)^\| (\w[^|]*?) \|", glossary)[1:]
    assert all(one.lower() < other.lower() for one, other in pairwise(words))


def test_the_list_of_pages_has_every_page_of_the_site() -> None:
    nav = (ROOT / "mkdocs.yml").read_text().split("nav:\n")[1].split("not_in_nav")[0]
    pages = {ROOT / page for page in re.findall(r"- (?:\w+: )?(docs/\S+\.md)", nav)}
    listed = {ROOT / "docs" / link for link in LINK.findall((ROOT / "docs/README.md").read_text())}
    assert len(pages) > 20
    of_a_list = {ROOT / "docs/README.md", *(ROOT / "docs/upstream").glob("*.md")}
    assert pages - listed - of_a_list == set()
