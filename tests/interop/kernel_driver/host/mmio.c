/* readl() and friends: each makes one call of the BAR's access function, is counted for the entity
 * being collected, and is recorded if requested. BARs are mapped without access rights, so a
 * direct access faults. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "host.h"

enum { BARS = 6 };

static struct witness_card card;
static char *bases[BARS];
static struct witness_counts counts[WITNESS_ENTITIES];
static uint64_t accesses;
static struct {
    struct witness_access *records;
    uint64_t count, room;
} trace;

void witness_attach(const struct witness_card *given)
{
    card = *given;
    for (int bar = 0; bar < BARS; bar++) {
        if (!card.bar[bar].size)
            continue;
        bases[bar] = mmap(NULL, card.bar[bar].size, PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (bases[bar] == MAP_FAILED)
            card.bar[bar].size = 0;
    }
}

uintptr_t witness_bar_address(int bar)
{
    return card.bar[bar].size ? (uintptr_t)bases[bar] : 0;
}

struct witness_counts *witness_count_now(void)
{
    return &counts[witness_entity() % WITNESS_ENTITIES];
}

const struct witness_counts *witness_counts(void)
{
    return counts;
}

void witness_clear_counts(void)
{
    memset(counts, 0, sizeof counts);
    accesses = 0;
    trace.count = 0;
}

const struct witness_access *witness_trace(uint64_t *count)
{
    *count = trace.count;
    return trace.records;
}

static void record(struct witness_access access)
{
    if (trace.count == trace.room) {
        uint64_t room = trace.room ? 2 * trace.room : 4096;
        void *grown = realloc(trace.records, room * sizeof access);

        if (!grown)
            witness_end_run(WITNESS_MISSING, "no memory for a trace of %llu accesses",
                            (unsigned long long)room);
        trace.records = grown;
        trace.room = room;
    }
    trace.records[trace.count++] = access;
}

static void count(struct witness_counts *now, int bar, uint32_t length, int is_write)
{
    if (bar == WITNESS_CONFIG)
        *(is_write ? &now->config_writes : &now->config_reads) += 1;
    else if (length == 4)
        *(is_write ? &now->w32 : &now->r32) += 1;
    else if (length == 8)
        *(is_write ? &now->w64 : &now->r64) += 1;
    else
        now->other++;
}

/* One access to one region. A refused read returns all ones. */
static int perform(const struct witness_region *region, int bar, uint64_t offset, void *data,
                   uint32_t length, int is_write)
{
    unsigned int entity = witness_entity();
    int failed;

    if (witness_options.access_budget && ++accesses > witness_options.access_budget)
        witness_end_run(WITNESS_BUDGET, "%llu accesses, the last to 0x%llx, entity %u",
                        (unsigned long long)witness_options.access_budget,
                        (unsigned long long)offset, entity);
    count(&counts[entity % WITNESS_ENTITIES], bar, length, is_write);
    witness_in_device = 1;
    failed = region->access ? region->access(region->cookie, offset, data, length, is_write) : -1;
    witness_in_device = 0;
    if (failed == WITNESS_NO_CARD)
        witness_end_run(WITNESS_GAVE_UP, "the card's code failed at 0x%llx",
                        (unsigned long long)offset);
    if (failed && !is_write)
        memset(data, 0xff, length);
    if (witness_options.tracing) {
        struct witness_access access = {.offset = offset,
                                        .entity = (uint16_t)entity,
                                        .bar = (uint8_t)bar,
                                        .width = (uint8_t)length,
                                        .is_write = is_write != 0,
                                        .failed = failed != 0};

        memcpy(&access.value, data, length);
        record(access);
    }
    return failed;
}

int witness_config(uint32_t offset, void *data, uint32_t length, int is_write)
{
    return perform(&card.config, WITNESS_CONFIG, offset, data, length, is_write);
}

static void reach(const volatile void *address, void *data, uint32_t length, int is_write)
{
    for (int bar = 0; bar < BARS; bar++) {
        uint64_t offset = (uint64_t)((uintptr_t)address - (uintptr_t)bases[bar]);

        if (card.bar[bar].size && offset < card.bar[bar].size &&
            length <= card.bar[bar].size - offset) {
            perform(&card.bar[bar], bar, offset, data, length, is_write);
            return;
        }
    }
    witness_end_run(WITNESS_OOPS, "an access of %u bytes to 0x%llx, where no BAR is", length,
                    (unsigned long long)(uintptr_t)address);
}

#define ACCESSORS(suffix, type)                                   \
    type __raw_read##suffix(const volatile void *address);        \
    void __raw_write##suffix(type value, volatile void *address); \
    type __raw_read##suffix(const volatile void *address)         \
    {                                                             \
        type value = 0;                                           \
        reach(address, &value, sizeof value, 0);                  \
        return value;                                             \
    }                                                             \
    void __raw_write##suffix(type value, volatile void *address)  \
    {                                                             \
        reach(address, &value, sizeof value, 1);                  \
    }

ACCESSORS(b, uint8_t)
ACCESSORS(w, uint16_t)
ACCESSORS(l, uint32_t)
ACCESSORS(q, uint64_t)

/* A BAR's physical address is the address it is mapped at. */
void *ioremap(uint64_t physical, size_t size);

void *ioremap(uint64_t physical, size_t size)
{
    return size ? (void *)(uintptr_t)physical : NULL;
}
