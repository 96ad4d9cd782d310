"""Layouts of messages: in C as in Python, and as the kernel's headers have them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from kernel_headers import DRIVER, Header, header

from tests.interop.kernel_driver.source import kernel_source
from vmcoredd.chip import generate
from vmcoredd.chip.layout import BigStruct, sizeof
from vmcoredd.chip.message_layouts import LAYOUTS, Filter, FilterNat

MACROS = {
    "WR": ("FW_WR_", {"immdlen": None}),
    "TX_PKT": ("TXPKT_", {}),
    "LSO": ("LSO_", {"xfer_size": "LSO_T5_XFER_SIZE"}),
    "TNL_LSO": ("CPL_TX_TNL_LSO_", {"tnllsosize": "CPL_TX_TNL_LSO_SIZE"}),
    "FLOWC_WR": ("FW_WR_", {"nparams": "FW_FLOWC_WR_NPARAMS"}),
    "FW4_ACK": ("CPL_FW4_ACK_", {"flowid": "CPL_FW4_ACK_FLOWID"}),
    "FILTER_WR": ("FW_FILTER_WR_", {}),
    "FILTER_NAT": ("FW_FILTER2_WR_", {}),
    "L2T_WRITE_REQ": ("L2T_W_", {"qid": "TID_QID", "index": "TID_TID"}),
    "SMT_WRITE_REQ": ("SMTW_", {"qid": "TID_QID", "index": "TID_TID"}),
    "SET_TCB_FIELD": ("", {"word": "TCB_WORD", "cookie": "TCB_COOKIE"}),
    "RX_PKT": ("RXF_", {"chan": "RX_CHAN", "macidx": "RX_MACIDX", "tcphdr_len": "RX_TCPHDR_LEN",
                        "iphdr_len": "RX_IPHDR_LEN", "ethhdr_len": "RX_T6_ETHHDR_LEN"}),
    "EGR_UPDATE": ("EGR_", {}),
    "RSP": ("RSPD_", {}),
}  # fmt: skip
"""Of each layout: how the names of Linux's macros begin, and those of fields that differ."""
STRUCTS = {
    "ETH_WR": "fw_eth_tx_pkt_wr",
    "VM_WR": "fw_eth_tx_pkt_vm_wr",
    "EO_WR": "fw_eth_tx_eo_wr",
    "FILTER_WR": "fw_filter_wr",
    "FLOWC_WR": "fw_flowc_wr",
    "FLOWC_PARAM": "fw_flowc_mnemval",
    "SGL": "ulptx_sgl",
    "SGL_PAIR": "ulptx_sge_pair",
    "ULP_TXPKT": "ulp_txpkt",
    "IDATA": "ulptx_idata",
    "TX_PKT": "cpl_tx_pkt_core",
    "LSO": "cpl_tx_pkt_lso_core",
    "TNL_LSO": "cpl_tx_tnl_lso",
    "SET_TCB_FIELD": "cpl_set_tcb_field_core",
    "SET_TCB_RPL": "cpl_set_tcb_rpl",
    "WRITE_RPL": "cpl_l2t_write_rpl",
    "EGR_UPDATE": "cpl_sge_egr_update",
    "FW4_ACK": "cpl_fw4_ack",
    "FW6_MSG": "cpl_fw6_msg",
    "RSS": "rss_header",
}
"""Layouts and the structures of t4_msg.h and t4fw_api.h that they are."""
TYPES = (
    "typedef uint8_t u8, __u8; typedef uint16_t __be16; typedef uint32_t __be32, u32, __u32;"
    "typedef uint64_t __be64, u64, __u64; typedef u8 bool;"
)


@pytest.fixture(scope="module")
def kernel() -> Header:
    found = Header()
    for name in ("t4_msg.h", "t4fw_api.h", "t4_values.h"):
        each = header(kernel_source() / DRIVER / name)
        found.fields.update(each.fields)
    return found


def masks(layout: type[BigStruct]) -> dict[str, int]:
    return {name: mask for name, _, _, mask in layout.places()}


@pytest.mark.interop
@pytest.mark.parametrize("name", MACROS)
def test_fields_have_the_bits_that_linux_gives_them(kernel: Header, name: str) -> None:
    prefix, others = MACROS[name]
    compared = 0
    for field, mask in masks(LAYOUTS[name]).items():
        macro = kernel.fields.get(others.get(field, f"{prefix}{field.upper()}") or "")
        if macro is None:
            continue
        shift = (mask & -mask).bit_length() - 1
        assert shift == macro.shift, field
        if macro.width:
            assert mask.bit_count() == macro.width, field
        compared += 1
    assert compared >= len(others) or compared >= 2


@pytest.mark.interop
def test_a_compiler_finds_messages_as_long_as_linux_has_them(tmp_path: Path) -> None:
    wanted = {f"sizeof(struct {theirs})": sizeof(LAYOUTS[ours]) for ours, theirs in STRUCTS.items()}
    wanted["sizeof(struct fw_filter2_wr)"] = sizeof(Filter) + sizeof(FilterNat)
    text = "".join(
        re.sub(r"#include.*", "", (kernel_source() / DRIVER / name).read_text())
        for name in ("t4_msg.h", "t4fw_api.h")
    )
    checks = "\n".join(f'_Static_assert({what} == {size}, "");' for what, size in wanted.items())
    source = tmp_path / "sizes.c"
    prelude = (
        "#include <stdint.h>\n"
        f"{TYPES}\n"
        "#define __LITTLE_ENDIAN_BITFIELD\n#define BIT(x) (1UL << (x))\n"
        "#define struct_group(name, ...) __VA_ARGS__\n#define ETH_ALEN 6\n"
        "#define __packed __attribute__((packed))\n"
    )
    source.write_text(prelude + text + checks)
    subprocess.run(["cc", "-std=gnu11", "-fsyntax-only", str(source)], check=True)


def test_the_header_says_where_python_puts_a_field() -> None:
    text = generate.messages_header()
    for name, layout in LAYOUTS.items():
        for field, offset, size, mask in layout.places():
            line = rf"#define {name}_{field.upper()} {offset}, {size}, 0x0*{mask:x}\n"
            assert re.search(line, text)
            made = layout()
            if isinstance(getattr(made, field), int):
                setattr(made, field, mask >> (mask & -mask).bit_length() - 1)
                assert int.from_bytes(bytes(made)[offset : offset + size], "big") == mask


def test_fields_of_a_message_do_not_overlap() -> None:
    for layout in LAYOUTS.values():
        taken = 0
        for _, offset, size, mask in layout.places():
            bits = mask << 8 * (sizeof(layout) - offset - size)
            assert not taken & bits
            taken |= bits
