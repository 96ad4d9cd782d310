/* The host's interrupts: MSI-X with its masks and pending bits, MSI, or INTx. */

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

/* MSI has one vector, whatever the queue's; it is a write to the host's memory, too. */
static void raise_msi(struct engine *engine)
{
    const struct host *host = engine->host;

    engine->msi_waits = !host || !engine->bus_master || host->irq(host->cookie, 0) != 0;
}

static bool is_heard(const struct engine *engine, uint32_t vector)
{
    if (engine->msix)
        return vector < ENGINE_VECTORS && !(engine->msix_pending[vector / 32] >> vector % 32 & 1);
    return engine->msi ? !engine->msi_waits : !engine->intx_waits;
}

static void record_interrupt(struct engine *engine, uint32_t vector, bool heard)
{
    const struct trace_record what = {.kind = TRACE_INTERRUPT,
                                      .space = engine->msix  ? TRACE_MSIX
                                               : engine->msi ? TRACE_MSI
                                                             : TRACE_INTX,
                                      .detail = vector,
                                      .value = heard};

    record_carrying(engine, what, NULL, 0);
}

static void raise_now(struct engine *engine, uint32_t vector)
{
    if (engine->msix && vector >= ENGINE_VECTORS)
        engine_report(engine, TROUBLE_INTERRUPT, ENGINE_NO_QUEUE, vector, -EINVAL);
    else if (engine->msix)
        set_pending(engine, vector, !deliver(engine, vector));
    else if (engine->msi)
        raise_msi(engine);
    else
        raise_intx(engine);
    if (is_recorded(engine))
        record_interrupt(engine, vector, is_heard(engine, vector));
}

/* Raises a vector later; one that is late already stays so. The next run knows what time it is. */
static void raise_later(struct engine *engine, uint32_t vector)
{
    if (engine->late_due[vector])
        return;
    engine->late_interrupts++;
    engine->late_due[vector] = UINT64_MAX;
    engine_wake(engine);
}

/* Raises a vector as `broken` says. */
static void raise_broken(struct engine *engine, uint32_t vector)
{
    if (engine->broken & BREAKS_INTERRUPT_LOST) {
        if (is_recorded(engine))
            record_interrupt(engine, vector, false);
        return;
    }
    if (!(engine->broken & BREAKS_INTERRUPT_LATE))
        raise_now(engine, vector);
    raise_later(engine, vector);
}

void irq_raise(struct engine *engine, uint32_t vector)
{
    engine->counts.interrupts++;
    if (engine->broken & BREAKS_INTERRUPTS && vector < ENGINE_VECTORS)
        raise_broken(engine, vector);
    else
        raise_now(engine, vector);
}

uint64_t irq_raise_late(struct engine *engine)
{
    uint64_t next = UINT64_MAX;

    for (uint32_t vector = 0; engine->late_interrupts && vector < ENGINE_VECTORS; vector++) {
        uint64_t *due = &engine->late_due[vector];

        if (!*due)
            continue;
        if (*due == UINT64_MAX)
            *due = engine->now + engine->late;
        if (*due <= engine->now) {
            *due = 0;
            engine->late_interrupts--;
            raise_now(engine, vector);
        } else if (*due < next) {
            next = *due;
        }
    }
    return next;
}

void irq_forget_late(struct engine *engine)
{
    memset(engine->late_due, 0, sizeof(engine->late_due));
    engine->late_interrupts = 0;
}

static void retry_msix(struct engine *engine)
{
    for (uint32_t vector = 0; vector < ENGINE_VECTORS; vector++)
        if ((engine->msix_pending[vector / 32] >> vector % 32 & 1) && deliver(engine, vector))
            set_pending(engine, vector, false);
}

void irq_retry(struct engine *engine)
{
    if (engine->msix)
        retry_msix(engine);
    if (engine->msi_waits)
        raise_msi(engine);
    if (engine->intx_waits)
        deliver_intx(engine);
}

void engine_msix_written(struct engine *engine, uint32_t offset, uint32_t length)
{
    (void)offset, (void)length;
    if (engine->msix || engine->msi)
        irq_clear_intx(engine);
    if (engine->msix || !engine->msi)
        engine->msi_waits = 0;
    show_pending(engine); /* the host cannot change these bits */
    irq_retry(engine);
}
