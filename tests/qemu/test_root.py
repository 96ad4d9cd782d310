"""What a guest can read of the host: chosen folders, copies of a few files, nothing else."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from cpio import read

from vmcoredd import debs
from vmcoredd.qemu import root
from vmcoredd.qemu.errors import GuestError
from vmcoredd.qemu.program import HostEnds, Machine, arguments
from vmcoredd.qemu.root import Mount, Root, check_folder, find_root
from vmcoredd.qemu.stock_kernel import StockKernel

ENDS = HostEnds(control=5, monitor=6, share=Path("/run/share"), console=7)
PRIVATE = ("shadow", "gshadow", "ssh", "ssl", "sudoers", "machine-id", "passwd", "hosts")


@pytest.fixture(autouse=True)
def nothing_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian's packages are not to be had; the tests with guests download them."""

    def refuse(*arguments: object, **options: object) -> Path:
        raise debs.Unavailable("Debian", "no network", "Connect it")

    monkeypatch.setattr(debs, "binaries", refuse)


def members(found: Root) -> dict[str, tuple[int, bytes]]:
    return read(found.archive())


def test_by_default_a_guest_reads_usr_and_what_belongs_to_it() -> None:
    shared = {mount.path for mount in find_root().mounts}
    assert Path("/usr") in shared
    assert shared <= {Path("/usr"), *root.BESIDE_USR}


@pytest.fixture
def beside_usr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host's folder that has `bin`, a link into `usr`, and `lib`, a folder of its own."""
    monkeypatch.setattr(root, "USR", tmp_path / "usr")
    monkeypatch.setattr(root, "BESIDE_USR", tuple(tmp_path / name for name in ("bin", "lib", "x")))
    for name in ("usr", "lib"):
        (tmp_path / name).mkdir()
    (tmp_path / "bin").symlink_to("usr/bin")
    return tmp_path


def test_a_folder_that_is_a_link_into_usr_is_a_link_in_the_guest(beside_usr: Path) -> None:
    found = find_root()
    assert set(found.shared) == {beside_usr / "lib", beside_usr / "usr"}
    mode, target = members(found)[f"{beside_usr}/bin"[1:]]
    assert (stat.S_ISLNK(mode), target) == (True, b"usr/bin")


def test_without_usr_there_is_no_link_into_it(beside_usr: Path) -> None:
    assert find_root([beside_usr / "lib"]).links == ()


def test_of_etc_a_guest_gets_copies_of_named_files_only() -> None:
    names = {name.split("/")[1] for name in members(find_root()) if name.startswith("etc/")}
    assert names <= {*root.COPIED, "passwd", "group", "hosts"}
    assert not set(root.COPIED) & set(PRIVATE)


def test_what_is_copied_from_etc_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(root, "ETC", tmp_path)
    for name in ("services", "ld.so.conf", "secret"):
        (tmp_path / name).write_text(name)
    found = find_root()
    copied = {name for name in members(found) if name.startswith(f"{tmp_path}/"[1:])}
    assert copied == {f"{tmp_path}/{name}"[1:] for name in ("services", "ld.so.conf")}
    told = f"it has copies of what all may read of these in {tmp_path}: ld.so.conf, services"
    assert told in found.described()


def test_without_usr_nothing_of_etc_is_copied(tmp_path: Path) -> None:
    found = find_root([tmp_path])
    own = {name for name in members(found) if name.startswith("etc/")}
    assert own == set(root.ACCOUNTS)
    assert not [line for line in found.described() if "/etc" in line]


def test_an_etc_that_is_shared_is_not_copied_too() -> None:
    assert find_root([root.USR, root.ETC]).etc == ()


def test_the_guests_accounts_are_its_own() -> None:
    found = members(find_root())
    users = [line.split(":")[0] for line in found["etc/passwd"][1].decode().splitlines()]
    assert users == ["root", "tcpdump", "nobody"]
    assert "etc/shadow" not in found


def test_a_file_that_not_everybody_may_read_is_not_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, mode in (("public", 0o644), ("secret", 0o600)):
        (tmp_path / name).write_text(name)
        (tmp_path / name).chmod(mode)
    copied = dict(root._copied(tmp_path))
    assert list(copied) == [f"{tmp_path}/public"[1:]]


def test_named_folders_replace_the_default(tmp_path: Path) -> None:
    found = find_root([tmp_path])
    assert [mount.path for mount in found.mounts] == [tmp_path]
    assert found.exports == (tmp_path,)
    assert f"the guest can read {tmp_path} of this machine" in found.described()


def test_with_no_folder_nothing_is_shared_copied_or_downloaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(debs, "binaries", lambda *packages, **options: asked.append(packages))
    found = find_root([])
    assert (asked, found) == ([], Root())
    assert found.exports == ()
    assert set(members(found)) - {"etc", "guest"} <= {*root.ACCOUNTS, "guest/mounts", "TRAILER!!!"}
    (line,) = found.described()
    assert line.startswith("the guest can read nothing of this machine; its commands are")


def test_a_linked_folder_is_shared_under_the_name_that_was_given(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    found = find_root([tmp_path / "link"])
    assert found.mounts == (Mount(tmp_path / "link", (tmp_path / "real",)),)
    assert f"{tmp_path}/link (which is {tmp_path}/real)" in found.described()[0]


@pytest.mark.parametrize(
    ("folder", "says"),
    [
        ("usr", "usr cannot be shared: name folders below / by their whole path"),
        ("/usr/../root", "/usr/../root cannot be shared: .*by their whole path"),
        ("/etc/passwd", "/etc/passwd cannot be shared: it is not a folder"),
        ("/none", "/none cannot be shared: it is not a folder"),
        ("/", "/ cannot be shared: it is all of this machine; name folders below /"),
        ("//", "// cannot be shared: it is all of this machine"),
        ("/proc/self/root", "/proc/self/root cannot be shared: it is all of this machine"),
        ("/proc", "/proc cannot be shared: the guest has its own /proc"),
        ("//dev/shm", "//dev/shm cannot be shared: the guest has its own /dev"),
        ("/a\nb", r"'/a\\nb' cannot be shared: its name has a NUL or a line break"),
        ("/usr\0", r"'/usr\\x00' cannot be shared: its name has a NUL or a line break"),
    ],
)
def test_what_cannot_be_shared_is_refused(folder: str, says: str) -> None:
    with pytest.raises(GuestError, match=f"^{says}"):
        check_folder(Path(folder))


def test_a_link_to_all_of_the_machine_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/")
    with pytest.raises(GuestError, match="link cannot be shared: it is all of this machine"):
        find_root([tmp_path / "link"])


def test_two_slashes_at_the_start_are_one() -> None:
    assert check_folder(Path("//usr")) == Path("/usr")


@pytest.mark.parametrize("name", [" a  b ", "a,b", "a'\"b", "a\\b", "a=b:c", b"a\xffb"])
def test_a_folder_of_any_other_name_can_be_shared(tmp_path: Path, name: str | bytes) -> None:
    folder = tmp_path / os.fsdecode(name)
    folder.mkdir()
    found = find_root([folder])
    line = members(found)["guest/mounts"][1]
    assert line == b"root0 " + os.fsencode(folder) + b"\n"
    words = arguments(Machine(Path("i"), Path("i"), exports=found.exports), ENDS, [])
    assert f",path={str(folder).replace(',', ',,')},security_model" in " ".join(words)


def test_more_folders_than_fit_are_refused_before_anything_is_prepared(tmp_path: Path) -> None:
    folders = [tmp_path / str(number) for number in range(6)]
    for folder in folders:
        folder.mkdir()
    assert len(find_root(folders[:5]).shared) == 5
    with pytest.raises(GuestError, match="6 folders are too many to share: at most 5"):
        find_root(folders)


def test_commands_that_nothing_supplies_are_told_with_their_packages(tmp_path: Path) -> None:
    found = find_root([tmp_path])
    assert found.missing == tuple(root.COMMANDS.values())
    (line,) = [line for line in found.described() if "lacks" in line]
    assert "iproute2, ethtool, iputils-ping, iperf3" in line
    assert "no network" in line


def test_commands_that_the_host_lacks_come_from_debians_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def unpack(packages: tuple[str, ...], **options: object) -> Path:
        asked.extend(packages)
        return tmp_path

    monkeypatch.setattr(debs, "binaries", unpack)
    monkeypatch.setitem(root.COMMANDS, "frobnicate", "frobnicator")
    found = find_root()
    assert "frobnicator" in asked
    assert "iproute2" not in asked or not Path("/usr/sbin/ip").exists()
    (usr,) = [mount for mount in found.mounts if mount.path == Path("/usr")]
    assert usr.folders == (Path("/usr"), tmp_path / "usr")
    (line,) = [line for line in found.described() if "Debian's packages add" in line]
    assert "frobnicator" in line


def test_the_guest_is_told_which_exports_a_path_shows() -> None:
    found = Root(
        mounts=(Mount(Path("/usr"), (Path("/a"), Path("/b"))), Mount(Path("/opt"), (Path("/c"),)))
    )
    assert found.exports == (Path("/a"), Path("/b"), Path("/c"))
    assert members(found)["guest/mounts"][1].decode() == "root0 root1 /usr\nroot2 /opt\n"


def test_more_folders_than_a_guest_has_room_for_are_refused() -> None:
    mounts = tuple(Mount(Path(f"/{number}"), (Path("/usr"),)) for number in range(8))
    with pytest.raises(GuestError, match="8 folders are too many to share: at most 7"):
        _ = Root(mounts=mounts).exports


def test_a_stock_kernels_modules_come_with_the_root_and_are_told(tmp_path: Path) -> None:
    (tmp_path / "release").write_text("9.9-amd64\n")
    kernel = StockKernel(tmp_path)
    found = Root().with_modules(kernel)
    assert found.mounts == (Mount(Path("/lib/modules/9.9-amd64"), (tmp_path / "modules",)),)
    assert "Debian's kernel 9.9-amd64 brings its modules" in found.described()
    assert found.with_modules(kernel) == found
