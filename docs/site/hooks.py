"""What `mkdocs.yml` cannot say: which files of the repository are pages, and what is made at build.

A page's path in the site is its path in the repository, so a link that works in a checkout, or on
a forge, works in the site. A link to a file or folder that is no page gets a page that shows it.

`<!-- site: NAME WORDS -->` in a page is replaced by Markdown that the function NAME of `made` makes
of the words.
"""

from __future__ import annotations

import posixpath
import re
import subprocess
from pathlib import Path
from typing import Any

import made
import mmdr
from made import registers
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page
from pygments.lexers import find_lexer_class_for_filename

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "pyvfio_user/README.md",
    "pyvfio_user/docs/*.md",
    "tests/interop/kernel_driver/README.md",
)
"""Pages that are not in docs/."""
MADE = re.compile(r"(?m)^<!-- site: (\w+)((?: [\w.-]+)*) -->$")
LINK = re.compile(r"(?<=\]\()([^)#\s:]+)(?=[)#])")
"""The path of a link, which no scheme precedes."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Draws diagrams when the site is built: the theme's own way loads a program from afar."""
    fence = {"name": "mermaid", "class": "diagram", "format": _diagram}
    config.mdx_configs.setdefault("pymdownx.superfences", {})["custom_fences"] = [fence]
    return config


def _diagram(source: str, *_: Any, **__: Any) -> str:
    return f'<div class="diagram">{mmdr.render(source).svg()}</div>'


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Gives all files their paths in the repository, and adds those that are not in docs/."""
    moved = Files([])
    for file in files:
        if file.src_dir != config.docs_dir:
            moved.append(file)
        elif file.inclusion is not InclusionLevel.EXCLUDED:
            moved.append(_file(config, ROOT / "docs" / file.src_uri))
    for pattern in OUTSIDE:
        for path in sorted(ROOT.glob(pattern)):
            moved.append(_file(config, path))
    for path in sorted(_shown(moved)):
        moved.append(_showing(config, path))
    moved.append(File.generated(config, registers.SCRIPT, content=registers.script()))
    return moved


def _file(config: MkDocsConfig, path: Path) -> File:
    return File.generated(config, _uri(path), abs_src_path=str(path))


def _uri(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _shown(files: Files) -> set[Path]:
    """Returns the files and folders that a page links to and that are no files of the site."""
    found: set[Path] = set()
    for file in files.documentation_pages():
        for link in LINK.findall(Path(file.abs_src_path or "").read_text()):
            path = ROOT / posixpath.normpath(f"{posixpath.dirname(file.src_uri)}/{link}")
            if path.exists() and not files.get_file_from_path(_uri(path)):
                found |= {path, *(_contents(path) if path.is_dir() else ())}
    return {path for path in found if not (path / "README.md").exists()}


def _contents(folder: Path) -> list[Path]:
    """Returns the files that git has in a folder: tests leave others there."""
    command = ["git", "ls-files", "--full-name", str(folder)]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.splitlines()]


def _showing(config: MkDocsConfig, path: Path) -> File:
    """Returns the page that shows a file, or the files of a folder."""
    if path.is_dir():
        names = sorted(str(inside.relative_to(path)) for inside in _contents(path))
        text = f"# {_uri(path)}/\n\n" + "".join(f"- [{name}]({name})\n" for name in names)
        return _unlisted(config, f"{_uri(path)}/README.md", text)
    lexer = find_lexer_class_for_filename(path.name)
    language = lexer.aliases[0] if lexer else "text"
    text = f"# {_uri(path)}\n\n````{language}\n{path.read_text()}````\n"
    return _unlisted(config, f"{_uri(path)}.md", text)


def _unlisted(config: MkDocsConfig, uri: str, text: str) -> File:
    return File.generated(config, uri, content=text, inclusion=InclusionLevel.NOT_IN_NAV)


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fills in what is made, and leads links to the pages that show what they name."""

    def target(link: re.Match[str]) -> str:
        folder = posixpath.dirname(page.file.src_uri)
        for ending in ("", ".md", "/README.md"):
            if files.get_file_from_path(posixpath.normpath(f"{folder}/{link[0]}{ending}")):
                return link[0].rstrip("/") + ending
        return link[0]

    text = MADE.sub(_made, markdown)
    if "\n## " not in text:  # no table of contents: the page has its room
        page.meta["hide"] = ["toc"]
    return LINK.sub(target, text)


def _made(marker: re.Match[str]) -> str:
    maker = made.MAKERS.get(marker[1])
    if maker is None:
        raise PluginError(f"{marker[0]}: there are {', '.join(made.MAKERS)}")
    return maker(*marker[2].split())
