/* Messages that libvfio-user (the copy in QEMU 10) does not check well enough. The transport
 * refuses them before the library sees them. */

#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "pyvfio_user/server_internal.h"
#include "dma.h"

/* Returns whether `fd` is an eventfd. The kernel gives no file such a name. */
static bool is_eventfd(int fd)
{
    static const char name[] = "anon_inode:[eventfd]";
    char path[32], target[sizeof(name)];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return readlink(path, target, sizeof(target)) == sizeof(name) - 1 &&
           memcmp(target, name, sizeof(name) - 1) == 0;
}

/* irq.c: start + count overflows, and the loop that closes eventfds runs past the array. It takes
 * descriptors of any kind. */
static bool irqs_are_harmful(const vfu_msg_t *message, const void *payload)
{
    struct vfio_irq_set set;

    if (message->in.iov.iov_len < sizeof(set))
        return true;
    for (size_t i = 0; i < message->in.nr_fds; i++)
        if (!is_eventfd(message->in.fds[i]))
            return true;
    memcpy(&set, payload, sizeof(set));
    return (uint64_t)set.start + set.count > UINT32_MAX;
}

/* A file of another kind, or on a file system in another process or machine, can hold up its
 * readers for good. */
static bool is_local_file(int fd)
{
    struct statfs system;
    struct stat file;

    if (fstat(fd, &file) < 0 || !S_ISREG(file.st_mode) || fstatfs(fd, &system) < 0)
        return false;
    switch (system.f_type) {
    case TMPFS_MAGIC: /* memfds, too */
    case HUGETLBFS_MAGIC:
    case EXT4_SUPER_MAGIC:
    case XFS_SUPER_MAGIC:
    case BTRFS_SUPER_MAGIC:
        return true;
    default:
        return false;
    }
}

/* dma.c: it rounds the offset down and the size up to the file's blocks, so its mapping may end
 * before the region, with the server's own memory behind it. */
static bool mapping_is_short(int fd, uint64_t offset, uint64_t size)
{
    struct stat file;

    if (fstat(fd, &file) < 0 || file.st_blksize <= 0)
        return true;
    uint64_t page = (uint64_t)getpagesize(), block = (uint64_t)file.st_blksize;
    block = block > page ? block : page;
    if (block & (block - 1))
        return true;
    return (offset & (block - 1)) + size > ((size + block - 1) & ~(block - 1));
}

/* Returns whether these are whole pages of a size that the library can add up. */
static bool is_whole_pages(uint64_t address, uint64_t size)
{
    uint64_t in_page = (uint64_t)getpagesize() - 1;

    return size > 0 && size <= MAX_DMA_SIZE && !((address | size) & in_page) &&
           address + size > address;
}

static bool is_mapped(const struct server *server, uint64_t address, uint64_t size)
{
    const dma_controller_t *dma = server->ctx->dma;

    for (int i = 0; i < dma->nregions; i++) {
        uint64_t start = (uintptr_t)dma->regions[i].info.iova.iov_base;
        if (address < start + dma->regions[i].info.iova.iov_len && start < address + size)
            return true;
    }
    return false;
}

/* dma.c: mapping a mapped address leaks the new descriptor, and is not refused as the protocol
 * says; mapping 0 bytes closes it twice. */
static int refuse_map(const struct server *server, const vfu_msg_t *message, const void *payload)
{
    struct vfio_user_dma_map map;

    if (message->in.iov.iov_len < sizeof(map))
        return EINVAL;
    memcpy(&map, payload, sizeof(map));
    if (!is_whole_pages(map.addr, map.size) || !is_whole_pages(map.offset, map.size) ||
        map.offset + map.size > INT64_MAX)
        return EINVAL;
    for (size_t i = 0; i < message->in.nr_fds; i++)
        if (!is_local_file(message->in.fds[i]) ||
            mapping_is_short(message->in.fds[i], map.offset, map.size))
            return EINVAL;
    return is_mapped(server, map.addr, map.size) ? EEXIST : 0;
}

/* libvfio-user.c: it reads the flags before it checks the length. */
static bool unmap_is_harmful(const void *payload, size_t length)
{
    struct vfio_user_dma_unmap unmap;

    if (length < sizeof(unmap))
        return true;
    memcpy(&unmap, payload, sizeof(unmap));
    if (!(unmap.flags & VFIO_DMA_UNMAP_FLAG_ALL) && !is_whole_pages(unmap.addr, unmap.size))
        return true;
    return (unmap.flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP) &&
           length < sizeof(unmap) + sizeof(struct vfio_user_bitmap);
}

/* The number of bytes that pci.c reads for a write at `offset` of the header, whatever the length.
 */
static uint32_t header_register_size(uint64_t offset)
{
    if (offset == PCI_COMMAND)
        return 2;
    if ((offset >= PCI_BASE_ADDRESS_0 && offset <= PCI_BASE_ADDRESS_5) || offset == PCI_ROM_ADDRESS)
        return 4;
    return 1;
}

/* pci_caps.c overflows its stack with a long write; pci.c reads past the end of a short one. PCI
 * itself has aligned writes of 1, 2 or 4 bytes only. */
static bool config_write_is_harmful(const void *payload, size_t length)
{
    struct vfio_user_region_access access;

    if (length < sizeof(access))
        return true;
    memcpy(&access, payload, sizeof(access));
    if (access.region != VFU_PCI_DEV_CFG_REGION_IDX)
        return false;
    if (access.count != 1 && access.count != 2 && access.count != 4)
        return true;
    return access.offset % access.count != 0 || access.count < header_register_size(access.offset);
}

int server_refuse(const struct server *server, const vfu_msg_t *message, const void *payload)
{
    switch (message->hdr.cmd) {
    case VFIO_USER_DEVICE_SET_IRQS:
        return irqs_are_harmful(message, payload) ? EINVAL : 0;
    case VFIO_USER_DMA_MAP:
        return refuse_map(server, message, payload);
    case VFIO_USER_DMA_UNMAP:
        return unmap_is_harmful(payload, message->in.iov.iov_len) ? EINVAL : 0;
    case VFIO_USER_REGION_WRITE:
        if (server->config_callback)
            return 0;
        return config_write_is_harmful(payload, message->in.iov.iov_len) ? EINVAL : 0;
    default:
        return 0;
    }
}
