/* Messages that libvfio-user (the copy in QEMU 10) does not check well enough. The transport
 * refuses them with EINVAL before the library sees them. */

#include <string.h>
#include <sys/mman.h>

#include "pyvfio_user/server_internal.h"

/* irq.c: start + count overflows, and the loop that closes eventfds runs past the array. */
static bool irqs_overflow(const void *payload, size_t length)
{
    struct vfio_irq_set set;

    if (length < sizeof(set))
        return true;
    memcpy(&set, payload, sizeof(set));
    return (uint64_t)set.start + set.count > UINT32_MAX;
}

/* dma.c: mapping a mapped address leaks the new descriptor; mapping 0 bytes closes it twice. */
static bool map_is_harmful(struct server *server, const void *payload, size_t length)
{
    struct vfio_user_dma_map map;

    if (length < sizeof(map))
        return true;
    memcpy(&map, payload, sizeof(map));
    if (map.size == 0 || map.addr + map.size < map.addr)
        return true;
    vfu_dma_addr_t address = (vfu_dma_addr_t)(uintptr_t)map.addr;
    return vfu_addr_to_sgl(server->ctx, address, 1, server->parts, 1, PROT_NONE) > 0;
}

/* libvfio-user.c: it reads the flags before it checks the length. */
static bool unmap_is_short(const void *payload, size_t length)
{
    struct vfio_user_dma_unmap unmap;

    if (length < sizeof(unmap))
        return true;
    memcpy(&unmap, payload, sizeof(unmap));
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

bool server_message_is_harmful(struct server *server, const struct vfio_user_header *header,
                               const void *payload, size_t length)
{
    switch (header->cmd) {
    case VFIO_USER_DEVICE_SET_IRQS:
        return irqs_overflow(payload, length);
    case VFIO_USER_DMA_MAP:
        return map_is_harmful(server, payload, length);
    case VFIO_USER_DMA_UNMAP:
        return unmap_is_short(payload, length);
    case VFIO_USER_REGION_WRITE:
        return !server->config_callback && config_write_is_harmful(payload, length);
    default:
        return false;
    }
}
