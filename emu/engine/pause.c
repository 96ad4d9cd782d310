/* Flow control (802.3, annex 31B): a port that has no room for what comes from its wire pauses its
 * peer, and sends nothing while its peer has paused it.
 *
 * A pause lasts as long as it says; one that has to go on is sent again at half of that time, and
 * one of no time ends it. So whatever is lost or late, no port is silent for ever: a peer that dies
 * is forgotten within milliseconds. What was on its way stays on the wire, whose socket holds up
 * who sends more: a peer that does not care about pauses loses nothing either. */

#include "vmcoredd/emu/engine/internal.h"

enum {
    OPCODE = ETHERNET_HEADER,
    QUANTA = OPCODE + 2,
    ADDRESS = 6,
    PAUSE = 1,
    LONGEST = UINT16_MAX, /* quanta */
    QUANTUM = 512,        /* bits */
};

static const uint8_t PAUSES[ADDRESS] = {0x01, 0x80, 0xc2, 0x00, 0x00, 0x01};

/* Nanoseconds that quanta last at a port's speed. */
static uint64_t lasting(const struct port *port, uint64_t quanta)
{
    return quanta * QUANTUM / (port->gigabits ? port->gigabits : 1);
}

/* Writes the address that a port's pauses come from (MPS_PORT_TX_PAUSE_SOURCE_*). */
static void put_source(const struct port *port, uint8_t *mac)
{
    if (!port->pause_source)
        return;
    put16(mac, (uint16_t)port->pause_source[1]);
    put32(mac + 2, port->pause_source[0]);
}

/* Receiving */

static bool is_pause(const struct port *port, const uint8_t *frame)
{
    uint8_t own[ADDRESS] = {0};

    put_source(port, own);
    return get16(frame + OPCODE) == PAUSE &&
           (!memcmp(frame, PAUSES, ADDRESS) || !memcmp(frame, own, ADDRESS));
}

void pause_receive(struct engine *engine, uint32_t id, const struct frame *frame)
{
    struct port *port = &engine->ports[id];
    const uint16_t quanta = get16(frame->data + QUANTA);

    if (!is_pause(port, frame->data))
        return;
    count_event(port->received, RECEIVED_PAUSE);
    if (!port->obeys_pauses)
        return;
    port->wire.quiet = quanta ? engine->now + lasting(port, quanta) : 0;
    if (quanta)
        return;
    engine->vain = 0; /* what was held up is tried again */
    engine_wake(engine);
}

bool pause_waits(struct engine *engine, uint32_t id)
{
    uint64_t *const end = &engine->ports[id].wire.quiet;

    if (*end <= engine->now) {
        *end = 0;
        return false;
    }
    if (*end < engine->retry)
        engine->retry = *end;
    return true;
}

/* Sending */

/* Sends a pause, unless frames before it wait for the kernel: it would come late, and the socket
 * holds up both ends as well. */
static void send_pause(struct engine *engine, uint32_t id, uint16_t quanta)
{
    struct port *port = &engine->ports[id];
    uint8_t data[ETHERNET_SHORTEST] = {0};
    const struct frame frame = {.data = data, .length = sizeof(data)};

    memcpy(data, PAUSES, ADDRESS);
    put_source(port, data + ADDRESS);
    put16(data + ETHERNET_ADDRESSES, MAC_CONTROL);
    put16(data + OPCODE, PAUSE);
    put16(data + QUANTA, quanta);
    if (wire_is_full(&port->wire) || wire_send(engine, id, &frame) == ENGINE_HELD)
        return;
    count_event(port->sent, SENT_PAUSE);
    capture_frame(engine, id, &frame, true);
    if (is_recorded(engine))
        record_frame(engine, TRACE_FRAME_SENT, id, &frame);
}

void pause_peer(struct engine *engine, uint32_t id)
{
    struct port *port = &engine->ports[id];
    struct wire *wire = &port->wire;
    const bool waits = wire->held && port->sends_pauses;

    if (engine->hold_outside || (waits ? engine->now < wire->pauses : !wire->pauses))
        return;
    send_pause(engine, id, waits ? LONGEST : 0);
    wire->pauses = waits ? engine->now + lasting(port, LONGEST) / 2 : 0;
}

uint64_t pause_due(const struct engine *engine, uint32_t id)
{
    const uint64_t due = engine->ports[id].wire.pauses;

    return due && !engine->hold_outside ? due : UINT64_MAX;
}

void pause_count(const struct port *receiver, const struct port *sender)
{
    if (!receiver->sends_pauses)
        return;
    count_event(receiver->sent, SENT_PAUSE);
    if (sender->obeys_pauses)
        count_event(sender->received, RECEIVED_PAUSE);
}
