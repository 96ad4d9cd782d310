"""The registry: each check, number and error of vmcore_add_device_dump()."""

from __future__ import annotations

import errno
import logging
import os
import resource
import struct
import threading

import pytest
from vmcore_files import closing_all, limited, refused_with

from vmcoredd import vmcore
from vmcoredd.vmcore.errors import CallbackFailed, DumpRefused

CXGB4 = 0x2000ED8  # requested by the cxgb4 driver: headers and 32 MiB


@pytest.fixture
def dumps():
    registry = vmcore.DeviceDumps()
    yield registry
    registry.close()


def nothing(payload):
    return 0


def test_a_dump_of_32_mib_has_the_published_numbers(dumps):
    dump = dumps.add_device_dump("cxgb4_0000:00:02.0", CXGB4, nothing)
    assert dump.size == 0x2001000
    assert bytes(dump.buffer[:12]) == struct.pack("<III", 8, 0x2000FEC, 0x700)
    assert bytes(dump.buffer[12:20]) == b"LINUX\0\0\0"
    assert bytes(dump.buffer[20:64]) == b"cxgb4_0000:00:02.0".ljust(44, b"\0")


@pytest.mark.parametrize(
    ("asked", "buffer"), [(1, 4096), (4032, 4096), (4033, 8192), (8128, 8192), (8129, 12288)]
)
def test_header_and_payload_are_rounded_up_to_pages(dumps, asked, buffer):
    dump = dumps.add_device_dump("d", asked, nothing)
    assert dump.size == buffer
    assert struct.unpack_from("<I", dump.buffer, 4) == (buffer - 20,)


def test_the_callback_gets_a_zeroed_writable_buffer_of_the_requested_size(dumps):
    seen = []

    def fill(payload):
        seen.append((len(payload), payload.readonly, any(payload)))
        payload[:] = b"\xa5" * len(payload)

    dump = dumps.add_device_dump("d", 5000, fill)
    assert seen == [(5000, False, False)]
    assert bytes(dump.buffer[64:]) == b"\xa5" * 5000 + bytes(8192 - 64 - 5000)
    assert dump.payload == b"\xa5" * 5000


def test_the_header_is_written_before_the_callback_runs(dumps):
    """The kernel's order: a callback's data are never overwritten."""
    taken = []

    class Registry(vmcore.DeviceDumps):
        def _write_header(self, memory, name):
            super()._write_header(memory, name)
            taken.append("header")

    registry = Registry()
    registry.add_device_dump("d", 1, lambda payload: taken.append("callback"))
    assert taken == ["header", "callback"]
    registry.close()


def test_only_written_pages_use_memory(dumps):
    def touch(payload):
        payload[0] = payload[-1] = 1

    dump = dumps.add_device_dump("d", 1 << 30, touch)
    assert os.stat(dump.fileno()).st_blocks * 512 <= 3 * 4096


@pytest.mark.parametrize(
    ("name", "size", "callback"),
    [
        ("", 1, nothing),
        (b"", 1, nothing),
        ("\0after", 1, nothing),
        ("d", 1, None),
        ("d", 0, nothing),
        ("d", -1, nothing),
        ("d", 1 << 32, nothing),
        ("n" * 45, 1, nothing),
    ],
)
def test_arguments_that_the_kernel_refuses_are_einval(dumps, name, size, callback):
    with pytest.raises(DumpRefused) as refusal:
        dumps.add_device_dump(name, size, callback)
    assert refusal.value.errno == errno.EINVAL
    assert dumps.dumps == ()


def test_a_name_of_44_bytes_fills_its_field_without_a_nul(dumps):
    dump = dumps.add_device_dump("n" * 44, 1, nothing)
    assert bytes(dump.buffer[20:64]) == b"n" * 44


def test_a_name_ends_at_its_nul_but_its_bytes_are_all_copied(dumps):
    dump = dumps.add_device_dump(b"short\0rest", 1, nothing)
    assert dump.name == "short"
    assert bytes(dump.buffer[20:30]) == b"short\0rest"


def test_the_last_size_that_n_descsz_can_hold_and_the_first_that_overflows_it(dumps):
    last = dumps.add_device_dump("d", 0xFFFFFFC0, nothing)
    assert last.size == 1 << 32
    assert struct.unpack_from("<I", last.buffer, 4) == (0xFFFFFFEC,)
    over = dumps.add_device_dump("d", 0xFFFFFFC1, nothing)
    assert over.size == (1 << 32) + 4096
    assert struct.unpack_from("<I", over.buffer, 4) == (0xFEC,)


def test_novmcoredd_is_einval_and_logged_once(caplog):
    registry = vmcore.DeviceDumps(enabled=False)
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            with pytest.raises(DumpRefused, match="novmcoredd") as refusal:
                registry.add_device_dump("d", 1, nothing)
    assert refusal.value.errno == errno.EINVAL
    assert [record.message for record in caplog.records] == ["Device dump is disabled"]


def test_novmcoredd_is_checked_before_the_arguments():
    with pytest.raises(DumpRefused, match="novmcoredd"):
        vmcore.DeviceDumps(enabled=False).add_device_dump("", 0, None)


def test_a_kernel_without_the_option_returns_eopnotsupp_first():
    with pytest.raises(DumpRefused) as refusal:
        vmcore.DeviceDumps(enabled=False, built_in=False).add_device_dump("", 0, None)
    assert refusal.value.errno == errno.EOPNOTSUPP


def test_no_memory_is_enomem_and_adds_nothing(dumps):
    with limited(resource.RLIMIT_AS, 64 << 20), refused_with(errno.ENOMEM):
        dumps.add_device_dump("d", 1 << 30, nothing)
    assert dumps.dumps == ()


@pytest.mark.parametrize("code", [-5, -110, 1])
def test_a_callbacks_return_value_is_passed_on_unchanged(dumps, code):
    with pytest.raises(CallbackFailed) as failure:
        dumps.add_device_dump("d", 1, lambda payload: code)
    assert failure.value.returned == code
    assert dumps.dumps == ()


def test_a_callbacks_exception_is_passed_on_unchanged(dumps):
    error = OSError(errno.EIO, "the device is gone")

    def fail(payload):
        raise error

    with pytest.raises(OSError, match="gone") as caught:
        dumps.add_device_dump("d", 1, fail)
    assert caught.value is error
    assert dumps.dumps == ()


def test_a_failed_callbacks_buffer_is_freed(dumps):
    with closing_all():
        for _ in range(3):
            with pytest.raises(CallbackFailed):
                dumps.add_device_dump("d", 1 << 20, lambda payload: -5)


def test_a_failing_callback_may_keep_its_view(dumps):
    kept = []

    def fail(payload):
        kept.append(payload)
        return -5

    with pytest.raises(CallbackFailed):
        dumps.add_device_dump("d", 100, fail)
    kept[0][0] = 1
    assert kept[0][0] == 1


def test_dumps_are_in_the_order_in_which_their_callbacks_returned(dumps):
    first_may_go = threading.Event()

    def slow(payload):
        first_may_go.wait(10)

    thread = threading.Thread(target=dumps.add_device_dump, args=("slow", 1, slow))
    thread.start()
    dumps.add_device_dump("quick", 1, nothing)
    first_may_go.set()
    thread.join()
    assert [dump.name for dump in dumps.dumps] == ["quick", "slow"]


def test_sixteen_concurrent_dumps_are_all_added(dumps):
    def fill(number):
        dumps.add_device_dump(f"d{number}", 4096, lambda payload: payload.__setitem__(0, number))

    threads = [threading.Thread(target=fill, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted((dump.name, dump.payload[0]) for dump in dumps.dumps) == sorted(
        (f"d{number}", number) for number in range(16)
    )
    assert list(dumps.image.extents)[16].end == dumps.image.headers_size + 16 * 8192


def test_a_dump_outlives_its_driver(dumps):
    class Driver:
        def collect(self, payload):
            payload[:4] = b"dump"

    driver = Driver()
    dump = dumps.add_device_dump("d", 4, driver.collect)
    del driver
    assert dump.payload == b"dump"


def test_a_big_endian_context_gets_big_endian_note_headers():
    core = vmcore.ElfCore(vmcore.elf.ELF64_BE, [], [])
    dump = vmcore.DeviceDumps(core).add_device_dump("d", 1, nothing)
    assert bytes(dump.buffer[:12]) == struct.pack(">III", 8, 4076, 0x700)


def test_after_close_the_vmcore_has_no_dumps(dumps):
    size = dumps.image.size
    dumps.add_device_dump("d", 1, nothing)
    dumps.close()
    assert dumps.dumps == ()
    assert dumps.image.size == size
