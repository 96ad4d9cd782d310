/* The host's memory. */

#include "vmcoredd/emu/engine/internal.h"

void engine_report(struct engine *engine, enum engine_trouble kind, uint32_t queue, uint64_t what,
                   int error)
{
    engine->counts.troubles++;
    if (is_recorded(engine))
        record_carrying(engine,
                        (struct trace_record){.kind = TRACE_TROUBLE,
                                              .space = (uint8_t)kind,
                                              .error = (uint8_t)-error,
                                              .detail = queue,
                                              .value = what},
                        NULL, 0);
    if (!engine->reports || !engine->report)
        return;
    engine->reports--;
    engine->counts.python_calls++;
    engine->report(engine->handle, (int)kind, queue, what, error);
    engine_wake(engine);
}

static int trouble(struct engine *engine, enum engine_trouble kind, uint32_t queue, uint64_t what,
                   int error)
{
    engine_report(engine, kind, queue, what, error);
    return error;
}

static bool refuses(const struct engine *engine, enum engine_breakage breakage)
{
    return __builtin_expect((engine->broken & breakage) != 0, 0);
}

static int read_host(struct engine *engine, uint64_t address, void *into, uint32_t length)
{
    const struct host *host = engine->host;

    if (!host || !engine->bus_master)
        return -ENODEV;
    return refuses(engine, BREAKS_DMA_READ) ? -EACCES
                                            : host->dma_read(host->cookie, address, into, length);
}

static int write_host(struct engine *engine, uint64_t address, const void *data, uint32_t length)
{
    const struct host *host = engine->host;

    if (!host || !engine->bus_master)
        return -ENODEV;
    return refuses(engine, BREAKS_DMA_WRITE) ? -EACCES
                                             : host->dma_write(host->cookie, address, data, length);
}

int dma_read(struct engine *engine, uint32_t queue, uint64_t address, void *into, uint32_t length)
{
    int error = read_host(engine, address, into, length);

    engine->moved += length + ENGINE_ACCESS;
    if (is_recorded(engine))
        record_dma(engine, TRACE_DMA_READ, queue, address, into, length, error);
    if (error)
        return trouble(engine, TROUBLE_DMA_READ, queue, address, error);
    engine->counts.dma_reads++;
    return 0;
}

int dma_write(struct engine *engine, uint32_t queue, uint64_t address, const void *data,
              uint32_t length)
{
    int error = write_host(engine, address, data, length);

    engine->moved += length + ENGINE_ACCESS;
    if (is_recorded(engine))
        record_dma(engine, TRACE_DMA_WRITE, queue, address, data, length, error);
    if (error)
        return trouble(engine, TROUBLE_DMA_WRITE, queue, address, error);
    engine->counts.dma_writes++;
    return 0;
}
