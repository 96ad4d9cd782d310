/* A minimal libvfio-user server: one region of 8 MiB (BAR 2) that ignores every access. A
 * card's server costs more than this one by the cost of the emulator. */
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "libvfio-user.h"

enum { REGION_BYTES = 8 << 20 };

static ssize_t ignore(vfu_ctx_t *ctx, char *data, size_t length, loff_t offset, bool is_write)
{
    (void)ctx, (void)data, (void)offset, (void)is_write;
    return (ssize_t)length;
}

static void check(int result, const char *what)
{
    if (result < 0)
        err(EXIT_FAILURE, "%s", what);
}

static void serve(vfu_ctx_t *ctx)
{
    check(vfu_attach_ctx(ctx), "attach");
    while (vfu_run_ctx(ctx) >= 0 || errno == EINTR)
        ;
    if (errno != ENOTCONN)
        err(EXIT_FAILURE, "run");
}

int main(int argc, char **argv)
{
    if (argc != 2)
        errx(EXIT_FAILURE, "usage: plain_server SOCKET");
    vfu_ctx_t *ctx = vfu_create_ctx(VFU_TRANS_SOCK, argv[1], 0, NULL, VFU_DEV_TYPE_PCI);
    if (!ctx)
        err(EXIT_FAILURE, "%s", argv[1]);
    check(vfu_pci_init(ctx, VFU_PCI_TYPE_EXPRESS, PCI_HEADER_TYPE_NORMAL, 0), "pci");
    check(vfu_setup_region(ctx, VFU_PCI_DEV_BAR2_REGION_IDX, REGION_BYTES, ignore,
                           VFU_REGION_FLAG_RW | VFU_REGION_FLAG_MEM, NULL, 0, -1, 0),
          "region");
    check(vfu_realize_ctx(ctx), "realize");
    puts("ready");
    fflush(stdout);
    for (;;)
        serve(ctx);
}
