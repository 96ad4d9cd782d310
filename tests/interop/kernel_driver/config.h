/* The kernel configuration for the driver, as Kconfig would generate it for a small user-mode
 * kernel with device dumps: one CPU, no preemption, no debugging. */

/* the user-mode architecture on x86-64 */
#define CONFIG_UML 1
#define CONFIG_X86 1
#define CONFIG_X86_64 1
#define CONFIG_64BIT 1
#define CONFIG_CPU_LITTLE_ENDIAN 1
#define CONFIG_MMU 1
#define CONFIG_FLATMEM 1
#define CONFIG_PAGE_SHIFT 12
#define CONFIG_PGTABLE_LEVELS 3
#define CONFIG_3_LEVEL_PGTABLES 1
#define CONFIG_NR_CPUS 1
#define CONFIG_HZ 250
#define CONFIG_KERNEL_STACK_ORDER 10 /* 4 MiB: the card's code also runs on this stack */
#define CONFIG_ILLEGAL_POINTER_VALUE 0xdead000000000000
#define CONFIG_BASE_SMALL 0
#define CONFIG_TINY_RCU 1
#define CONFIG_TINY_SRCU 1
#define CONFIG_SLUB 1
#define CONFIG_MODULES 1
#define CONFIG_PRINTK 1
#define CONFIG_PROC_FS 1
#define CONFIG_SYSFS 1
#define CONFIG_CC_HAS_INT128 1

/* accesses: readl() is a function, so it can call the card */
#define CONFIG_HAS_IOMEM 1
#define CONFIG_INDIRECT_IOMEM 1
#define CONFIG_GENERIC_IOMAP 1
#define CONFIG_HAS_DMA 1
#define CONFIG_ARCH_DMA_ADDR_T_64BIT 1
#define CONFIG_PHYS_ADDR_T_64BIT 1
#define CONFIG_NEED_DMA_MAP_STATE 1
#define CONFIG_PCI 1
#define CONFIG_PCI_MSI 1
#define CONFIG_PCI_QUIRKS 1 /* one of them gives the card's VPD its length */
#define CONFIG_GENERIC_HARDIRQS 1

/* the code under test */
#define CONFIG_CRASH_DUMP 1
#define CONFIG_PROC_VMCORE 1
#define CONFIG_PROC_VMCORE_DEVICE_DUMP 1
#define CONFIG_CHELSIO_T4 1
#define CONFIG_ZLIB_DEFLATE 1
#define CONFIG_FW_LOADER 1
#define CONFIG_MDIO 1

/* networking that distributions enable and the driver checks for */
#define CONFIG_NET 1
#define CONFIG_INET 1
#define CONFIG_IPV6 1
#define CONFIG_NETDEVICES 1
#define CONFIG_ETHERNET 1
#define CONFIG_VLAN_8021Q 1
#define CONFIG_XPS 1
#define CONFIG_BQL 1
#define CONFIG_PTP_1588_CLOCK 1
#define CONFIG_THERMAL 1
