"""Finds this machine's Debian mirrors in its apt sources.

Reads both formats, one-line and deb822 (sources.list(5)), in `/etc/apt/sources.list` and in
`/etc/apt/sources.list.d`. This file itself contains no mirror's address.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .errors import Unavailable

ETC = Path("/etc")
ROLLING = frozenset({"oldstable", "stable", "testing", "unstable", "sid"})
REMEDY = "Name a Debian mirror in /etc/apt/sources.list.d (sources.list(5))"


@dataclass(frozen=True)
class Mirror:
    """A package archive: its address, and why apt trusts it."""

    uri: str
    signed_by: str | None = None  # a keyring's path, fingerprints, or a whole armoured key
    trusted: str | None = None

    def stanza(self, kind: str, suites: tuple[str, ...]) -> str:
        """Returns the deb822 stanza for `suites`, component main; `kind` is deb or deb-src."""
        lines = [
            f"Types: {kind}",
            f"URIs: {self.uri}",
            f"Suites: {' '.join(suites)}",
            "Components: main",
            f"Targets: {'Packages' if kind == 'deb' else 'Sources'}",
        ]
        if self.signed_by:
            lines.append(f"Signed-By: {self.signed_by}")
        if self.trusted:
            lines.append(f"Trusted: {self.trusted}")
        return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class AptSource:
    """One line or stanza of the machine's apt sources, without the fields not used here."""

    mirrors: tuple[Mirror, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]


def mirrors(etc: Path = ETC) -> list[Mirror]:
    """Returns the mirrors that may serve Debian itself, likeliest first, without duplicates.

    These are the binary sources of this machine's own suite, component main. A third party's
    archive may use the suite's name too, so sources that trust Debian's archive keyring come first.
    Only a mirror's Release file shows whether it is Debian's (`Apt.update` checks it).

    Raises Unavailable if the machine has none.
    """
    own = ROLLING | {codename(etc)}
    found = [
        mirror
        for source in apt_sources(etc / "apt")
        if own.intersection(source.suites) and "main" in source.components
        for mirror in source.mirrors
        if not mirror.uri.startswith("cdrom:")
    ]
    if not found:
        raise Unavailable("a Debian mirror", f"no apt source in {etc / 'apt'} serves it", REMEDY)
    found.sort(key=lambda mirror: "debian-archive" not in (mirror.signed_by or ""))
    return list(dict.fromkeys(found))


def codename(etc: Path = ETC) -> str:
    """Returns the suite in `/etc/os-release`, such as `bookworm`; empty if it names none."""
    try:
        text = (etc / "os-release").read_text()
    except FileNotFoundError:
        return ""
    found = re.search(r'(?m)^VERSION_CODENAME="?([\w-]+)', text)
    return found[1] if found else ""


def apt_sources(apt: Path) -> Iterator[AptSource]:
    """Yields all enabled binary sources under `apt` (/etc/apt), in apt's order."""
    files = [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]
    for file in files:
        if not file.is_file():
            continue
        text = file.read_text(errors="replace")
        if file.suffix == ".list":
            yield from one_line(text)
        elif file.suffix == ".sources":
            yield from deb822(text)


def one_line(text: str) -> Iterator[AptSource]:
    """Parses a file in one-line format: `deb [option=value ...] uri suite components`."""
    for line in text.splitlines():
        found = re.match(r"\s*deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<rest>[^#]+)", line)
        if not found:
            continue
        options = dict(
            word.split("=", 1) for word in shlex.split(found["options"] or "") if "=" in word
        )
        uri, *rest = found["rest"].split()
        if rest:
            mirror = Mirror(_copied(uri), options.get("signed-by"), options.get("trusted"))
            yield AptSource((mirror,), (rest[0],), tuple(rest[1:]))


def deb822(text: str) -> Iterator[AptSource]:
    """Yields the enabled binary sources of a file in deb822 format."""
    text = re.sub(r"(?m)^#.*\n?", "", text)
    for stanza in re.split(r"\n[ \t]*\n", text):
        fields = {
            name.lower(): value.strip()
            for name, value in re.findall(r"(?m)^([\w-]+):(.*(?:\n[ \t].*)*)", stanza)
        }
        enabled = fields.get("enabled", "yes").lower() not in ("no", "false", "0", "off")
        if not enabled or "deb" not in fields.get("types", "").split():
            continue
        signed_by, trusted = fields.get("signed-by"), fields.get("trusted")
        yield AptSource(
            tuple(
                Mirror(_copied(uri), signed_by, trusted) for uri in fields.get("uris", "").split()
            ),
            tuple(fields.get("suites", "").split()),
            tuple(fields.get("components", "").split()),
        )


def _copied(uri: str) -> str:
    """Returns `uri` with `copy:` for `file:`, whose packages apt would not copy to its cache."""
    return f"copy:{uri.removeprefix('file:')}" if uri.startswith("file:") else uri
