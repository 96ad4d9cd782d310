/* The contexts of queues: what a dump shows of them. Firmware sets them up; the fields here change
 * while a queue runs. */

#include "vmcoredd/emu/engine/internal.h"

enum { CONTEXT_WORDS = 6, CONTEXT_BYTES = 4 * CONTEXT_WORDS, COUNTER_MAX = 63 };

/* The types of contexts, in the order of their table. */
enum type { TYPE_EGRESS, TYPE_INGRESS, TYPE_FLM };

static void set(uint32_t *context, struct context_field field, uint64_t value)
{
    uint32_t bit = field.shift, end = bit + field.width;

    while (bit < end) {
        uint32_t part = 32 - bit % 32 < end - bit ? 32 - bit % 32 : end - bit;
        uint64_t mask = (((uint64_t)1 << part) - 1) << bit % 32;

        context[bit / 32] = (uint32_t)((context[bit / 32] & ~mask) | (value << bit % 32 & mask));
        value >>= part;
        bit += part;
    }
}

/* A context in the table, or NULL. */
static uint32_t *find(const struct engine *engine, enum type type, uint32_t number)
{
    if (!engine->contexts || number >= engine->context_rows)
        return NULL;
    return engine->contexts + (type * engine->context_rows + number) * CONTEXT_WORDS;
}

/* Copies a context to its place in adapter memory, where each pair of words has its highest byte
 * first. */
static void copy(uint8_t *memory, uint32_t rows, uint32_t number, const uint32_t *context)
{
    if (!memory || number >= rows)
        return;
    for (uint32_t i = 0; i < CONTEXT_BYTES; i++)
        memory[number * CONTEXT_BYTES + (i ^ 7)] = ((const uint8_t *)context)[i];
}

static void show_free_list(const struct engine *engine, const struct egress *queue)
{
    const struct context_layout *layout = &engine->chip.contexts;
    uint32_t *context = find(engine, TYPE_FLM, queue->flm);

    if (!context)
        return;
    set(context, layout->flm_pidx, queue->pidx);
    set(context, layout->flm_cidx, queue->cidx);
    set(context, layout->flm_pack_offset, queue->offset);
}

static void show_egress(const struct engine *engine, uint32_t id)
{
    const struct context_layout *layout = &engine->chip.contexts;
    const struct egress *queue = &engine->egress[id];
    uint32_t *context = find(engine, TYPE_EGRESS, id);

    if (!context || queue->kind == EGRESS_NONE)
        return;
    set(context, layout->egress_pidx, queue->pidx);
    set(context, layout->egress_cidx, queue->cidx);
    copy(engine->egress_memory, engine->egress_memory_rows, id, context);
    if (queue->kind == EGRESS_FREE_LIST)
        show_free_list(engine, queue);
}

static void show_ingress(const struct engine *engine, uint32_t id)
{
    const struct context_layout *layout = &engine->chip.contexts;
    const struct ingress *queue = &engine->ingress[id];
    uint32_t *context = find(engine, TYPE_INGRESS, id), waiting;

    if (!context || !queue->entries)
        return;
    waiting = ring_distance(queue->cidx, queue->pidx, queue->entries);
    set(context, layout->ingress_pidx, queue->pidx);
    set(context, layout->ingress_cidx, queue->cidx);
    set(context, layout->ingress_generation, queue->generation);
    set(context, layout->ingress_armed, queue->armed);
    set(context, layout->ingress_count_armed, queue->armed && queue->count_armed);
    set(context, layout->ingress_counter, waiting < COUNTER_MAX ? waiting : COUNTER_MAX);
    set(context, layout->ingress_timer_pending, queue->armed && queue->due);
    copy(engine->ingress_memory, engine->ingress_memory_rows, id, context);
}

static void show_all(const struct engine *engine, uint64_t *changed,
                     void (*show)(const struct engine *engine, uint32_t id))
{
    for (uint32_t word = 0; word < ENGINE_QUEUES / 64; word++)
        for (; changed[word]; changed[word] &= changed[word] - 1)
            show(engine, word * 64 + (uint32_t)__builtin_ctzll(changed[word]));
}

void engine_show(struct engine *engine)
{
    show_all(engine, engine->egress_changed, show_egress);
    show_all(engine, engine->ingress_changed, show_ingress);
}

static void clear(const struct engine *engine, enum type type, uint32_t number)
{
    uint32_t *context = find(engine, type, number);

    if (!context)
        return;
    memset(context, 0, CONTEXT_BYTES);
    if (type == TYPE_EGRESS)
        copy(engine->egress_memory, engine->egress_memory_rows, number, context);
    if (type == TYPE_INGRESS)
        copy(engine->ingress_memory, engine->ingress_memory_rows, number, context);
}

void contexts_clear_egress(struct engine *engine, uint32_t id)
{
    if (engine->egress[id].kind == EGRESS_FREE_LIST)
        clear(engine, TYPE_FLM, engine->egress[id].flm);
    clear(engine, TYPE_EGRESS, id);
}

void contexts_clear_ingress(struct engine *engine, uint32_t id)
{
    clear(engine, TYPE_INGRESS, id);
}
