/* Pages for receive buffers. There is no memory map: each page is an object that points to its
 * memory, and the bus address of memory is its virtual address. */
#include <linux/dma-mapping.h>
#include <linux/gfp.h>
#include <linux/page_ref.h>

#include "kernel.h"

#undef __alloc_pages /* a macro since 6.10 */
struct page *__alloc_pages(gfp_t flags, unsigned int order, int node, nodemask_t *nodes)
{
    struct page *page = witness_allocate(sizeof(*page), 64, 1);

    if (!page)
        return NULL;
    page->private = (uintptr_t)witness_allocate(PAGE_SIZE << order, PAGE_SIZE, 0);
    set_page_count(page, 1);
    return page;
}

static void release(struct page *page)
{
    witness_release((void *)page->private);
    witness_release(page);
}

void __free_pages(struct page *page, unsigned int order)
{
    release(page);
}

void __folio_put(struct folio *folio)
{
    release(&folio->page);
}

dma_addr_t dma_map_page_attrs(struct device *dev, struct page *page, size_t offset, size_t size,
                              enum dma_data_direction direction, unsigned long attributes)
{
    return page->private + offset;
}

unsigned int dma_map_sg_attrs(struct device *dev, struct scatterlist *list, int entries,
                              enum dma_data_direction direction, unsigned long attributes)
{
    struct scatterlist *entry;
    int i;

    for_each_sg(list, entry, entries, i)
    {
        sg_dma_address(entry) = sg_page(entry)->private + entry->offset;
        sg_dma_len(entry) = entry->length;
    }
    return entries;
}

void *dma_alloc_attrs(struct device *dev, size_t size, dma_addr_t *handle, gfp_t flags,
                      unsigned long attributes)
{
    void *block = witness_allocate(size, PAGE_SIZE, 1);

    *handle = (uintptr_t)block;
    return block;
}

void dma_free_attrs(struct device *dev, size_t size, void *block, dma_addr_t handle,
                    unsigned long attributes)
{
    witness_release(block);
}
