/* Rates of traffic classes and ports: a token bucket each.
 *
 * A rate's `due` is when all that was sent so far is paid for, and no earlier than PACE_BURST ago:
 * who was idle, or comes late, may catch up with so much at once. A queue that has to wait is held;
 * it is tried again a step after its time, so that several frames leave in one run.
 *
 * Queues that share a class, or a port, take what is there in their turns. Flows that share an
 * egress queue wait for each other. */

#include "vmcoredd/emu/engine/internal.h"

enum {
    PACE_BURST = 10000000,      /* ns */
    PACE_STEP = 1000000,        /* ns */
    NS_PER_KBPS_BYTE = 8000000, /* a byte takes so long at 1 kbit/s */
    RATES = 2,                  /* that a frame is subject to: its class's and its port's */
};

/* A limit, and when the next frame may leave that is subject to it. */
struct meter {
    uint32_t kbps; /* 0: there is none */
    uint64_t *due;
};

static struct meter class_meter(struct engine *engine, const struct egress *queue)
{
    struct flow *flow = queue->flow ? &engine->flows[queue->flow - 1] : NULL;
    uint32_t class = flow ? flow->traffic_class : queue->traffic_class;
    struct rate *rate = engine->class_rates[flow ? flow->port : queue->port];

    if (class >= ENGINE_CLASSES)
        return (struct meter){.kbps = 0};
    rate += class;
    return (struct meter){rate->kbps, flow && rate->per_flow ? &flow->due : &rate->due};
}

static void find_meters(struct engine *engine, const struct egress *queue, uint32_t port,
                        struct meter meters[RATES])
{
    struct rate *whole = &engine->port_rates[port];

    meters[0] = class_meter(engine, queue);
    meters[1] = (struct meter){whole->kbps, &whole->due};
}

bool pace_holds(struct engine *engine, struct egress *queue)
{
    uint64_t again = queue->due + PACE_STEP;

    if (queue->due <= engine->now)
        return false;
    queue->held = 1;
    if (again < engine->retry)
        engine->retry = again;
    return true;
}

bool pace_allows(struct engine *engine, struct egress *queue, uint32_t port)
{
    struct meter meters[RATES];

    find_meters(engine, queue, port, meters);
    for (uint32_t i = 0; i < RATES; i++)
        if (meters[i].kbps && *meters[i].due > queue->due)
            queue->due = *meters[i].due;
    return !pace_holds(engine, queue);
}

void pace_charge(struct engine *engine, const struct egress *queue, uint32_t port, uint32_t bytes)
{
    uint64_t earliest = engine->now > PACE_BURST ? engine->now - PACE_BURST : 0;
    struct meter meters[RATES];

    find_meters(engine, queue, port, meters);
    for (uint32_t i = 0; i < RATES; i++) {
        uint32_t kbps = meters[i].kbps;

        if (!kbps)
            continue;
        if (*meters[i].due < earliest)
            *meters[i].due = earliest;
        *meters[i].due += ((uint64_t)bytes * NS_PER_KBPS_BYTE + kbps - 1) / kbps;
    }
}

/* Lets all queues look at their rates again. */
static void release_queues(struct engine *engine)
{
    for (uint32_t id = 0; id < ENGINE_QUEUES; id++)
        engine->egress[id].due = 0;
    engine_wake(engine);
}

void engine_limit(struct engine *engine, uint32_t port, uint32_t traffic_class, uint32_t kbps,
                  int per_flow)
{
    struct rate *rate = traffic_class < ENGINE_CLASSES ? &engine->class_rates[port][traffic_class]
                                                       : &engine->port_rates[port];

    *rate = (struct rate){.kbps = kbps, .per_flow = per_flow != 0};
    for (uint32_t i = 0; i < ENGINE_FLOWS; i++)
        if (engine->flows[i].port == port && engine->flows[i].traffic_class == traffic_class)
            engine->flows[i].due = 0;
    release_queues(engine);
}

void engine_forget_sent(struct engine *engine)
{
    for (uint32_t port = 0; port < ENGINE_PORTS; port++) {
        engine->port_rates[port].due = 0;
        for (uint32_t class = 0; class < ENGINE_CLASSES; class++)
            engine->class_rates[port][class].due = 0;
    }
    for (uint32_t i = 0; i < ENGINE_FLOWS; i++)
        engine->flows[i].due = 0;
    release_queues(engine);
}
