/* Declarations that the engine's C files share, not for Python. Each file calls only those below
 * it:
 *
 *   engine.c    the loop: whose turn it is, budgets, contexts
 *   doorbell.c  BAR2 and SGE_PF_*: indices that the driver moves
 *   egress.c    work requests, their scatter-gather lists, completions
 *   control.c   requests of the control queues
 *   offload.c   segmentation, checksums, VLAN tags
 *   port.c      links, statistics; wire.c: where frames go; capture.c: pcapng
 *   receive.c   who gets a frame: filters, RSS
 *   ingress.c   responses, free lists, interrupts
 *   dma.c       the host's memory
 *   irq.c       its interrupts
 */
#ifndef VMCOREDD_ENGINE_INTERNAL_H
#define VMCOREDD_ENGINE_INTERNAL_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "pyvfio_user/host.h"
#include "pyvfio_user/io.h"
#include "vmcoredd/chip/chip.h"
#include "vmcoredd/chip/messages.h"
#include "vmcoredd/emu/core.h"
#include "vmcoredd/emu/engine/engine.h"

enum { DESCRIPTOR = 64 };

static inline uint16_t get16(const void *at)
{
    uint16_t value;

    memcpy(&value, at, sizeof(value));
    return __builtin_bswap16(value);
}

static inline uint32_t get32(const void *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof(value));
    return __builtin_bswap32(value);
}

static inline uint64_t get64(const void *at)
{
    uint64_t value;

    memcpy(&value, at, sizeof(value));
    return __builtin_bswap64(value);
}

static inline void put16(void *at, uint16_t value)
{
    value = __builtin_bswap16(value);
    memcpy(at, &value, sizeof(value));
}

static inline void put32(void *at, uint32_t value)
{
    value = __builtin_bswap32(value);
    memcpy(at, &value, sizeof(value));
}

static inline void put64(void *at, uint64_t value)
{
    value = __builtin_bswap64(value);
    memcpy(at, &value, sizeof(value));
}

/* A field of a message, as messages.h describes it: get(cpl, TX_PKT_LEN). `mask` is not 0. */
static inline uint64_t get(const void *message, uint32_t offset, uint32_t bytes, uint64_t mask)
{
    const uint8_t *at = (const uint8_t *)message + offset;
    uint64_t word = *at;

    if (bytes == 2)
        word = get16(at);
    else if (bytes == 4)
        word = get32(at);
    else if (bytes == 8)
        word = get64(at);
    return (word & mask) >> __builtin_ctzll(mask);
}

/* Sets a field of a message; the other fields of its word stay. */
static inline void put(void *message, uint32_t offset, uint32_t bytes, uint64_t mask,
                       uint64_t value)
{
    uint8_t *at = (uint8_t *)message + offset;
    uint64_t field = (value << __builtin_ctzll(mask)) & mask;

    if (bytes == 1)
        *at = (uint8_t)((*at & ~mask) | field);
    else if (bytes == 2)
        put16(at, (uint16_t)((get16(at) & ~mask) | field));
    else if (bytes == 4)
        put32(at, (uint32_t)((get32(at) & ~mask) | field));
    else
        put64(at, (get64(at) & ~mask) | field);
}

/* A register of BAR0, as it stands. */
static inline uint32_t reg(const struct engine *engine, uint32_t offset)
{
    return engine->core->bar0->words[offset / 4];
}

/* The field of a register that `mask` (chip.h) covers. */
static inline uint32_t field(uint32_t value, uint32_t mask)
{
    return (value & mask) >> __builtin_ctz(mask);
}

/* engine.c */
/* Asks for another run: something has changed that work may wait for. */
static inline void engine_wake(struct engine *engine)
{
    engine->pending = 1;
}

/* egress.c: works through at most `budget` work requests; returns how many */
uint32_t egress_run(struct engine *engine, uint32_t id, uint32_t budget);

/* control.c: handles one control work request; ENGINE_HELD if its reply has no room */
int control_request(struct engine *engine, struct egress *queue, const uint8_t *request,
                    uint32_t length);

/* port.c: takes frames from outside and passes them on; returns how many */
uint32_t ports_run(struct engine *engine, uint32_t budget);

/* ingress.c */
/* Handles a GTS write. */
void ingress_gts(struct engine *engine, uint32_t id, uint32_t increment, uint32_t timer,
                 bool count_armed);
/* Raises interrupts whose time has come; returns when the next is due, UINT64_MAX: none is. */
uint64_t ingress_run(struct engine *engine);

/* dma.c: 0 or -errno; the failure is reported, and its cause is set */
int dma_read(struct engine *engine, uint32_t queue, uint64_t address, void *into, uint32_t length);
int dma_write(struct engine *engine, uint32_t queue, uint64_t address, const void *data,
              uint32_t length);
/* Says what went wrong: calls Python, so never for a frame. */
void engine_report(struct engine *engine, enum engine_trouble kind, uint32_t queue, uint64_t what,
                   int error);

/* irq.c */
/* Tries again to deliver what is pending. */
void irq_retry(struct engine *engine);

#endif
