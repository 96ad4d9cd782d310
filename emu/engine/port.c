/* Ports: links, what firmware says of them, and where their frames go. */

#include <sys/epoll.h>

#include "vmcoredd/emu/engine/internal.h"

/* Links */

/* Whether a port's transmitter runs: then its peer sees a link. */
static bool is_on(const struct port *port)
{
    return port->present && port->configured && port->enabled;
}

static bool has_peer(const struct engine *engine, const struct port *port)
{
    const struct wire *wire = &port->wire;

    switch ((enum wire_kind)wire->kind) {
    case WIRE_OPEN:
        return false;
    case WIRE_PORT:
        return wire->peer < ENGINE_PORTS && is_on(&engine->ports[wire->peer]);
    case WIRE_CARD:
        return wire->fd >= 0 && wire->peer_on;
    case WIRE_STREAM:
    case WIRE_DGRAM:
    case WIRE_TAP:
        return wire->fd >= 0;
    case WIRE_IDLE:
        break;
    }
    return true;
}

/* Lets the other end of a port's wire see whether the port is on. */
static void show_peer(struct engine *engine, uint32_t id)
{
    struct port *port = &engine->ports[id];

    if (port->wire.kind == WIRE_STREAM)
        stream_update(engine, id, is_on(port));
    else if (port->wire.kind == WIRE_CARD)
        wire_tell(&port->wire, is_on(port));
}

void engine_update_links(struct engine *engine)
{
    for (uint32_t id = 0; id < ENGINE_PORTS; id++) {
        struct port *port = &engine->ports[id];
        bool up;

        show_peer(engine, id);
        up = port->present && port->configured && has_peer(engine, port);
        if (up == port->up)
            continue;
        port->up = up;
        engine_wake(engine);
        if (engine->link_changed)
            engine->link_changed(engine->handle, id, up);
    }
}

void engine_plug(struct engine *engine, uint32_t id, int fd)
{
    struct wire *wire = &engine->ports[id].wire;

    wire->peer_on = wire->knocks = 0;
    wire->told = UINT8_MAX; /* nothing yet */
    wire->due = 0;
    wire_attach(engine, id, fd);
    engine_update_links(engine);
    engine_wake(engine);
}

void engine_cut(struct engine *engine, uint32_t id)
{
    if (engine->ports[id].wire.kind == WIRE_STREAM)
        stream_close(engine, id);
    wire_detach(engine, id);
}

/* Whether an ingress queue is one that takes firmware's events. */
static bool takes_events(const struct ingress *queue)
{
    return queue->entries && queue->asynchronous && !queue->halted;
}

void engine_tell(struct engine *engine, uint32_t port)
{
    memset(engine->ports[port].event_due, 0, sizeof(engine->ports[port].event_due));
    for (uint32_t id = 0; id < ENGINE_QUEUES; id++)
        if (takes_events(&engine->ingress[id]))
            set_bit(engine->ports[port].event_due, id);
    engine_wake(engine);
}

/* Sends a port's event to one queue. False: it has no room, and gets the event in a later run. */
static bool send_event_to(struct engine *engine, struct port *port, uint32_t id)
{
    if (!takes_events(&engine->ingress[id]))
        return true;
    put(port->event, RSS_QID, id);
    return engine_cpl(engine, id, port->event, sizeof(port->event)) == ENGINE_DONE;
}

/* Sends a port's event where it is still due. */
static void send_event(struct engine *engine, struct port *port)
{
    for (uint32_t word = 0; word < ENGINE_QUEUES / 64; word++) {
        for (uint64_t bits = port->event_due[word]; bits; bits &= bits - 1) {
            uint32_t id = word * 64 + (uint32_t)__builtin_ctzll(bits);

            if (send_event_to(engine, port, id))
                clear_bit(port->event_due, id);
        }
    }
}

/* Frames */

/* Pads a frame that is too short for Ethernet; `room` has ETHERNET_SHORTEST bytes. */
static struct frame padded(const struct frame *frame, uint8_t *room)
{
    struct frame result = *frame;

    if (frame->length >= ETHERNET_SHORTEST)
        return result;
    memset(room, 0, ETHERNET_SHORTEST);
    memcpy(room, frame->data, frame->length);
    result.data = room;
    result.length = ETHERNET_SHORTEST;
    return result;
}

/* Counts a frame of a length that no port receives, and returns whether it is one. */
static bool refuses(const struct port *port, uint32_t length)
{
    if (length >= ETHERNET_HEADER && length <= PORT_LONGEST)
        return false;
    count_event(port->received, length < ETHERNET_HEADER ? RECEIVED_TOO_SHORT : RECEIVED_TOO_LONG);
    return true;
}

/* Receives a frame from the port's wire, whatever that is. A port that is off hears nothing. */
static int port_receive(struct engine *engine, uint32_t id, const struct frame *frame)
{
    const struct port *port = &engine->ports[id];
    uint8_t room[ETHERNET_SHORTEST];
    struct frame received;

    if (!is_on(port) || refuses(port, frame->length))
        return ENGINE_DONE;
    received = padded(frame, room);
    if (get16(received.data + ETHERNET_ADDRESSES) == MAC_CONTROL) {
        pause_receive(engine, id, &received);
    } else {
        if (engine_receive(engine, id, &received) == ENGINE_HELD)
            return ENGINE_HELD;
        count_received(engine, id, &received);
    }
    capture_frame(engine, id, &received, false);
    if (is_recorded(engine))
        record_frame(engine, TRACE_FRAME_RECEIVED, id, &received);
    return ENGINE_DONE;
}

/* Takes what has arrived on a wire; returns how many frames. */
static uint32_t take_frames(struct engine *engine, uint32_t id, uint32_t budget)
{
    struct wire *wire = &engine->ports[id].wire;
    struct frame frame;
    const bool offered = wire->held; /* the first frame was held before */
    uint32_t taken = 0;

    wire->held = engine->hold_outside;
    while (taken < budget && !moved_half(engine) && !wire->held && wire_next(engine, id, &frame)) {
        frame.offered = offered && !taken;
        wire->held = port_receive(engine, id, &frame) == ENGINE_HELD;
        if (wire->held)
            break;
        wire_taken(wire);
        taken++;
    }
    if (wire->held)
        wire_wait(engine, id);
    return taken;
}

static int pass_to_port(struct engine *engine, uint32_t id, uint32_t peer,
                        const struct frame *frame)
{
    int verdict = port_receive(engine, peer, frame);

    if (verdict == ENGINE_HELD && !frame->offered)
        pause_count(&engine->ports[peer], &engine->ports[id]);
    return verdict;
}

/* Sends a frame where the port's wire leads. */
static int pass_on(struct engine *engine, uint32_t id, const struct frame *frame)
{
    const struct wire *wire = &engine->ports[id].wire;

    switch ((enum wire_kind)wire->kind) {
    case WIRE_PORT:
        return pass_to_port(engine, id, wire->peer, frame);
    case WIRE_CARD:
    case WIRE_STREAM:
    case WIRE_DGRAM:
    case WIRE_TAP:
        return wire_send(engine, id, frame);
    case WIRE_IDLE:
    case WIRE_OPEN:
        break;
    }
    return ENGINE_DONE;
}

/* Sends a frame back to its own port, inside the card. */
static int loop_back(struct engine *engine, uint32_t id, const struct frame *frame)
{
    if (engine_receive(engine, id, frame) == ENGINE_HELD)
        return ENGINE_HELD;
    count_looped(engine, id, frame);
    return ENGINE_DONE;
}

static int drop(struct engine *engine, uint32_t id)
{
    engine->counts.frames_dropped++;
    count_event(engine->ports[id].sent, SENT_DROP);
    return ENGINE_DONE;
}

static int send_out(struct engine *engine, uint32_t id, const struct frame *frame)
{
    if (!engine->ports[id].up)
        return drop(engine, id);
    if (pause_holds(engine, id))
        return ENGINE_HELD;
    if (pass_on(engine, id, frame) == ENGINE_HELD)
        return wire_waits(engine, id, frame) ? ENGINE_HELD : drop(engine, id);
    count_sent(engine, id, frame);
    capture_frame(engine, id, frame, true);
    if (is_recorded(engine))
        record_frame(engine, TRACE_FRAME_SENT, id, frame);
    return ENGINE_DONE;
}

int engine_send(struct engine *engine, uint32_t id, const struct frame *frame)
{
    uint8_t room[ETHERNET_SHORTEST];
    struct frame sent;

    if (frame->loopback)
        return loop_back(engine, id, frame);
    sent = padded(frame, room);
    return send_out(engine, id, &sent);
}

/* The work of all ports */

/* Learns which wires have something. */
static void look(struct engine *engine)
{
    struct epoll_event events[2 * ENGINE_PORTS + 1];
    const int found = epoll_wait(engine->work_fd, events, 2 * ENGINE_PORTS + 1, 0);

    for (int i = 0; i < found; i++) {
        const uint32_t id = events[i].data.u32;

        if (id < ENGINE_PORTS) {
            wire_happens(engine, id, events[i].events);
        } else if (id - WIRE_LISTENER < ENGINE_PORTS) {
            engine->ports[id - WIRE_LISTENER].wire.knocks = 1;
        }
    }
}

static bool has_wires(const struct engine *engine)
{
    for (uint32_t id = 0; id < ENGINE_PORTS; id++)
        if (engine->ports[id].wire.fd >= 0 || engine->ports[id].wire.listener >= 0)
            return true;
    return false;
}

uint32_t ports_run(struct engine *engine, uint32_t budget)
{
    uint32_t taken = 0;

    if (has_wires(engine))
        look(engine);
    engine_update_links(engine);
    for (uint32_t id = 0; id < ENGINE_PORTS; id++) {
        struct port *port = &engine->ports[id];

        send_event(engine, port);
        if (port->wire.kind == WIRE_DGRAM && port->wire.due <= engine->now)
            port->wire.blocked = 0;
        if (port->wire.fd >= 0) {
            taken += take_frames(engine, id, budget / ENGINE_PORTS);
            pause_peer(engine, id);
        }
    }
    return taken;
}

/* Whether a wire is to be tried again at its `due`; `work_fd` tells when any other can go on. */
static bool tries_again(const struct port *port)
{
    const struct wire *wire = &port->wire;

    return wire->kind == WIRE_STREAM ? is_on(port) && wire->fd < 0
                                     : wire->kind == WIRE_DGRAM && wire->blocked;
}

uint64_t ports_flush(struct engine *engine)
{
    uint64_t due = UINT64_MAX;

    for (uint32_t id = 0; id < ENGINE_PORTS; id++) {
        const struct wire *wire = &engine->ports[id].wire;
        const uint64_t again = pause_due(engine, id);

        capture_flush(engine, id);
        wire_flush(engine, id);
        wire_watch(engine, id);
        if (tries_again(&engine->ports[id]) && wire->due < due)
            due = wire->due;
        due = again < due ? again : due;
    }
    return due;
}
