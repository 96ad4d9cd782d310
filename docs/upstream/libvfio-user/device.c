/* A device for provoke.py: MSI-X and INTx, memory, and a BAR0 of words that raises INTx when it is
 * written.
 *
 * cc -I libvfio-user/include device.c -lvfio-user -o device && ./device SOCKET */

#include <err.h>
#include <errno.h>

#include "libvfio-user.h"

enum { BAR_SIZE = 4096, VECTORS = 4 };

static ssize_t access_bar(vfu_ctx_t *ctx, char *buf, size_t count, loff_t offset, bool is_write)
{
    (void)buf, (void)offset;
    if (count > 4) {
        errno = EINVAL;
        return -1;
    }
    if (is_write)
        vfu_irq_trigger(ctx, 0);
    return (ssize_t)count;
}

static void on_dma(vfu_ctx_t *ctx, vfu_dma_info_t *info)
{
    (void)ctx, (void)info;
}

static void on_mask(vfu_ctx_t *ctx, uint32_t start, uint32_t count, bool mask)
{
    (void)ctx, (void)start, (void)count, (void)mask;
}

int main(int argc, char **argv)
{
    vfu_ctx_t *ctx = NULL;

    if (argc == 2)
        ctx = vfu_create_ctx(VFU_TRANS_SOCK, argv[1], 0, NULL, VFU_DEV_TYPE_PCI);
    if (!ctx || vfu_pci_init(ctx, VFU_PCI_TYPE_CONVENTIONAL, PCI_HEADER_TYPE_NORMAL, 0) < 0 ||
        vfu_setup_region(ctx, VFU_PCI_DEV_BAR0_REGION_IDX, BAR_SIZE, access_bar, VFU_REGION_FLAG_RW,
                         NULL, 0, -1, 0) < 0 ||
        vfu_setup_device_nr_irqs(ctx, VFU_DEV_INTX_IRQ, 1) < 0 ||
        vfu_setup_device_nr_irqs(ctx, VFU_DEV_MSIX_IRQ, VECTORS) < 0 ||
        vfu_setup_irq_state_callback(ctx, VFU_DEV_INTX_IRQ, on_mask) < 0 ||
        vfu_setup_device_dma(ctx, on_dma, on_dma) < 0 || vfu_realize_ctx(ctx) < 0 ||
        vfu_attach_ctx(ctx) < 0)
        err(1, "the device");
    while (vfu_run_ctx(ctx) >= 0 || errno == EINTR)
        ;
    err(1, "the client");
}
