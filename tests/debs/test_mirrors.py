"""The machine's apt sources, in both formats."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmcoredd.debs import Unavailable, codename
from vmcoredd.debs.mirrors import Mirror, mirrors

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    (tmp_path / "apt/sources.list.d").mkdir(parents=True)
    (tmp_path / "os-release").write_text('ID=debian\nVERSION_CODENAME=bookworm\nNAME="Debian"\n')
    return tmp_path


def write(etc: Path, name: str, text: str) -> None:
    (etc / "apt" / name).write_text(text)


def test_the_machines_suite_is_read(etc: Path) -> None:
    assert codename(etc) == "bookworm"


def test_a_machine_may_name_no_suite(etc: Path) -> None:
    (etc / "os-release").unlink()
    assert codename(etc) == ""


def test_the_one_line_format_is_read(etc: Path) -> None:
    write(etc, "sources.list", "deb http://mirror/debian bookworm main contrib # ours\n")
    assert mirrors(etc) == [Mirror("http://mirror/debian")]


def test_options_of_the_one_line_format_are_kept(etc: Path) -> None:
    line = f"deb [ arch=amd64 signed-by={KEYRING} trusted=yes ] http://mirror/debian bookworm main"
    write(etc, "sources.list.d/debian.list", line)
    assert mirrors(etc) == [Mirror("http://mirror/debian", KEYRING, "yes")]


def test_the_deb822_format_is_read_with_comments_inside(etc: Path) -> None:
    write(
        etc,
        "sources.list.d/debian.sources",
        f"""Types: deb deb-src
# a comment
URIs: http://one/debian http://two/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: {KEYRING}

Types: deb
URIs: http://one/security
Suites: bookworm-security
Components: main
""",
    )
    assert mirrors(etc) == [
        Mirror("http://one/debian", KEYRING),
        Mirror("http://two/debian", KEYRING),
    ]


def test_an_embedded_key_is_passed_on(etc: Path) -> None:
    write(
        etc,
        "sources.list.d/debian.sources",
        "Types: deb\nURIs: http://mirror/debian\nSuites: bookworm\nComponents: main\n"
        "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abcd\n",
    )
    (mirror,) = mirrors(etc)
    stanza = mirror.stanza("deb", ("trixie", "trixie-backports"))
    assert "Signed-By: -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abcd\n" in stanza
    assert "Suites: trixie trixie-backports\n" in stanza


@pytest.mark.parametrize(
    "text",
    [
        "# deb http://mirror/debian bookworm main",
        "deb-src http://mirror/debian bookworm main",
        "deb http://mirror/debian bookworm-backports main",
        "deb http://mirror/debian bookworm contrib",
        "deb http://mirror/debian bookworm",
        "deb http://mirror/debian",
        "deb cdrom:[Debian 12]/ bookworm main",
        "",
    ],
)
def test_other_lines_are_not_sources_of_the_machines_suite(etc: Path, text: str) -> None:
    write(etc, "sources.list", text)
    with pytest.raises(Unavailable, match=r"no apt source"):
        mirrors(etc)


def test_a_disabled_source_is_ignored(etc: Path) -> None:
    write(
        etc,
        "sources.list.d/debian.sources",
        "Enabled: no\nTypes: deb\nURIs: http://mirror/debian\nSuites: bookworm\nComponents: main\n",
    )
    with pytest.raises(Unavailable):
        mirrors(etc)


def test_files_with_other_suffixes_are_not_read(etc: Path) -> None:
    write(etc, "sources.list.d/debian.list.disabled", "deb http://mirror/debian bookworm main")
    with pytest.raises(Unavailable):
        mirrors(etc)


def test_a_machine_without_apt_sources_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        mirrors(tmp_path)


def test_sources_that_trust_debians_keyring_come_first(etc: Path) -> None:
    write(etc, "sources.list", "deb http://third-party/debian bookworm main\n")
    write(
        etc,
        "sources.list.d/z.list",
        f"deb [signed-by={KEYRING}] http://mirror/debian bookworm main\n",
    )
    assert [mirror.uri for mirror in mirrors(etc)] == [
        "http://mirror/debian",
        "http://third-party/debian",
    ]


def test_a_mirror_named_twice_is_returned_once(etc: Path) -> None:
    write(etc, "sources.list", 2 * "deb http://mirror/debian bookworm main\n")
    assert len(mirrors(etc)) == 1


def test_a_suite_may_be_named_by_its_role(etc: Path) -> None:
    write(etc, "sources.list", "deb http://mirror/debian stable main\n")
    assert len(mirrors(etc)) == 1


def test_packages_of_a_mirror_on_a_disk_are_copied(etc: Path) -> None:
    """With a `file:` source, apt leaves the packages on the mirror and none to unpack."""
    write(etc, "sources.list", "deb file:/srv/debian bookworm main\n")
    assert mirrors(etc) == [Mirror("copy:/srv/debian")]
