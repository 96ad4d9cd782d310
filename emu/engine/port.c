/* Ports: links, what firmware says of them, and statistics. */

#include "vmcoredd/emu/engine/internal.h"

enum {
    SHORTEST = 60, /* frames without FCS: the MAC pads them */
    FCS = 4,
};

/* Links */

/* Whether a port's transmitter runs: then its peer sees a link. */
static bool is_on(const struct port *port)
{
    return port->present && port->configured && port->enabled;
}

static bool has_peer(const struct engine *engine, const struct port *port)
{
    switch ((enum wire_kind)port->wire) {
    case WIRE_OPEN:
        return false;
    case WIRE_PORT:
        return port->peer < ENGINE_PORTS && is_on(&engine->ports[port->peer]);
    case WIRE_STREAM:
        return port->fd >= 0;
    case WIRE_IDLE:
    case WIRE_DGRAM:
    case WIRE_TAP:
        break;
    }
    return true;
}

void engine_update_links(struct engine *engine)
{
    for (uint32_t id = 0; id < ENGINE_PORTS; id++) {
        struct port *port = &engine->ports[id];
        const bool up = port->present && port->configured && has_peer(engine, port);

        if (up == port->up)
            continue;
        port->up = up;
        engine_wake(engine);
        if (engine->link_changed)
            engine->link_changed(engine->handle, id, up);
    }
}

/* Whether an ingress queue is one that takes firmware's events. */
static bool takes_events(const struct ingress *queue)
{
    return queue->entries && queue->asynchronous && !queue->halted;
}

void engine_tell(struct engine *engine, uint32_t port)
{
    uint8_t functions = 0;

    for (uint32_t id = 0; id < ENGINE_QUEUES; id++)
        if (takes_events(&engine->ingress[id]))
            functions |= (uint8_t)(1u << engine->ingress[id].pf);
    engine->ports[port].event_due = functions;
    engine_wake(engine);
}

/* Sends a port's event where it is still due; a queue without room gets it in a later run. */
static void send_event(struct engine *engine, struct port *port)
{
    uint8_t left = 0;

    for (uint32_t id = 0; id < ENGINE_QUEUES; id++) {
        const struct ingress *queue = &engine->ingress[id];
        const uint8_t function = (uint8_t)(1u << queue->pf);

        if (!takes_events(queue) || !(port->event_due & function))
            continue;
        put16(port->event + 2, (uint16_t)id); /* its RSS header names the queue */
        if (engine_cpl(engine, id, port->event, sizeof(port->event)) == ENGINE_HELD)
            left |= function;
    }
    port->event_due = left;
}

/* Statistics */

static void add(uint32_t *statistics, uint32_t which, uint64_t amount)
{
    uint64_t total;

    memcpy(&total, statistics + 2 * which, sizeof(total));
    total += amount;
    memcpy(statistics + 2 * which, &total, sizeof(total));
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

static uint32_t kind_of(const uint8_t *destination)
{
    static const uint8_t broadcast[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

    if (!(destination[0] & 1))
        return SENT_UNICAST;
    return memcmp(destination, broadcast, sizeof(broadcast)) ? SENT_MULTICAST : SENT_BROADCAST;
}

/* Counts a frame; `shortest_class` is where this direction's classes of length begin. */
static void count(uint32_t *statistics, const struct frame *frame, uint32_t shortest_class)
{
    const uint32_t length = frame->length + FCS;

    if (!statistics)
        return;
    add(statistics, SENT_BYTES, length);
    add(statistics, SENT_FRAMES, 1);
    add(statistics, kind_of(frame->data), 1);
    add(statistics, shortest_class + length_class(length), 1);
}

/* Frames */

/* A frame that has arrived at a port from its wire. */
int port_receive(struct engine *engine, uint32_t id, const struct frame *frame)
{
    struct port *port = &engine->ports[id];

    if (engine_receive(engine, id, frame) == ENGINE_HELD)
        return ENGINE_HELD;
    count(port->received, frame, RECEIVED_64);
    return ENGINE_DONE;
}

/* Sends a frame where the port's wire leads. */
static int pass_on(struct engine *engine, struct port *port, const struct frame *frame)
{
    if (port->wire == WIRE_PORT)
        return port_receive(engine, port->peer, frame);
    return ENGINE_DONE;
}

/* Sends a frame back to its own port, inside the card. */
static int loop_back(struct engine *engine, uint32_t id, const struct frame *frame)
{
    if (engine_receive(engine, id, frame) == ENGINE_HELD)
        return ENGINE_HELD;
    count(engine->ports[id].looped, frame, SENT_64);
    return ENGINE_DONE;
}

static int send_out(struct engine *engine, struct port *port, const struct frame *frame)
{
    if (!port->up) {
        engine->counts.frames_dropped++;
        if (port->sent)
            add(port->sent, SENT_DROP, 1);
        return ENGINE_DONE;
    }
    if (pass_on(engine, port, frame) == ENGINE_HELD)
        return ENGINE_HELD;
    count(port->sent, frame, SENT_64);
    return ENGINE_DONE;
}

int engine_send(struct engine *engine, uint32_t id, const struct frame *frame)
{
    uint8_t padded[SHORTEST] = {0};
    struct frame sent = *frame;

    if (frame->loopback)
        return loop_back(engine, id, frame);
    if (frame->length < SHORTEST) {
        memcpy(padded, frame->data, frame->length);
        sent.data = padded;
        sent.length = SHORTEST;
    }
    return send_out(engine, &engine->ports[id], &sent);
}

uint32_t ports_run(struct engine *engine, uint32_t budget)
{
    (void)budget;
    engine_update_links(engine);
    for (uint32_t id = 0; id < ENGINE_PORTS; id++)
        if (engine->ports[id].event_due)
            send_event(engine, &engine->ports[id]);
    return 0;
}
