/* The kernel's allocators, on top of malloc. A list of all blocks lets witness_free() free what a
 * run that ended early leaks. Memory that is not zeroed on request is filled with a pattern, which
 * exposes a driver that uses it uninitialised. */
#include <stdlib.h>
#include <string.h>

#include "host.h"

enum { PATTERN = 0xa5, LINE = 64, PAGE = 4096 };

struct block {
    struct block *next, *previous;
    void *base;
    size_t size;
};

static struct block blocks = {&blocks, &blocks, NULL, 0};

static struct block *block_of(const void *pointer)
{
    return (struct block *)((uintptr_t)pointer - sizeof(struct block));
}

/* Zeroed blocks come from calloc(), which does not touch large ones. */
void *witness_allocate(size_t size, size_t align, int zeroed)
{
    size_t room = align < LINE ? LINE : align;
    char *base;
    char *start;
    struct block *block;

    if (witness_options.refused_size && size == witness_options.refused_size)
        return NULL;
    base = zeroed ? calloc(1, size + 2 * room) : malloc(size + 2 * room);
    if (!base)
        return NULL;
    start = base + room; /* the record precedes the block */
    start += (room - (uintptr_t)start % room) % room;
    if (!zeroed)
        memset(start, PATTERN, size);
    block = block_of(start);
    *block = (struct block){blocks.next, &blocks, base, size};
    block->next->previous = block;
    blocks.next = block;
    return start;
}

void witness_release(const void *pointer)
{
    struct block *block;

    if ((uintptr_t)pointer <= 16) /* NULL, or the kernel's ZERO_SIZE_PTR */
        return;
    block = block_of(pointer);
    block->previous->next = block->next;
    block->next->previous = block->previous;
    free(block->base);
}

void witness_free(void)
{
    while (blocks.next != &blocks)
        witness_release((char *)blocks.next + sizeof(struct block));
}

static void *by_flags(size_t size, unsigned int flags)
{
    return witness_allocate(size, size >= PAGE ? PAGE : LINE, (flags & witness_gfp_zero) != 0);
}

/* The kernel's names, both before and since 6.10. Their prototypes are in linux/slab.h and
 * linux/vmalloc.h, which cannot be included here. Only widths could differ, and these are the
 * widths of x86-64. */
char *kmalloc_caches[32 * 32];

#define BY_SIZE_AND_FLAGS(name)                  \
    void *name(size_t size, unsigned int flags); \
    void *name(size_t size, unsigned int flags)  \
    {                                            \
        return by_flags(size, flags);            \
    }

BY_SIZE_AND_FLAGS(__kmalloc)
BY_SIZE_AND_FLAGS(__kmalloc_node) /* these also take a node; there is only one */
BY_SIZE_AND_FLAGS(kvmalloc_node)
BY_SIZE_AND_FLAGS(__kvmalloc_node)
BY_SIZE_AND_FLAGS(kmalloc_large)
BY_SIZE_AND_FLAGS(__kmalloc_large)

#define BY_CACHE(name)                                        \
    void *name(void *cache, unsigned int flags, size_t size); \
    void *name(void *cache, unsigned int flags, size_t size)  \
    {                                                         \
        (void)cache;                                          \
        return by_flags(size, flags);                         \
    }

BY_CACHE(kmalloc_trace)
BY_CACHE(__kmalloc_cache)

#define BY_SIZE(name, zeroed)                        \
    void *name(unsigned long size);                  \
    void *name(unsigned long size)                   \
    {                                                \
        return witness_allocate(size, PAGE, zeroed); \
    }

BY_SIZE(vmalloc, 0)
BY_SIZE(vzalloc, 1)

#define RELEASE(name)               \
    void name(const void *pointer); \
    void name(const void *pointer)  \
    {                               \
        witness_release(pointer);   \
    }

RELEASE(kfree)
RELEASE(kvfree)
RELEASE(vfree)

#define PAGES(name)                                     \
    void *name(unsigned int flags, unsigned int order); \
    void *name(unsigned int flags, unsigned int order)  \
    {                                                   \
        return by_flags((size_t)PAGE << order, flags);  \
    }

PAGES(__get_free_pages)
PAGES(get_free_pages)
RELEASE(free_pages)

void *kmemdup(const void *source, size_t size, unsigned int flags);
void *kmemdup(const void *source, size_t size, unsigned int flags)
{
    void *copy = by_flags(size, flags);

    return copy ? memcpy(copy, source, size) : NULL;
}

/* Kernel objects of which only the address matters. The driver calls these with arguments, which
 * are ignored. */
#define OBJECT(name)                        \
    void *name(void);                       \
    void *name(void)                        \
    {                                       \
        return witness_allocate(64, 64, 1); \
    }

OBJECT(alloc_workqueue)
OBJECT(ptp_clock_register) /* granted, so that the driver goes on to tell the firmware about it */
OBJECT(thermal_zone_device_register)
OBJECT(thermal_zone_device_register_with_trips)
