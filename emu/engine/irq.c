/* The host's interrupts: MSI-X with its masks and pending bits, or INTx. */

#include "vmcoredd/emu/engine/internal.h"

enum { ENTRY_WORDS = 4, VECTOR_CONTROL = 3, VECTOR_MASKED = 1, INTERRUPT_STATUS = 0x08 };

/* A message is a write to the host's memory, so it needs the bus. The table's mask is the last word
 * of an entry. */
static bool is_masked(const struct engine *engine, uint32_t vector)
{
    const uint32_t *entry = engine->msix_table + vector * ENTRY_WORDS;

    return !engine->bus_master || engine->msix_masked || (entry[VECTOR_CONTROL] & VECTOR_MASKED);
}

/* Returns whether the host has got this vector. It refuses one that it does not listen to. */
static bool deliver(struct engine *engine, uint32_t vector)
{
    const struct host *host = engine->host;

    return host && !is_masked(engine, vector) && host->irq(host->cookie, vector) == 0;
}

static void show_pending(struct engine *engine)
{
    memcpy(engine->msix_pending_bits, engine->msix_pending, sizeof(engine->msix_pending));
}

static void set_pending(struct engine *engine, uint32_t vector, bool pending)
{
    uint32_t *word = &engine->msix_pending[vector / 32], bit = 1u << vector % 32;

    *word = pending ? *word | bit : *word & ~bit;
    show_pending(engine);
}

/* INTx has one line, whatever the vector. The PCI status says that it is asserted, heard or not. */
static void deliver_intx(struct engine *engine)
{
    const struct host *host = engine->host;

    engine->intx_waits = !host || !engine->intx || host->irq(host->cookie, 0) != 0;
}

static void raise_intx(struct engine *engine)
{
    *engine->pci_status |= INTERRUPT_STATUS;
    deliver_intx(engine);
}

void irq_clear_intx(struct engine *engine)
{
    *engine->pci_status &= (uint8_t)~INTERRUPT_STATUS;
    engine->intx_waits = 0;
}

void irq_raise(struct engine *engine, uint32_t vector)
{
    engine->counts.interrupts++;
    if (!engine->msix)
        raise_intx(engine);
    else if (vector < ENGINE_VECTORS)
        set_pending(engine, vector, !deliver(engine, vector));
    else
        engine_report(engine, TROUBLE_INTERRUPT, ENGINE_NO_QUEUE, vector, -EINVAL);
}

void irq_retry(struct engine *engine)
{
    if (!engine->msix) {
        if (engine->intx_waits)
            deliver_intx(engine);
        return;
    }
    for (uint32_t vector = 0; vector < ENGINE_VECTORS; vector++)
        if ((engine->msix_pending[vector / 32] >> vector % 32 & 1) && deliver(engine, vector))
            set_pending(engine, vector, false);
}

void engine_msix_written(struct engine *engine, uint32_t offset, uint32_t length)
{
    (void)offset, (void)length;
    if (engine->msix)
        irq_clear_intx(engine);
    show_pending(engine); /* the host cannot change these bits */
    irq_retry(engine);
}
