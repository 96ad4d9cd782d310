/* What MPS counts: MPS_PORT_STAT_*, MPS_STAT_RX_BG_* and MPS_PF_STAT_*, in BAR0's own words.
 * Lengths include the FCS. */

#include "vmcoredd/emu/engine/internal.h"

enum { FCS = 4 };

/* The kinds of address, in the order of the statistics. */
enum kind { BROADCAST, MULTICAST, UNICAST };

/* Statistics are 64-bit words in pairs of registers; those of a card that has none are NULL. */
static void add(uint32_t *statistics, uint32_t which, uint64_t amount)
{
    uint64_t total;

    if (!statistics)
        return;
    memcpy(&total, statistics + 2 * which, sizeof(total));
    total += amount;
    memcpy(statistics + 2 * which, &total, sizeof(total));
}

void count_event(uint32_t *statistics, uint32_t which)
{
    add(statistics, which, 1);
}

/* Which of the seven classes of length a frame belongs to, from 64 bytes to more than 1518. */
static uint32_t length_class(uint32_t length)
{
    static const uint32_t last[] = {64, 127, 255, 511, 1023, 1518};
    uint32_t class = 0;

    while (class < sizeof(last) / sizeof(*last) && length > last[class])
        class++;
    return class;
}

static enum kind kind_of(const uint8_t *destination)
{
    static const uint8_t broadcast[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

    if (!(destination[0] & 1))
        return UNICAST;
    return memcmp(destination, broadcast, sizeof(broadcast)) ? MULTICAST : BROADCAST;
}

/* Counts a frame of a port; `shortest` is the first of the classes of length. */
static void count(uint32_t *statistics, const struct frame *frame, uint32_t shortest)
{
    const uint32_t length = frame->length + FCS;

    add(statistics, SENT_BYTES, length);
    add(statistics, SENT_FRAMES, 1);
    add(statistics, SENT_BROADCAST + kind_of(frame->data), 1);
    add(statistics, shortest + length_class(length), 1);
}

/* Counts a frame of a function, from the pair of bytes and frames that is for broadcasts on. */
static void count_kind(uint32_t *statistics, const struct frame *frame, uint32_t first)
{
    const uint32_t which = first + 2 * kind_of(frame->data);

    add(statistics, which, frame->length + FCS);
    add(statistics, which + 1, 1);
}

void count_sent(struct engine *engine, uint32_t port, const struct frame *frame)
{
    count(engine->ports[port].sent, frame, SENT_64);
    count_kind(engine->functions[frame->pf % ENGINE_FUNCTIONS], frame, FUNCTION_SENT);
}

void count_received(struct engine *engine, uint32_t port, const struct frame *frame)
{
    count(engine->ports[port].received, frame, RECEIVED_64);
}

void count_looped(struct engine *engine, uint32_t port, const struct frame *frame)
{
    count(engine->ports[port].looped, frame, SENT_64);
}

void count_delivered(struct engine *engine, uint32_t pf, const struct frame *frame)
{
    uint32_t *statistics = engine->functions[pf % ENGINE_FUNCTIONS];

    add(statistics, FUNCTION_RECEIVED, frame->length + FCS);
    add(statistics, FUNCTION_RECEIVED + 1, 1);
    count_kind(statistics, frame, FUNCTION_RECEIVED + 2);
}

void count_drop(struct engine *engine, uint32_t port, const struct frame *frame)
{
    engine->counts.frames_dropped++;
    add(frame->loopback ? engine->ports[port].dropped_loopback : engine->ports[port].dropped, 0, 1);
}
