"""Packages from a small archive on this disk, which apt itself reads."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from vmcoredd import debs
from vmcoredd.debs import Unavailable
from vmcoredd.debs.apt import architecture
from vmcoredd.debs.mirrors import Mirror

SUITE = "trixie"


class Archive:
    """A Debian archive to be filled and published: one suite, component main."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.packages: list[str] = []
        self.sources: list[str] = []
        (root / "pool").mkdir(parents=True)

    def add(self, name: str, version: str, files: dict[str, str], depends: str = "") -> Path:
        """Adds a binary package with files of the given text."""
        tree = self.root / "trees" / name
        control = f"Package: {name}\nVersion: {version}\nArchitecture: all\n"
        control += "Maintainer: nobody <nobody@example.org>\nDescription: a test\n"
        control += f"Depends: {depends}\n" if depends else ""
        for path, text in {**files, "DEBIAN/control": control}.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_text(text)
        deb = self.root / "pool" / f"{name}_{version.replace(':', '%3a')}_all.deb"
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-b", tree, deb], check=True, capture_output=True
        )
        self.packages.append(control + describe(deb, f"pool/{deb.name}"))
        return deb

    def add_source(self, name: str, version: str, files: dict[str, str]) -> Path:
        """Adds a source package (3.0) whose upstream archive has files of the given text."""
        upstream = version.split(":")[-1].rsplit("-", 1)[0]
        original = self.root / "pool" / f"{name}_{upstream}.orig.tar.xz"
        with tarfile.open(original, "w:xz") as tar:
            for path, text in files.items():
                member = tarfile.TarInfo(f"{name}-{upstream}/{path}")
                member.size = len(text)
                tar.addfile(member, io.BytesIO(text.encode()))
        dsc = self.root / "pool" / f"{name}_{version.split(':')[-1]}.dsc"
        head = f"Format: 3.0 (quilt)\nSource: {name}\nVersion: {version}\n"
        dsc.write_text(head + "Checksums-Sha256:\n " + listed(original))
        self.sources.append(
            f"Package: {name}\nFormat: 3.0 (quilt)\nVersion: {version}\nDirectory: pool\n"
            f"Checksums-Sha256:\n {listed(dsc)} {listed(original)}"
        )
        return original

    def publish(self, origin: str = "Debian") -> None:
        """Writes the indexes and the Release file."""
        base = self.root / "dists" / SUITE
        indexes = {
            f"main/binary-{architecture()}/Packages": self.packages,
            "main/binary-all/Packages": [],
            "main/source/Sources": self.sources,
        }
        for name, entries in indexes.items():
            (base / name).parent.mkdir(parents=True, exist_ok=True)
            (base / name).write_text("\n".join(entries))
        sums = "".join(f" {listed(base / name, name)}" for name in indexes)
        (base / "Release").write_text(
            f"Origin: {origin}\nSuite: {SUITE}\nCodename: {SUITE}\nComponents: main\n"
            f"Architectures: all {architecture()}\nDate: Thu, 01 Jan 2026 00:00:00 UTC\n"
            f"SHA256:\n{sums}"
        )


def listed(path: Path, name: str = "") -> str:
    data = path.read_bytes()
    return f"{hashlib.sha256(data).hexdigest()} {len(data)} {name or path.name}\n"


def describe(path: Path, name: str) -> str:
    data = path.read_bytes()
    return f"Filename: {name}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n"


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Archive:
    """An archive that this machine uses as its mirror, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    mirror = Mirror(f"copy:{tmp_path / 'archive'}", trusted="yes")
    monkeypatch.setattr(debs.mirrors, "mirrors", lambda: [mirror])
    return Archive(tmp_path / "archive")


def test_a_package_and_its_dependencies_are_unpacked(archive: Archive) -> None:
    archive.add("tool", "1:2.0-1", {"usr/bin/tool": "program"}, depends="library (>= 1)")
    archive.add("library", "1.5", {"usr/lib/library": "code"})
    archive.add("unrelated", "1", {"usr/bin/unrelated": ""})
    archive.publish()
    steps: list[str] = []
    root = debs.binaries(
        ["tool"], suites=[SUITE], name="tools", progress=lambda what, _: steps.append(what)
    )
    assert (root / "bin/tool").read_text() == "program"
    assert (root / "lib/library").read_text() == "code"
    assert not (root / "usr/bin/unrelated").exists()
    assert debs.manifest(root) == {"tool": "1:2.0-1", "library": "1.5"}
    assert {"downloading tool", "unpacking"} <= set(steps)


def test_dependencies_can_be_left_out(archive: Archive) -> None:
    archive.add("tool", "1", {"usr/bin/tool": ""}, depends="library")
    archive.publish()
    root = debs.binaries(["tool"], suites=[SUITE], name="tool", dependencies=False)
    assert list(debs.manifest(root)) == ["tool"]


def test_files_in_unmerged_folders_are_moved_to_usr(archive: Archive) -> None:
    archive.add("old", "1", {"lib/old": "kept together"})
    archive.publish()
    root = debs.binaries(["old"], suites=[SUITE], name="old")
    assert (root / "usr/lib/old").read_text() == "kept together"


def test_a_root_is_built_once(archive: Archive) -> None:
    archive.add("tool", "1", {"usr/bin/tool": ""})
    archive.publish()
    root = debs.binaries(["tool"], suites=[SUITE], name="tool")
    archive.add("tool", "2", {"usr/bin/tool": ""})
    archive.publish()
    assert debs.binaries(["tool"], suites=[SUITE], name="tool") == root
    assert debs.manifest(root) == {"tool": "1"}
    assert sorted(os.listdir(root.parent)) == [f".{root.name}.lock", root.name]


def test_an_unknown_package_is_an_error(archive: Archive) -> None:
    archive.add("tool", "1", {"usr/bin/tool": ""})
    archive.publish()
    with pytest.raises(Unavailable, match=r"Unable to locate package nothing"):
        debs.binaries(["nothing"], suites=[SUITE], name="nothing")


def test_a_modified_package_is_not_unpacked(archive: Archive) -> None:
    deb = archive.add("tool", "1", {"usr/bin/tool": ""})
    archive.publish()
    deb.write_bytes(deb.read_bytes()[:-1] + b"x")
    with pytest.raises(Unavailable, match=r"Hash Sum mismatch|Failed to fetch"):
        debs.binaries(["tool"], suites=[SUITE], name="tool")


def test_an_archive_of_another_origin_is_refused(archive: Archive) -> None:
    archive.add("tool", "1", {"usr/bin/tool": ""})
    archive.publish(origin="Someone else")
    with pytest.raises(Unavailable, match=r"not Debian's"):
        debs.binaries(["tool"], suites=[SUITE], name="tool")


def test_an_archive_without_the_suite_is_an_error(archive: Archive) -> None:
    archive.publish()
    with pytest.raises(Unavailable, match=r"sid"):
        debs.binaries(["tool"], suites=["sid"], name="tool")


def test_the_next_mirror_is_tried_if_one_fails(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.add("tool", "1", {"usr/bin/tool": ""})
    archive.publish()
    names = ("nothing there", "archive")
    several = [Mirror(f"copy:{tmp_path / name}".replace(" ", "-"), trusted="yes") for name in names]
    monkeypatch.setattr(debs.mirrors, "mirrors", lambda: several)
    assert (debs.binaries(["tool"], suites=[SUITE], name="tool") / "usr/bin/tool").exists()


def test_a_source_package_is_unpacked(archive: Archive) -> None:
    archive.add_source("tree", "1:2.0+ds-1", {"README": "read me", "part/file": "in part"})
    archive.publish()
    root = debs.source("tree", suites=[SUITE])
    assert (root / "README").read_text() == "read me"
    assert (root / "part/file").read_text() == "in part"
    assert debs.manifest(root) == {"tree": "1:2.0+ds-1"}


def test_parts_of_a_source_package_can_be_unpacked_alone(archive: Archive) -> None:
    files = {"README": "", "part/file": "in part", "partial": "", "other/part/file": ""}
    archive.add_source("tree", "1-1", files)
    archive.publish()
    root = debs.source("tree", suites=[SUITE], only=["part"])
    assert [str(path.relative_to(root)) for path in root.rglob("*/*")] == ["part/file"]


def test_a_part_that_is_not_in_the_source_is_an_error(archive: Archive) -> None:
    archive.add_source("tree", "1-1", {"README": ""})
    archive.publish()
    with pytest.raises(Unavailable, match=r"none of tree 1-1"):
        debs.source("tree", suites=[SUITE], only=["none"])


def test_the_next_suite_is_tried_for_a_source(archive: Archive) -> None:
    archive.add_source("tree", "1-1", {"README": ""})
    archive.publish()
    assert (debs.source("tree", suites=["sid", SUITE]) / "README").exists()


def test_a_source_in_no_suite_is_an_error_with_every_reason(archive: Archive) -> None:
    archive.add_source("tree", "1-1", {"README": ""})
    archive.publish()
    with pytest.raises(Unavailable, match=r"sid: .*; trixie: Unable to find a source package"):
        debs.source("nothing", suites=["sid", SUITE])


def test_a_modified_source_is_not_unpacked(archive: Archive) -> None:
    original = archive.add_source("tree", "1-1", {"README": ""})
    archive.publish()
    original.write_bytes(original.read_bytes()[:-1] + b"x")
    with pytest.raises(Unavailable):
        debs.source("tree", suites=[SUITE])
