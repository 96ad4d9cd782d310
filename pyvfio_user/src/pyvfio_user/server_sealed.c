/* Which of the client's memory can be copied with memcpy().
 *
 * A client may truncate a file that it shares; touching what is gone raises SIGBUS. It cannot do so
 * to a memfd that is sealed against shrinking (QEMU's memory-backend-memfd seals by default) and
 * that has all of the mapped bytes already. tmpfs alone counts: huge pages may run out. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "pyvfio_user/server_internal.h"
#include "dma.h"

/* The region that the library reports; NULL: it is none of its table. */
static const dma_memory_region_t *region_of(const struct server *server, const vfu_dma_info_t *info)
{
    const dma_controller_t *dma = server->ctx->dma;

    for (int i = 0; i < dma->nregions; i++)
        if (&dma->regions[i].info == info)
            return &dma->regions[i];
    return NULL;
}

static bool keeps_its_pages(int fd, uint64_t end)
{
    struct stat file;
    struct statfs where;
    int seals = fcntl(fd, F_GET_SEALS);

    return seals >= 0 && (seals & F_SEAL_SHRINK) && fstatfs(fd, &where) == 0 &&
           where.f_type == TMPFS_MAGIC && fstat(fd, &file) == 0 && file.st_size >= 0 &&
           (uint64_t)file.st_size >= end;
}

void server_sealed_mapped(struct server *server, const vfu_dma_info_t *info)
{
    const dma_memory_region_t *region = region_of(server, info);
    uint64_t size = info->iova.iov_len, end;

    if (!info->vaddr || !region || region->offset < 0 || server->sealed_count == DMA_REGIONS ||
        __builtin_add_overflow((uint64_t)region->offset, size, &end) ||
        !keeps_its_pages(region->fd, end))
        return;
    server->sealed[server->sealed_count++] = (struct sealed){(uintptr_t)info->vaddr, size};
}

void server_sealed_unmapped(struct server *server, const vfu_dma_info_t *info)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < server->sealed_count; i++)
        if (server->sealed[i].start != (uintptr_t)info->vaddr)
            server->sealed[kept++] = server->sealed[i];
    server->sealed_count = kept;
    server->sealed_hint = 0;
}

static bool lies_in(const struct iovec *part, const struct sealed *sealed)
{
    uintptr_t at = (uintptr_t)part->iov_base - sealed->start;

    return at < sealed->size && part->iov_len <= sealed->size - at;
}

bool server_is_sealed(struct server *server, const struct iovec *part)
{
    if (server->sealed_count && lies_in(part, &server->sealed[server->sealed_hint]))
        return true;
    for (uint32_t i = 0; i < server->sealed_count; i++) {
        if (!lies_in(part, &server->sealed[i]))
            continue;
        server->sealed_hint = i;
        return true;
    }
    return false;
}
