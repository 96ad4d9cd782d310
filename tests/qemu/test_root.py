"""What a guest can read of the host: chosen folders, copies of a few files, nothing else."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cpio import read

from vmcoredd import debs
from vmcoredd.qemu import root
from vmcoredd.qemu.errors import GuestError
from vmcoredd.qemu.root import Mount, Root, check_folder, find_root
from vmcoredd.qemu.stock_kernel import StockKernel

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


def test_a_folder_that_is_a_link_into_usr_is_a_link_in_the_guest(tmp_path: Path) -> None:
    found = members(find_root())
    for path in root.BESIDE_USR:
        if path.is_symlink():
            mode, target = found[str(path)[1:]]
            assert stat.S_ISLNK(mode)
            assert target.decode() == str(path.readlink())


def test_of_etc_a_guest_gets_copies_of_named_files_only() -> None:
    names = {name.split("/")[1] for name in members(find_root()) if name.startswith("etc/")}
    assert names <= {*root.COPIED, "passwd", "group", "hosts"}
    assert not set(root.COPIED) & set(PRIVATE)


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


def test_no_folder_at_all_can_be_shared() -> None:
    found = find_root([])
    assert found.exports == ()
    assert found.described()[0] == "the guest can read no folder of this machine"


def test_a_linked_folder_is_shared_under_the_name_that_was_given(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (mount,) = find_root([tmp_path / "link"]).mounts
    assert mount == Mount(tmp_path / "link", (tmp_path / "real",))


@pytest.mark.parametrize(
    ("folder", "says"),
    [
        ("/", "name folders below / by their whole path"),
        ("usr", "by their whole path"),
        ("/usr/../root", "by their whole path"),
        ("/etc/passwd", "it is not a folder"),
        ("/none", "it is not a folder"),
    ],
)
def test_what_cannot_be_shared_is_refused(folder: str, says: str) -> None:
    with pytest.raises(GuestError, match=f"{folder} cannot be shared: .*{says}"):
        check_folder(Path(folder))


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
    assert "frobnicator" in found.described()[1]


def test_the_guest_is_told_which_exports_a_path_shows() -> None:
    found = Root(
        mounts=(Mount(Path("/usr"), (Path("/a"), Path("/b"))), Mount(Path("/opt"), (Path("/c"),)))
    )
    assert found.exports == (Path("/a"), Path("/b"), Path("/c"))
    assert members(found)["guest/mounts"][1].decode() == "/usr root0 root1\n/opt root2\n"


def test_more_folders_than_a_guest_has_room_for_are_refused() -> None:
    mounts = tuple(Mount(Path(f"/{number}"), (Path("/usr"),)) for number in range(8))
    with pytest.raises(GuestError, match="8 folders are too many to share: at most 7"):
        _ = Root(mounts=mounts).exports


def test_a_stock_kernels_modules_come_with_the_root(tmp_path: Path) -> None:
    (tmp_path / "release").write_text("9.9-amd64\n")
    (mount,) = Root().with_modules(StockKernel(tmp_path)).mounts
    assert mount == Mount(Path("/lib/modules/9.9-amd64"), (tmp_path / "modules",))
