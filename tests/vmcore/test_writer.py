"""Writing complete files, with and without a base."""

from __future__ import annotations

import errno
import os
import resource
import signal
import struct
import subprocess
import sys
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vmcore_files import (
    PAGE,
    Elf,
    Load,
    dump_note,
    limited,
    prstatus,
    refused_with,
    vmcoreinfo,
)

from vmcoredd import vmcore
from vmcoredd.vmcore.errors import OutputExists, OutputUnsuitable, VmcoreFormatError

MIB = 1 << 20
MEMORY = bytes(range(256)) * 64
NOTES = [prstatus(), vmcoreinfo()]


def registry(base=None, **dumps):
    made = vmcore.DeviceDumps(base)
    for name, data in dumps.items():
        made.add_device_dump(name, len(data), filler(data))
    return made


def filler(data):
    def fill(payload):
        payload[:] = data

    return fill


@pytest.fixture
def base_of(tmp_path):
    """A core opened on a file of these bytes."""

    def make(made):
        path = tmp_path / "base"
        path.write_bytes(bytes(made))
        return vmcore.ElfCore.open(path)

    return make


def parse(data, bits=64, order="<"):
    """(e_phoff, e_shoff, e_shnum, program headers as dicts) by `struct` alone."""
    if bits == 64:
        phoff, shoff = struct.unpack_from(order + "QQ", data, 32)
        phnum, _, shnum = struct.unpack_from(order + "HHH", data, 56)
        shape, names = "IIQQQQQQ", ("type", "flags", "at", "vaddr", "paddr", "filesz", "memsz")
    else:
        phoff, shoff = struct.unpack_from(order + "II", data, 28)
        phnum, _, shnum = struct.unpack_from(order + "HHH", data, 44)
        shape, names = "8I", ("type", "at", "vaddr", "paddr", "filesz", "memsz", "flags")
    size = struct.calcsize(order + shape)
    rows = [struct.unpack_from(order + shape, data, phoff + n * size) for n in range(phnum)]
    return phoff, shoff, shnum, [dict(zip(names, row, strict=False)) for row in rows]


def memory(data, header):
    return data[header["at"] : header["at"] + header["filesz"]]


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("order", ["<", ">"])
def test_base_and_dumps_are_merged_in_every_class_and_byte_order(tmp_path, base_of, bits, order):
    loads = [Load(0x100000, MEMORY), Load(0x200010, b"partial", memsz=0x3000, vaddr=0x7000)]
    base = base_of(Elf([prstatus(order), vmcoreinfo(order=order)], loads, bits, order))
    vmcore.write(tmp_path / "out", registry(base, a=b"first", b=b"second"))
    data = (tmp_path / "out").read_bytes()
    phoff, shoff, shnum, headers = parse(data, bits, order)
    assert (phoff, shoff, shnum) == ({32: 52, 64: 64}[bits], 0, 0)
    assert [header["type"] for header in headers] == [4, 1, 1]
    first = dump_note(b"a", b"first".ljust(PAGE - 64, b"\0"), order)
    second = dump_note(b"b", b"second".ljust(PAGE - 64, b"\0"), order)
    expected = first + second + prstatus(order) + vmcoreinfo(order=order)
    assert memory(data, headers[0]) == expected
    assert [memory(data, header) for header in headers[1:]] == [MEMORY, b"partial"]
    assert [h["at"] % PAGE for h in headers] == [0, 0, 0x10]
    assert (headers[2]["paddr"], headers[2]["memsz"]) == (0x200010, 0x3000)


def test_a_written_file_equals_a_copy_of_proc_vmcore(tmp_path, base_of):
    dumps = registry(base_of(Elf(NOTES, [Load(0x100000, MEMORY)])), a=b"x" * 9000)
    size = vmcore.write(tmp_path / "out", dumps)
    proc = vmcore.ProcVmcore(dumps)
    assert (tmp_path / "out").read_bytes() == proc.open().read()
    assert size == proc.size


def test_qemus_core_gets_its_table_after_the_elf_header(tmp_path, base_of):
    """As by dump-guest-memory: table at 192 after a section header, data off page boundaries."""
    loads = [Load(0, MEMORY), Load(0x100000000, MEMORY[::-1])]
    base = base_of(Elf([prstatus()], loads, phoff=192, xnum=True, align=1))
    vmcore.write(tmp_path / "out", registry(base, a=b"dump"))
    data = (tmp_path / "out").read_bytes()
    phoff, shoff, shnum, headers = parse(data)
    assert (phoff, shoff, shnum, len(headers)) == (64, 0, 0, 3)
    assert all(header["at"] % PAGE == 0 for header in headers)
    assert [memory(data, header) for header in headers[1:]] == [MEMORY, MEMORY[::-1]]


def test_only_memory_stored_in_the_base_is_written(tmp_path, base_of):
    loads = [Load(0, b"x" * PAGE, memsz=1 << 40), Load(1 << 41, b"", memsz=1 << 40)]
    dumps = registry(base_of(Elf([], loads)))
    assert vmcore.write(tmp_path / "out", dumps) == 2 * PAGE
    headers = parse((tmp_path / "out").read_bytes())[3]
    assert [(h["filesz"], h["memsz"]) for h in headers[1:]] == [(PAGE, 1 << 40), (0, 1 << 40)]


def test_a_vmcore_can_be_the_base_of_the_next(tmp_path):
    vmcore.write(tmp_path / "one", registry(a=b"first"))
    with vmcore.ElfCore.open(tmp_path / "one") as base:
        vmcore.write(tmp_path / "two", registry(base, b=b"second"))
    names = [n.name for n in vmcore.Reader(tmp_path / "two").device_dumps]
    assert names == ["b", "a"]
    assert vmcore.Reader(tmp_path / "two").payload(1)[:5] == b"first"


def test_a_base_given_to_write_replaces_that_of_the_dumps(tmp_path, base_of):
    dumps = registry(a=b"dump")
    vmcore.write(tmp_path / "out", dumps, base=base_of(Elf([prstatus()])))
    assert [n.owner for n in vmcore.Reader(tmp_path / "out").notes] == ["LINUX", "CORE"]


def test_a_base_of_the_other_byte_order_is_refused(tmp_path, base_of):
    with pytest.raises(VmcoreFormatError, match="need little-endian as the device dumps, have big"):
        vmcore.write(tmp_path / "out", registry(), base=base_of(Elf([prstatus(">")], order=">")))


def test_the_output_may_replace_its_base(tmp_path, base_of):
    base = base_of(Elf(NOTES, [Load(0x100000, MEMORY)]))
    vmcore.write(tmp_path / "base", registry(base, a=b"dump"), force=True)
    data = (tmp_path / "base").read_bytes()
    assert memory(data, parse(data)[3][1]) == MEMORY


def test_more_memory_segments_than_e_phnum_holds_are_written_and_read_back(tmp_path):
    loads = [vmcore.Load(n << 12, 0, 1, 0, None) for n in range(0xFFFF)]
    base = vmcore.ElfCore(vmcore.elf.ELF64, [], loads)
    vmcore.write(tmp_path / "out", registry(base, a=b"dump"))
    with vmcore.ElfCore.open(tmp_path / "out") as again:
        assert [load.paddr for load in again.loads] == [load.paddr for load in loads]
    assert len(vmcore.Reader(tmp_path / "out").notes) == 1


def test_untouched_pages_of_a_dump_are_holes(tmp_path):
    dumps = vmcore.DeviceDumps()
    dumps.add_device_dump("a", 64 * MIB, lambda view: view.__setitem__(32 * MIB, 1))
    vmcore.write(tmp_path / "out", dumps)
    assert (tmp_path / "out").stat().st_blocks * 512 < MIB
    assert vmcore.Reader(tmp_path / "out").payload(0)[32 * MIB] == 1


def test_a_sparse_base_stays_sparse(tmp_path):
    path = tmp_path / "base"
    path.write_bytes(bytes(Elf([], [Load(0, b"start")])))
    with path.open("r+b") as file:
        file.truncate(1 << 32)
        head = bytearray(file.read(PAGE))
        struct.pack_into("<QQ", head, 64 + 32, (1 << 32) - PAGE, (1 << 32) - PAGE)
        os.pwrite(file.fileno(), head, 0)
        os.pwrite(file.fileno(), b"end", (1 << 32) - 3)
    with vmcore.ElfCore.open(path) as base:
        vmcore.write(tmp_path / "out", registry(base, a=b"dump"))
    out = tmp_path / "out"
    assert out.stat().st_blocks * 512 < MIB
    with out.open("rb") as file:
        assert os.pread(file.fileno(), 3, out.stat().st_size - 3) == b"end"


def test_progress_grows_up_to_the_size(tmp_path, base_of):
    told = []
    dumps = registry(base_of(Elf(NOTES, [Load(0, MEMORY)])), a=b"dump")
    size = vmcore.write(tmp_path / "out", dumps, progress=lambda *at: told.append(at))
    assert {total for _, total in told} == {size}
    assert told == sorted(told)
    assert told[-1][0] == size


def test_no_byte_of_base_or_dumps_passes_through_the_process(tmp_path, base_of, monkeypatch):
    dumps = registry(base_of(Elf(NOTES, [Load(0, MEMORY)])), a=b"dump")

    def refuse(*arguments):
        raise AssertionError("read in the process")

    for name in ("read", "pread", "preadv", "readv", "write", "pwrite"):
        monkeypatch.setattr(os, name, refuse)
    vmcore.write(tmp_path / "out", dumps)


# A base with any of its bytes changed.

_BASE = bytes(Elf([prstatus()], [Load(0x1000, b"x" * 5000), Load(1 << 33, b"y")], align=64))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=8),
    end=st.one_of(st.none(), st.integers(0, len(_BASE))),
)
def test_any_base_makes_a_vmcore_or_raises_a_format_error(tmp_path, base_of, changes, end):
    data = bytearray(_BASE)
    for at, value in changes:
        data[at] = value
    try:
        base = base_of(data[:end])
        dumps = registry(base, a=b"dump")
        vmcore.ProcVmcore(dumps).open().pread(3 * PAGE, 0)
        vmcore.write(tmp_path / "out", dumps, force=True)
    except VmcoreFormatError as error:
        assert str(error)  # noqa: PT017 - either outcome is right
        return
    with vmcore.Reader(tmp_path / "out") as reader:
        assert reader.notes[0].name == "a"
        assert reader.damage == () or vmcore.Reader(tmp_path / "base").damage != ()


# Failures.


def test_an_existing_file_is_refused_unless_forced(tmp_path):
    (tmp_path / "out").write_bytes(b"old")
    with pytest.raises(OutputExists):
        vmcore.write(tmp_path / "out", registry())
    assert (tmp_path / "out").read_bytes() == b"old"
    vmcore.write(tmp_path / "out", registry(), force=True)
    assert (tmp_path / "out").read_bytes()[:4] == b"\x7fELF"


def test_a_directory_as_output_is_refused(tmp_path):
    with pytest.raises(OutputUnsuitable):
        vmcore.write(tmp_path, registry(), force=True)


def test_a_pipe_gets_the_same_bytes_as_a_file(tmp_path, base_of):
    base = base_of(Elf(NOTES, [Load(0, MEMORY * 64)]))
    vmcore.write(tmp_path / "file", registry(), base=base)
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE) as reader:
        writer = threading.Thread(
            target=vmcore.write, args=(tmp_path / "pipe", registry()), kwargs={"base": base}
        )
        writer.start()
        assert reader.stdout.read() == (tmp_path / "file").read_bytes()
        writer.join()


def test_a_base_that_shrinks_while_it_is_copied_leaves_no_output(tmp_path, base_of):
    base = base_of(Elf(NOTES, [Load(0, MEMORY * 64)]))
    os.truncate(tmp_path / "base", 3 * PAGE)
    with pytest.raises(VmcoreFormatError, match="became shorter"):
        vmcore.write(tmp_path / "out", registry(base, a=b"dump"))
    assert os.listdir(tmp_path) == ["base"]


def test_a_full_file_leaves_nothing_under_the_final_name(tmp_path):
    """RLIMIT_FSIZE acts as a full disk, without privileges."""
    dumps = registry(a=b"x" * (2 * MIB))
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with limited(resource.RLIMIT_FSIZE, MIB), refused_with(errno.EFBIG):
            vmcore.write(tmp_path / "out", dumps)
    finally:
        signal.signal(signal.SIGXFSZ, previous)
    assert os.listdir(tmp_path) == []


FILL = """
import errno, os, sys\nfrom vmcoredd import vmcore
dumps = vmcore.DeviceDumps()
dumps.add_device_dump("a", 2 << 20, lambda view: view.__setitem__(slice(None), b"x" * len(view)))
try:
    vmcore.write(sys.argv[1] + "/out", dumps)
except OSError as error:
    print(errno.errorcode[error.errno], os.listdir(sys.argv[1]))
"""


def test_a_full_disk_leaves_nothing_under_the_final_name(tmp_path):
    """A file system of 1 MiB, mounted as an unprivileged user can."""
    script = 'mount -t tmpfs -o size=1m none "$1" || exit 77; exec "$2" -c "$3" "$1"'
    arguments = [script, "sh", str(tmp_path), sys.executable, FILL]
    unshare = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    done = subprocess.run([*unshare, *arguments], capture_output=True, text=True, check=False)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    assert (done.stdout, done.stderr) == ("ENOSPC []\n", "")


def test_an_interrupt_leaves_nothing(tmp_path):
    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        vmcore.write(tmp_path / "out", registry(a=b"dump"), progress=interrupt)
    assert os.listdir(tmp_path) == []
