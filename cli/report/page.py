"""Makes the page: one file, with its style, its script and its data in it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Any

from vmcoredd.cli.output import visible
from vmcoredd.cli.report.content import DIFFERENCES_MOST, Content, entity_rows
from vmcoredd.plural import counted


def page(
    contents: Sequence[Content], excerpts: Sequence[dict[str, list[str]]], about: dict[str, Any]
) -> str:
    """Returns the HTML of the report.

    Everything that comes from a dump is escaped by the template engine, and the page's policy
    allows no script and no style but its own, by their hashes, and no access to any network.
    """
    script = part("page.js")
    return rendered(
        "page.html.j2",
        part("page.css"),
        dumps=[
            {"content": content, "entities": entity_rows(content, excerpt)}
            for content, excerpt in zip(contents, excerpts, strict=True)
        ],
        script=script,
        script_hash=_hash(script),
        most=DIFFERENCES_MOST,
        **about,
    )


def rendered(template: str, style: str, **values: Any) -> str:
    """Returns the HTML of a template with its style; text is escaped, control characters too."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: visible(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["counted"] = counted
    made = environment.from_string(part(template))
    return made.render(style=style, style_hash=_hash(style), **values)


def part(name: str) -> str:
    """Returns the text of a file of this folder."""
    return resources.files("vmcoredd.cli.report").joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
