"""The Debian packages that `make deb` builds: their fields and files, and how they install.

They are built once, and installed into a Debian 12 and a Debian 13 that hold nothing but what the
packages depend on. No chroot has a network.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from checkout import ROOT

from vmcoredd.debs import chroot, libvfio_user, package
from vmcoredd.debs.apt import architecture

CAN_MOUNT = ("unshare", "--mount", "--net", "--pid", "--fork", "mount", "-t", "tmpfs", "t", "/mnt")
pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(
        os.geteuid() != 0 or subprocess.run(CAN_MOUNT, capture_output=True, check=False).returncode,
        reason="packages are tried in chroots: needs root, and a machine that lets it mount",
    ),
]
SUITES = ("bookworm", "trixie")
OURS = ("python3-pyvfio-user", "vmcoredd")
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


@dataclass(frozen=True)
class Package:
    """A `.deb` file, as dpkg-deb shows it."""

    file: Path
    files: Path
    """The folder where it is unpacked."""

    def field(self, name: str) -> str:
        return told("dpkg-deb", "--field", self.file, name).strip()

    @property
    def depends(self) -> list[str]:
        """The names of the packages that it depends on."""
        return [re.split(r"[ :(|]", one)[0] for one in self.field("Depends").split(", ")]

    @property
    def paths(self) -> set[str]:
        """Of files and links, relative to the root."""
        every = [path for path in self.files.rglob("*") if path.is_symlink() or not path.is_dir()]
        return {str(path.relative_to(self.files)) for path in every}


def told(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory, progress) -> Path:
    """What `make deb` puts into build/deb. lintian's errors and warnings make it fail."""
    folder = tmp_path_factory.mktemp("deb")
    package.build(folder, progress)
    return folder


@pytest.fixture(scope="module")
def built(output: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Package]:
    """The binary packages by name, Debian's typer among them."""
    packages = {}
    for file in output.glob("*.deb"):
        folder = tmp_path_factory.mktemp("unpacked")
        told("dpkg-deb", "--extract", file, folder)
        packages[file.name.split("_")[0]] = Package(file, folder)
    return packages


def test_the_changelog_has_the_projects_version() -> None:
    source, _ = package.newest_entry()
    assert source == f"vmcoredd_{VERSION}"
    other = tomllib.loads((ROOT / "pyvfio_user/pyproject.toml").read_text())["project"]
    assert other["version"] == VERSION


def test_the_packages_need_the_versions_that_the_project_needs() -> None:
    needs = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    control = (ROOT / "debian/control").read_text()
    for need in needs:
        name, version = need.split(">=")
        if name != "cffi":  # by the version of its interface, from dh_python3
            assert f"\n python3-{name} (>= {version}),\n" in control


def test_the_packages_have_their_fields(built: dict[str, Package]) -> None:
    assert {*built} == {*OURS, "python3-typer"}
    for name in OURS:
        assert built[name].field("Version") == f"{VERSION}-1"
        assert built[name].field("Architecture") == architecture()
        assert "python3:any (>= 3.11" in built[name].field("Depends")
        assert "python3-cffi-backend-api-max" in built[name].depends
    assert "libjson-c5" in built["python3-pyvfio-user"].depends
    needed = {"python3-pyvfio-user", "python3-jinja2", "python3-rich", "python3-typer"}
    assert needed <= {*built["vmcoredd"].depends}


def test_the_packages_hold_their_files(built: dict[str, Package]) -> None:
    python = "usr/lib/python3/dist-packages"
    assert {
        "usr/bin/vmcoredd",
        f"{python}/vmcoredd/emu/_cffi.abi3.so",
        f"{python}/vmcoredd/chip/registers/t6.csv",
        f"{python}/vmcoredd/qemu/inside/init",
        "usr/share/bash-completion/completions/vmcoredd",
        "usr/share/doc/vmcoredd/examples/kdump/vmcoredd-findings",
        "usr/share/man/man1/vmcoredd.1.gz",
        "usr/share/zsh/vendor-completions/_vmcoredd",
    } <= built["vmcoredd"].paths
    assert f"{python}/pyvfio_user/_server.abi3.so" in built["python3-pyvfio-user"].paths
    tops = {name: {path.split("/")[0] for path in built[name].paths} for name in OURS}
    assert tops == {name: {"usr"} for name in OURS}
    for name in OURS:
        assert not [path for path in built[name].paths if path.endswith((".pyc", ".c.orig"))]
        outside = {path for path in built[name].paths if path.startswith(python)}
        modules = {path.removeprefix(f"{python}/").split("/")[0] for path in outside}
        own = name.removeprefix("python3-").replace("-", "_")
        assert modules == {own, f"{own}-{VERSION}.dist-info"}


def test_the_packages_hold_the_licences_of_what_is_compiled_into_them(
    built: dict[str, Package],
) -> None:
    name = "python3-pyvfio-user"
    text = (built[name].files / "usr/share/doc" / name / "copyright").read_text()
    words = " ".join(text.replace("\n .\n", "\n").split())
    own = (libvfio_user.obtain().source / "LICENSE").read_text()
    assert "Files: libvfio-user/subprojects/libvfio-user/*" in text
    assert " ".join(own[own.index("Redistribution") :].split()) in words
    assert " ".join((ROOT / "LICENSE").read_text().split("\n\n", 2)[2].split()) in words


def test_no_file_names_the_place_of_its_build(built: dict[str, Package]) -> None:
    for name in OURS:
        for path in built[name].paths:
            content = (built[name].files / path).read_bytes()
            assert b"/shared/source" not in content, path
            assert str(ROOT).encode() not in content, path


def test_the_source_package_holds_the_library(output: Path) -> None:
    """What is built from it downloads nothing: the chroot of the build has no network."""
    archive = output / f"vmcoredd_{VERSION}.orig-libvfio-user.tar.xz"
    listed = told("tar", "-tf", archive).splitlines()
    assert "libvfio-user/subprojects/libvfio-user/lib/tran.h" in listed
    assert archive.name in (output / f"vmcoredd_{VERSION}-1.dsc").read_text()


@pytest.mark.skipif(
    os.environ.get("VMCOREDD_THOROUGH") != "1", reason="thorough (VMCOREDD_THOROUGH=1)"
)
def test_the_source_package_builds_on_debian_13(tmp_path: Path, progress) -> None:
    package.build(tmp_path, progress, suite="trixie")
    assert {file.name.split("_")[0] for file in tmp_path.glob("*.deb")} >= {*OURS}


INSTALL = r"""
KEPT='/\(work\|proc\|tmp\|var/cache\|var/lib/apt\|var/lib/dpkg\|var/log\)'
files() { find / -xdev -regex "$KEPT" -prune -o -print | sort; }
as_user() { setpriv --reuid=1000 --regid=1000 --clear-groups env HOME=/home/someone "$@"; }
cd /shared/debs
useradd --create-home --uid 1000 someone
files >/var/log/before
echo "== install"
apt-get install --quiet --yes ./*.deb
echo "== version"
as_user vmcoredd --version
echo "== complete"
bash -c '. /usr/share/bash-completion/completions/vmcoredd; COMP_WORDS=(vmcoredd em); COMP_CWORD=1
    _vmcoredd_completion vmcoredd; echo ${COMPREPLY[@]}'
echo "== smoke"
as_user sh /shared/smoke
echo "== demo"
as_user sh -c 'cd /tmp; vmcoredd demo'
echo "== again"
dpkg --install ./*.deb
as_user vmcoredd --version
echo "== purge"
dpkg --purge $(for file in ./*.deb; do dpkg-deb --field $file Package; done)
echo "== left"
files | diff /var/log/before - || true
"""


@pytest.fixture(scope="module", params=SUITES)
def said(
    request: pytest.FixtureRequest,
    built: dict[str, Package],
    tmp_path_factory: pytest.TempPathFactory,
    progress,
) -> dict[str, str]:
    """What each part of `INSTALL` said in a Debian with what the packages depend on."""
    used = OURS if request.param != package.SUITE else {*built}
    needs = {need for name in used for need in built[name].depends} - {*used}
    base = chroot.make(request.param, [*needs, "binutils"], progress)
    folder = tmp_path_factory.mktemp("install")
    (folder / "debs").mkdir()
    for name in used:
        shutil.copy(built[name].file, folder / "debs")
    (folder / "smoke").write_text((ROOT / "debian/tests/smoke").read_text())
    folder.chmod(0o755)
    done = chroot.run(base, INSTALL, shared=folder, user=0)
    assert done.returncode == 0, done.stdout[-3000:]
    parts = re.split(r"(?m)^== (\w+)\n", done.stdout)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_an_installed_package_tells_its_version(said: dict[str, str]) -> None:
    assert said["version"].startswith(f"vmcoredd {VERSION}, libvfio-user 0.0.1 (")
    assert "Debian qemu " in said["version"]
    assert said["complete"] == "emulate\n"


def test_an_ordinary_user_serves_dumps_and_reads(said: dict[str, str]) -> None:
    assert "vfio-user 0.1 at card.sock" in said["smoke"]  # pyvfio_user probe
    assert "cxgb4_0000:00:02.0" in said["smoke"]
    assert "fatal    firmware-crash" in said["smoke"]
    assert "readelf -n vmcore.out" in said["demo"]
    assert "0x02000fec" in said["demo"]


def test_a_package_installs_over_itself(said: dict[str, str]) -> None:
    assert said["again"].endswith(said["version"])


def test_nothing_is_left_of_a_purged_package(said: dict[str, str]) -> None:
    assert said["left"] == ""
