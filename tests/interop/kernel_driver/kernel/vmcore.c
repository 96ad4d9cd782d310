/* The kernel's side of the device dump.
 *
 * From 5.12 to at least 6.18, the collector of SGE_INDIRECT dereferences adapter->port[0], which is
 * NULL until much later in the probe. Every real crash kernel oopses there, whatever the card does.
 * So while the driver collects for /proc/vmcore, port[0] points to a zeroed net_device ("not
 * running"): the result is that of a driver without the defect. `port_without_device` disables
 * this. */
#include <linux/crash_dump.h>

#include "kernel.h"
#include "t4_regs.h"
#include "cxgb4.h"
#include "cxgb4_cudbg.h"
#include "cudbg_zlib.h"

unsigned long long elfcorehdr_addr = ELFCORE_ADDR_MAX;

static struct vmcoredd_data *dump;
static void *kept; /* the payload collected during a whole probe */
static void *collecting;
static u8 known[CUDBG_MAX_ENTITY + 1];
static unsigned int entity_now;

/* The driver sets an entity's type before it calls the collector, and its size or error after. So
 * an entity is being collected if its header has a new type, but no size or error yet. */
static int begins(const struct cudbg_entity_hdr *entity, u8 *known)
{
    int begun = !*known && entity->entity_type;

    *known |= begun;
    return begun && !entity->size && !entity->hdr_flags;
}

unsigned int witness_entity(void)
{
    int number;

    for (number = 1; collecting && number <= CUDBG_MAX_ENTITY; number++)
        if (begins(cudbg_get_entity_hdr(collecting, number), &known[number]))
            entity_now = number;
    return entity_now;
}

void witness_follow(void *buffer)
{
    memset(known, 0, sizeof(known));
    entity_now = 0;
    collecting = buffer;
}

void witness_set_options(const struct witness_options *options)
{
    witness_options = *options;
    elfcorehdr_addr = options->kdump ? 0 : ELFCORE_ADDR_MAX;
    if (options->uncompressed)
        witness_options.refused_size = CUDBG_COMPRESS_BUFF_SIZE + cudbg_get_workspace_size();
    witness_follow(NULL);
}

static int collect(struct vmcoredd_data *data, void *buffer)
{
    static struct net_device not_running;
    struct adapter *adapter = container_of(data, struct adapter, vmcoredd);
    int lent = !adapter->port[0] && !witness_options.port_without_device;
    int result;

    if (lent)
        adapter->port[0] = &not_running;
    witness_follow(buffer);
    result = data->vmcoredd_callback(data, buffer);
    witness_follow(NULL);
    if (lent)
        adapter->port[0] = NULL;
    return result;
}

int vmcore_add_device_dump(struct vmcoredd_data *data)
{
    dump = data;
    if (witness_options.stop_at_dump)
        witness_end_run(WITNESS_STOPPED, "%s", data->dump_name);
    kept = witness_allocate(data->size, PAGE_SIZE, 1);
    return kept ? collect(data, kept) : -ENOMEM;
}

int witness_collect_into(void *buffer)
{
    return collect(dump, buffer);
}

uint64_t witness_dump_size(void)
{
    return dump ? dump->size : 0;
}

const char *witness_dump_name(void)
{
    return dump ? dump->dump_name : "";
}

const void *witness_dump_data(void)
{
    return kept;
}
