/* The kernel's allocators over malloc. Every block is remembered, so that what an ended probe
 * leaves behind can be given back; memory the caller did not ask to be zeroed is filled with a
 * pattern, so that a driver that uses it unset is seen. */
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

/* calloc() leaves large blocks untouched until they are used, so zeroed ones come from it. */
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
    start = base + room; /* the block's record stands right before it */
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

    if ((uintptr_t)pointer <= 16) /* NULL and the kernel's "zero bytes" */
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

/* The kernel's names, up to 6.9 and since. Their types stand in linux/slab.h and linux/vmalloc.h,
 * which cannot be included here; a mismatch would be one of width, and the widths are those of
 * x86-64. */
char *kmalloc_caches[32 * 32];

#define BY_SIZE_AND_FLAGS(name)                  \
    void *name(size_t size, unsigned int flags); \
    void *name(size_t size, unsigned int flags)  \
    {                                            \
        return by_flags(size, flags);            \
    }

BY_SIZE_AND_FLAGS(__kmalloc)
BY_SIZE_AND_FLAGS(__kmalloc_node) /* each with a node behind, and there is but one */
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
