/* Creates, configures and destroys a server: a libvfio-user context and its device. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <syslog.h>
#include <unistd.h>

#include "pyvfio_user/server_internal.h"

#ifdef MAX_DMA_REGIONS
_Static_assert(MAX_DMA_REGIONS == DMA_REGIONS, "the library is built for as many DMA regions");
#endif

enum { CAPABILITY_MAX = 256 };

/* Regions: libvfio-user passes neither the region's index nor a cookie to a callback, so each
 * region needs a function. */

static ssize_t access_region(vfu_ctx_t *ctx, int index, char *data, size_t length, loff_t offset,
                             bool is_write)
{
    int error = server_access_region(vfu_get_private(ctx), (uint32_t)index, (uint64_t)offset, data,
                                     (uint32_t)length, is_write);

    if (error == 0)
        return (ssize_t)length;
    errno = error;
    return -1;
}

#define ACCESS(index)                                                                       \
    static ssize_t access_##index(vfu_ctx_t *ctx, char *data, size_t length, loff_t offset, \
                                  bool is_write)                                            \
    {                                                                                       \
        return access_region(ctx, index, data, length, offset, is_write);                   \
    }
ACCESS(0)
ACCESS(1)
ACCESS(2)
ACCESS(3)
ACCESS(4)
ACCESS(5)
ACCESS(6)
ACCESS(7)
ACCESS(8)
static vfu_region_access_cb_t *const region_callbacks[] = {
    access_0, access_1, access_2, access_3, access_4, access_5, access_6, access_7, access_8,
};
_Static_assert(sizeof(region_callbacks) / sizeof(*region_callbacks) == REGIONS, "one per region");

/* The other callbacks */

static void on_log(vfu_ctx_t *ctx, int level, const char *message)
{
    struct server *server = vfu_get_private(ctx);

    if (server->callbacks.log)
        server->callbacks.log(server->callbacks.handle, level, message);
}

static int on_reset(vfu_ctx_t *ctx, vfu_reset_type_t reason)
{
    struct server *server = vfu_get_private(ctx);

    if (!server->callbacks.reset)
        return 0;
    int error = server->callbacks.reset(server->callbacks.handle, (int)reason);
    if (error == 0)
        return 0;
    errno = -error;
    return -1;
}

static void report_dma(struct server *server, const vfu_dma_info_t *info,
                       void (*report)(void *, uint64_t, uint64_t, int, int))
{
    if (report)
        report(server->callbacks.handle, (uint64_t)(uintptr_t)info->iova.iov_base,
               info->iova.iov_len, (info->prot & PROT_WRITE) != 0, info->vaddr != NULL);
}

static void on_dma_map(vfu_ctx_t *ctx, vfu_dma_info_t *info)
{
    struct server *server = vfu_get_private(ctx);

    server->dma_regions++;
    server_sealed_mapped(server, info);
    report_dma(server, info, server->callbacks.dma_map);
}

static void on_dma_unmap(vfu_ctx_t *ctx, vfu_dma_info_t *info)
{
    struct server *server = vfu_get_private(ctx);

    server->dma_regions--;
    server_sealed_unmapped(server, info);
    report_dma(server, info, server->callbacks.dma_unmap);
}

/* vfu_setup_device_dma() got a parameter in 2026; its declaration shows which version this is. */
typedef int setup_dma_2025(vfu_ctx_t *, vfu_dma_register_cb_t *, vfu_dma_unregister_cb_t *);
typedef int setup_dma_2026(vfu_ctx_t *, size_t, vfu_dma_register_cb_t *, vfu_dma_unregister_cb_t *);

static inline int call_2025(setup_dma_2025 *setup, vfu_ctx_t *ctx)
{
    return setup(ctx, on_dma_map, on_dma_unmap);
}

static inline int call_2026(setup_dma_2026 *setup, vfu_ctx_t *ctx)
{
    return setup(ctx, DMA_REGIONS, on_dma_map, on_dma_unmap);
}

static int setup_dma(vfu_ctx_t *ctx)
{
    return _Generic(&vfu_setup_device_dma,
        setup_dma_2025 *: call_2025,
        setup_dma_2026 *: call_2026)(vfu_setup_device_dma, ctx);
}

/* Setting up */

static int set_up_context(struct server *server, const char *path, int log_level)
{
    server->wake_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    server->parts = calloc(DMA_PARTS, dma_sg_size());
    if (server->wake_event < 0 || !server->parts)
        return -errno;
    int error = server_open_signals(server);
    if (error)
        return error;
    /* the flag: vfu_run_ctx() handles one message and returns */
    server->ctx =
        vfu_create_ctx(VFU_TRANS_SOCK, path, LIBVFIO_USER_FLAG_ATTACH_NB, server, VFU_DEV_TYPE_PCI);
    if (!server->ctx)
        return -errno;
    server_set_transport(server);
    if (vfu_setup_log(server->ctx, on_log, log_level) < 0 ||
        vfu_pci_init(server->ctx, VFU_PCI_TYPE_EXPRESS, PCI_HEADER_TYPE_NORMAL, 0) < 0 ||
        vfu_setup_device_reset_cb(server->ctx, on_reset) < 0 || setup_dma(server->ctx) < 0 ||
        server_hear_intx(server) < 0)
        return -errno;
    return 0;
}

struct server *server_create(const char *path, const struct server_callbacks *callbacks,
                             uint32_t deadline_ms, uint32_t spin_us, uint32_t idle_ms,
                             int log_level, int *error)
{
    struct server *server = calloc(1, sizeof(*server));

    if (!server) {
        *error = -ENOMEM;
        return NULL;
    }
    server->callbacks = *callbacks;
    server->deadline_ms = deadline_ms;
    server->spin_us = spin_us;
    server->idle_ms = idle_ms;
    server->connection = server->nothing = server->work.fd = -1;
    server_init_host(server);
    pthread_mutex_init(&server->busy, NULL);
    pthread_mutex_init(&server->connection_lock, NULL);
    *error = set_up_context(server, path, log_level);
    if (*error) {
        server_destroy(server);
        return NULL;
    }
    return server;
}

void server_destroy(struct server *server)
{
    server->callbacks = (struct server_callbacks){0}; /* destroying the context resets the device */
    vfu_destroy_ctx(server->ctx);
    server_turn_all_away(server);
    server_close_signals(server);
    if (server->wake_event >= 0)
        close(server->wake_event);
    pthread_mutex_destroy(&server->busy);
    pthread_mutex_destroy(&server->connection_lock);
    free(server->parts);
    free(server);
}

int server_add_region(struct server *server, int index, const struct server_region *region)
{
    struct iovec area = {(void *)(uintptr_t)region->area_offset, region->area_length};
    bool mapped = region->area_length != 0;

    if (index < 0 || index >= REGIONS || region->size > UINT32_MAX) /* the library has 32 bits */
        return -EINVAL;
    server->regions[index].access = region->access;
    server->regions[index].cookie = region->cookie;
    server->regions[index].size = region->size;
    if (index == VFU_PCI_DEV_CFG_REGION_IDX)
        server->config_callback = (region->flags & VFU_REGION_FLAG_ALWAYS_CB) != 0;
    if (vfu_setup_region(server->ctx, index, region->size, region_callbacks[index], region->flags,
                         mapped ? &area : NULL, mapped, mapped ? region->fd : -1,
                         region->fd_offset) < 0)
        return -errno;
    return 0;
}

uint8_t *server_config_space(struct server *server)
{
    return (uint8_t *)vfu_pci_get_config_space(server->ctx);
}

int server_add_capability(struct server *server, uint32_t position, int flags, const void *data,
                          uint32_t length)
{
    uint8_t whole[CAPABILITY_MAX] = {
        0}; /* the library copies the full size of the capability's kind */

    if (position == 0 || length < 4 || length > sizeof(whole))
        return -EINVAL;
    memcpy(whole, data, length);
    ssize_t placed = vfu_pci_add_capability(server->ctx, position, flags, whole);
    return placed < 0 ? -errno : (int)placed;
}

int server_set_irqs(struct server *server, int index, uint32_t count)
{
    if (index < 0 || index >= VFU_DEV_NUM_IRQS)
        return -EINVAL;
    if (vfu_setup_device_nr_irqs(server->ctx, (enum vfu_dev_irq_type)index, count) < 0)
        return -errno;
    return 0;
}

uint64_t server_messages(const struct server *server)
{
    return server->messages;
}

int server_realize(struct server *server)
{
    return vfu_realize_ctx(server->ctx) < 0 ? -errno : 0;
}
