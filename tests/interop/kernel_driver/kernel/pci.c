/* One PCI function with the card's configuration space. The kernel's access.c and vpd.c make the
 * accesses and handle VPD and its quirks; this file provides what they need. */
#include <linux/interrupt.h>

#include "kernel.h"
#include "drivers/pci/pci.h"

/* The driver's function is PF4, so the name of its dump ends in .4. */
#define WITNESS_SLOT "0000:01:00.4"
#define WITNESS_DEVFN PCI_DEVFN(0, 4)
#define WITNESS_VECTORS 64

extern const struct pci_fixup witness_fixups[], witness_fixups_end[]; /* fixups.ld */

struct pci_driver *witness_driver;

static int config_read(struct pci_bus *bus, unsigned int devfn, int where, int size, u32 *value)
{
    *value = 0;
    return witness_config(where, value, size, 0) ? PCIBIOS_DEVICE_NOT_FOUND : PCIBIOS_SUCCESSFUL;
}

static int config_write(struct pci_bus *bus, unsigned int devfn, int where, int size, u32 value)
{
    return witness_config(where, &value, size, 1) ? PCIBIOS_SET_FAILED : PCIBIOS_SUCCESSFUL;
}

static struct pci_ops config_ops = {.read = config_read, .write = config_write};
static struct pci_bus bus = {.ops = &config_ops};

u8 pci_find_capability(struct pci_dev *dev, int id)
{
    u8 at, found;
    int left = 48;

    for (pci_read_config_byte(dev, PCI_CAPABILITY_LIST, &at); at >= 0x40 && left--;
         pci_read_config_byte(dev, at + PCI_CAP_LIST_NEXT, &at)) {
        at &= ~3;
        pci_read_config_byte(dev, at + PCI_CAP_LIST_ID, &found);
        if (found == id)
            return at;
    }
    return 0;
}

static void find_pcie_capability(struct pci_dev *dev)
{
    dev->pcie_cap = pci_find_capability(dev, PCI_CAP_ID_EXP);
    if (dev->pcie_cap)
        pci_read_config_word(dev, dev->pcie_cap + PCI_EXP_FLAGS, &dev->pcie_flags_reg);
}

static void place_bars(struct pci_dev *dev, const struct witness_card *card)
{
    int bar;

    for (bar = 0; bar < 6; bar++) {
        if (!witness_bar_address(bar))
            continue;
        dev->resource[bar].start = witness_bar_address(bar);
        dev->resource[bar].end = dev->resource[bar].start + card->bar[bar].size - 1;
        dev->resource[bar].flags = IORESOURCE_MEM | IORESOURCE_MEM_64;
    }
}

static void apply_fixups(struct pci_dev *dev)
{
    const struct pci_fixup *fixup;

    for (fixup = witness_fixups; fixup < witness_fixups_end; fixup++)
        if (fixup->vendor == dev->vendor &&
            (fixup->device == (u16)PCI_ANY_ID || fixup->device == dev->device))
            fixup->hook(dev);
}

struct pci_dev *witness_pci_device(const struct witness_card *card)
{
    struct pci_dev *dev = witness_allocate(sizeof(*dev), 64, 1);

    if (!dev)
        return NULL;
    dev->bus = &bus;
    dev->devfn = WITNESS_DEVFN;
    dev->dev.init_name = WITNESS_SLOT;
    dev->error_state = pci_channel_io_normal;
    pci_read_config_word(dev, PCI_VENDOR_ID, &dev->vendor);
    pci_read_config_word(dev, PCI_DEVICE_ID, &dev->device);
    pci_read_config_word(dev, PCI_SUBSYSTEM_VENDOR_ID, &dev->subsystem_vendor);
    pci_read_config_word(dev, PCI_SUBSYSTEM_ID, &dev->subsystem_device);
    place_bars(dev, card);
    find_pcie_capability(dev);
    pci_vpd_init(dev);
    apply_fixups(dev);
    return dev;
}

const struct pci_device_id *witness_match(const struct pci_device_id *table, struct pci_dev *dev)
{
    for (; table->vendor; table++)
        if (table->vendor == dev->vendor && table->device == dev->device)
            return table;
    return NULL;
}

int __pci_register_driver(struct pci_driver *driver, struct module *owner, const char *name)
{
    witness_driver = driver;
    return 0;
}

static void set_command(struct pci_dev *dev, u16 clear, u16 set)
{
    u16 command;

    pci_read_config_word(dev, PCI_COMMAND, &command);
    pci_write_config_word(dev, PCI_COMMAND, (command & ~clear) | set);
}

int pci_enable_device(struct pci_dev *dev)
{
    set_command(dev, 0, PCI_COMMAND_MEMORY);
    return 0;
}
void pci_disable_device(struct pci_dev *dev)
{
    set_command(dev, PCI_COMMAND_MASTER, 0);
}
void pci_set_master(struct pci_dev *dev)
{
    set_command(dev, 0, PCI_COMMAND_MASTER);
}

bool pcie_relaxed_ordering_enabled(struct pci_dev *dev)
{
    u16 control;

    pcie_capability_read_word(dev, PCI_EXP_DEVCTL, &control);
    return control & PCI_EXP_DEVCTL_RELAX_EN;
}

void __iomem *pci_ioremap_bar(struct pci_dev *dev, int number)
{
    return ioremap(pci_resource_start(dev, number), pci_resource_len(dev, number));
}

/* Vector n of MSI-X is interrupt n + 1; 0 is INTx or MSI. None arrives by itself: the first
 * vector's handler is called by witness_interrupt(). */
static struct {
    irq_handler_t handler;
    void *cookie;
} taken[WITNESS_VECTORS + 1];

/* Refuses an interrupt that somebody has: the driver shares none, but INTx. */
int request_threaded_irq(unsigned int irq, irq_handler_t handler, irq_handler_t thread,
                         unsigned long flags, const char *name, void *cookie)
{
    if (irq > WITNESS_VECTORS)
        return -EINVAL;
    if (taken[irq].handler)
        return -EBUSY;
    taken[irq].handler = handler;
    taken[irq].cookie = cookie;
    return 0;
}

const void *free_irq(unsigned int irq, void *cookie)
{
    if (irq <= WITNESS_VECTORS)
        taken[irq].handler = NULL;
    return NULL;
}

int witness_first_vector(void)
{
    if (!taken[1].handler)
        return -ENODEV;
    taken[1].handler(1, taken[1].cookie);
    return 0;
}

/* As the PCI core does for `echo 1 >reset`. */
int witness_function_reset(struct pci_dev *dev)
{
    const struct pci_error_handlers *handlers = witness_driver->err_handler;

    handlers->reset_prepare(dev);
    pcie_capability_set_word(dev, PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR);
    set_command(dev, 0, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER); /* the saved state, restored */
    handlers->reset_done(dev);
    return 0;
}

/* Grants vectors. */
int pci_enable_msix_range(struct pci_dev *dev, struct msix_entry *entries, int least, int most)
{
    int i, granted = min(most, WITNESS_VECTORS);

    if (granted < least)
        return -ENOSPC;
    for (i = 0; i < granted; i++)
        entries[i].vector = i + 1;
    return granted;
}
