// SPDX-License-Identifier: BSD-3-Clause
/*
 * Shows whether the firmware of a Chelsio T5 or T6 runs, as the attribute `firmware` of the PCI
 * device. Somebody's driver; it knows one register (Linux's t4_regs.h and t4fw_api.h) and refuses a
 * card whose firmware has stopped.
 */

#include <linux/io.h>
#include <linux/module.h>
#include <linux/pci.h>

#define PCIE_FW 0x30b8
#define PCIE_FW_ERR (1u << 31)

static const char *fwstate_name(u32 word)
{
    if (word == ~0u)
        return "gone";
    return word & PCIE_FW_ERR ? "stopped" : "alive";
}

static u32 fwstate_read(struct device *device)
{
    void __iomem *registers = dev_get_drvdata(device);

    return ioread32(registers + PCIE_FW);
}

static ssize_t firmware_show(struct device *device, struct device_attribute *attribute, char *text)
{
    return sysfs_emit(text, "%s\n", fwstate_name(fwstate_read(device)));
}
static DEVICE_ATTR_RO(firmware);

static struct attribute *fwstate_attrs[] = {&dev_attr_firmware.attr, NULL};
ATTRIBUTE_GROUPS(fwstate);

static int fwstate_probe(struct pci_dev *pci, const struct pci_device_id *id)
{
    void __iomem *registers;
    u32 word;
    int error;

    error = pcim_enable_device(pci);
    if (error)
        return error;
    registers = pcim_iomap(pci, 0, 0);
    if (!registers)
        return -ENOMEM;
    pci_set_drvdata(pci, registers);
    word = fwstate_read(&pci->dev);
    dev_info(&pci->dev, "the firmware is %s (%#x)\n", fwstate_name(word), word);
    return word & PCIE_FW_ERR ? -EIO : 0;
}

static const struct pci_device_id fwstate_ids[] = {
    {PCI_DEVICE(0x1425, 0x5401)}, /* T520-CR */
    {PCI_DEVICE(0x1425, 0x640d)}, /* T62100-CR */
    {0},
};
MODULE_DEVICE_TABLE(pci, fwstate_ids);

static struct pci_driver fwstate_driver = {
    .name = "fwstate",
    .id_table = fwstate_ids,
    .probe = fwstate_probe,
    .dev_groups = fwstate_groups,
};
module_pci_driver(fwstate_driver);

MODULE_DESCRIPTION("Shows whether the firmware of a Chelsio T5 or T6 runs");
MODULE_LICENSE("Dual BSD/GPL");
