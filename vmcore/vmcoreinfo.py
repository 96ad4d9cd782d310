"""The VMCOREINFO text of the default crash context, as kernel/crash_core.c of 4.17 writes it.

Names and order are that kernel's on x86_64 with SPARSEMEM_EXTREME. The values are those of a
fictitious build and agree with the memory that `vmcore.default` creates.
"""

from __future__ import annotations

RELEASE = "4.17.0-rc3-vmcoredd"

TEXT = 0xFFFFFFFF81000000  # KERNEL_MAP + 16 MiB, the link address on x86_64
DIRECT_MAP = 0xFFFF888000000000  # __PAGE_OFFSET_BASE_L4
KERNEL_MAP = 0xFFFFFFFF80000000  # __START_KERNEL_map
SYMBOLS = {
    "init_uts_ns": TEXT + 0x100000,
    "node_online_map": TEXT + 0x101000,
    "swapper_pg_dir": TEXT + 0x102000,
    "_stext": TEXT,
    "vmap_area_list": TEXT + 0x101400,
    "mem_section": DIRECT_MAP + 0x1108000,  # the address of the array, which is allocated at boot
    "log_buf": TEXT + 0x101900,
    "log_buf_len": TEXT + 0x101908,
    "log_first_idx": TEXT + 0x10190C,
    "clear_idx": TEXT + 0x101910,
    "log_next_idx": TEXT + 0x101914,
    "init_top_pgt": TEXT + 0x102000,
    "node_data": TEXT + 0x101A00,
}

_LINES = """
OSRELEASE={release}
PAGESIZE=4096
SYMBOL(init_uts_ns)
SYMBOL(node_online_map)
SYMBOL(swapper_pg_dir)
SYMBOL(_stext)
SYMBOL(vmap_area_list)
SYMBOL(mem_section)
LENGTH(mem_section)=2048
SIZE(mem_section)=16
OFFSET(mem_section.section_mem_map)=0
SIZE(page)=64
SIZE(pglist_data)=172864
SIZE(zone)=1664
SIZE(free_area)=88
SIZE(list_head)=16
SIZE(nodemask_t)=128
OFFSET(page.flags)=0
OFFSET(page._refcount)=28
OFFSET(page.mapping)=8
OFFSET(page.lru)=32
OFFSET(page._mapcount)=24
OFFSET(page.private)=48
OFFSET(page.compound_dtor)=40
OFFSET(page.compound_order)=44
OFFSET(page.compound_head)=32
OFFSET(pglist_data.node_zones)=0
OFFSET(pglist_data.nr_zones)=172224
OFFSET(pglist_data.node_start_pfn)=172232
OFFSET(pglist_data.node_spanned_pages)=172248
OFFSET(pglist_data.node_id)=172256
OFFSET(zone.free_area)=192
OFFSET(zone.vm_stat)=1472
OFFSET(zone.spanned_pages)=120
OFFSET(free_area.free_list)=0
OFFSET(list_head.next)=0
OFFSET(list_head.prev)=8
OFFSET(vmap_area.va_start)=0
OFFSET(vmap_area.list)=48
LENGTH(zone.free_area)=11
SYMBOL(log_buf)
SYMBOL(log_buf_len)
SYMBOL(log_first_idx)
SYMBOL(clear_idx)
SYMBOL(log_next_idx)
SIZE(printk_log)=16
OFFSET(printk_log.ts_nsec)=0
OFFSET(printk_log.len)=8
OFFSET(printk_log.text_len)=10
OFFSET(printk_log.dict_len)=12
LENGTH(free_area.free_list)=5
NUMBER(NR_FREE_PAGES)=0
NUMBER(PG_lru)=5
NUMBER(PG_private)=12
NUMBER(PG_swapcache)=10
NUMBER(PG_slab)=8
NUMBER(PG_hwpoison)=22
NUMBER(PG_head_mask)=32768
NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-129
NUMBER(HUGETLB_PAGE_DTOR)=2
NUMBER(phys_base)=0
SYMBOL(init_top_pgt)
NUMBER(pgtable_l5_enabled)=0
SYMBOL(node_data)
LENGTH(node_data)=1024
KERNELOFFSET=0
NUMBER(KERNEL_IMAGE_SIZE)=1073741824
CRASHTIME=1525254436
"""


def vmcoreinfo() -> bytes:
    """Returns the text, the note's descriptor: one `KEY=value` per line."""
    lines = (_symbol(line) for line in _LINES.format(release=RELEASE).split())
    return "".join(f"{line}\n" for line in lines).encode()


def _symbol(line: str) -> str:
    if not line.startswith("SYMBOL("):
        return line
    return f"{line}={SYMBOLS[line[7:-1]]:x}"
