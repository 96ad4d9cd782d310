/* Ethernet work requests: a frame, several, or a packet that becomes several frames. */

#include "vmcoredd/emu/engine/internal.h"

/* Sending a frame */

static uint32_t header_length(const uint8_t *cpl, uint32_t shift, uint32_t bits)
{
    return (uint32_t)(get(cpl, TX_PKT_WORDS_CTRL1) >> shift & ((1u << bits) - 1));
}

/* Where the headers of a frame are, for a type of checksum that needs to know. */
static struct layers layers_of(const struct engine_chip *chip, const uint8_t *cpl)
{
    uint64_t type = get(cpl, TX_PKT_CSUM_TYPE);
    struct layers layers = {.ip6 = sending_is_ip6(cpl)};

    layers.udp = type == TX_CSUM_UDPIP || type == TX_CSUM_UDPIP6;
    layers.ip = ETHERNET_HEADER +
                header_length(cpl, chip->ethernet_header_shift, chip->ethernet_header_bits);
    layers.transport = layers.ip + header_length(cpl, chip->ip_header_shift, chip->ip_header_bits);
    layers.payload = layers.transport + (layers.udp ? UDP_HEADER : TCP_HEADER);
    return layers;
}

/* Sums up the bytes that the request names: the field holds the pseudo header's sum. */
static void sum_range(const uint8_t *cpl, uint8_t *frame, uint32_t length)
{
    uint32_t start = (uint32_t)get(cpl, TX_PKT_CSUM_START);
    uint32_t field = (uint32_t)get(cpl, TX_PKT_CSUM_LOC);
    uint32_t end = length - (uint32_t)get(cpl, TX_PKT_CSUM_END);

    if (end <= length && start < end && field + 2 <= length)
        offload_sum(frame, start, end, field, get(cpl, TX_PKT_CSUM_TYPE) == TX_CSUM_UDP);
}

/* Fills in the checksums that a request asks for, where the frame has room for them. */
static void add_checksums(const struct engine *engine, const uint8_t *cpl, uint8_t *frame,
                          uint32_t length)
{
    struct layers layers = layers_of(&engine->chip, cpl);
    uint64_t type = get(cpl, TX_PKT_CSUM_TYPE);
    bool transport = !get(cpl, TX_PKT_L4CSUM_DIS);

    if (type <= TX_CSUM_UDP && transport)
        sum_range(cpl, frame, length);
    if (type < TX_CSUM_TCPIP || !offload_ip_fits(&layers, length))
        return;
    if (!get(cpl, TX_PKT_IPCSUM_DIS) && !layers.ip6)
        offload_ip_sum(frame, &layers);
    if (transport && type != TX_CSUM_IP && offload_fits(&layers, length))
        offload_transport_sum(frame, length, &layers);
}

/* Sends a frame that is ready but for its VLAN tag; there is room for that in front of it. */
static int send(struct engine *engine, struct egress *queue, const uint8_t *cpl, uint8_t *data,
                uint32_t length)
{
    uint32_t interface = (uint32_t)get(cpl, TX_PKT_INTF), port = interface % ENGINE_PORTS;
    struct frame frame = {.data = data,
                          .length = length,
                          .loopback = interface & LOOPBACK,
                          .offered = queue->offered,
                          .pf = queue->pf};
    const bool paced = pace_concerns(engine, queue, port);

    if (paced && !pace_allows(engine, queue, port))
        return ENGINE_HELD;
    if (get(cpl, TX_PKT_VLAN_VLD)) {
        frame.data = offload_tag(data, (uint16_t)get(cpl, TX_PKT_VLAN));
        frame.length += VLAN_TAG;
    }
    queue->offered = engine_send(engine, port, &frame) == ENGINE_HELD;
    if (queue->offered)
        return ENGINE_HELD;
    if (paced)
        pace_charge(engine, queue, port, frame.length);
    engine->counts.frames_sent++;
    queue->frames++;
    queue->bytes += frame.length;
    return ENGINE_DONE;
}

/* Sending what a work request asks for */

static enum outcome send_frame(struct engine *engine, uint32_t id, const struct sending *sending)
{
    uint8_t *frame = engine->scratch + VLAN_TAG;

    if (gather_read(engine, id, &sending->gather, 0, frame, sending->length))
        return OUTCOME_FAULT;
    add_checksums(engine, sending->cpl, frame, sending->length);
    return send(engine, &engine->egress[id], sending->cpl, frame, sending->length) == ENGINE_HELD
               ? OUTCOME_HELD
               : OUTCOME_DONE;
}

/* Sends the next segment of a packet, which `progress` tells. */
static enum outcome send_segment(struct engine *engine, uint32_t id, const struct sending *sending,
                                 const uint8_t *headers)
{
    struct egress *queue = &engine->egress[id];
    const struct layers *layers = &sending->layers;
    uint32_t left = sending->length - layers->payload - queue->progress;
    uint32_t bytes = left < sending->mss ? left : sending->mss;
    uint8_t *frame = engine->scratch + VLAN_TAG;
    struct segment segment = {queue->progress / sending->mss, queue->progress, left == bytes};

    memcpy(frame, headers, layers->payload);
    if (gather_read(engine, id, &sending->gather, layers->payload + queue->progress,
                    frame + layers->payload, bytes))
        return OUTCOME_FAULT;
    offload_segment(frame, layers->payload + bytes, layers, &segment);
    if (sending->outer.ip)
        offload_outer(frame, layers->payload + bytes, &sending->outer, segment.index);
    if (send(engine, queue, sending->cpl, frame, layers->payload + bytes) == ENGINE_HELD)
        return OUTCOME_HELD;
    queue->progress += bytes;
    return segment.last ? OUTCOME_DONE : OUTCOME_MORE;
}

static enum outcome send_segments(struct engine *engine, uint32_t id, const struct sending *sending,
                                  uint32_t *budget)
{
    enum outcome outcome = OUTCOME_MORE;
    uint8_t headers[SENDING_HEADERS];

    if (engine->egress[id].progress > sending->length - sending->layers.payload)
        return OUTCOME_NONSENSE; /* the driver has changed what was being sent */
    if (gather_read(engine, id, &sending->gather, 0, headers, sending->layers.payload))
        return OUTCOME_FAULT;
    for (; outcome == OUTCOME_MORE && *budget && !moved_enough(engine); --*budget)
        outcome = send_segment(engine, id, sending, headers);
    return outcome;
}

static enum outcome send_packet(struct engine *engine, uint32_t id, const uint8_t *request,
                                uint32_t length, uint32_t *budget)
{
    struct sending sending = {.cpl = NULL};

    if (!sending_parse(&engine->chip, request, length, &sending))
        return OUTCOME_NONSENSE;
    if (sending.mss)
        return send_segments(engine, id, &sending, budget);
    return send_frame(engine, id, &sending);
}

/* Sends the packets of a work request that has several; `progress` counts those that are sent. */
static enum outcome send_packets(struct engine *engine, uint32_t id, const uint8_t *request,
                                 uint32_t length, uint32_t *budget)
{
    struct egress *queue = &engine->egress[id];
    uint64_t opcode = get(request, WR_OP);
    uint32_t at = sending_header_bytes(opcode), count = (uint32_t)get(request, PKTS_WR_NPKT);
    uint32_t bytes = 0;
    bool bare = opcode != FW_ETH_TX_PKTS_WR || get(request, PKTS_WR_TYPE);

    for (uint32_t i = 0; i < count; i++, at += bytes) {
        struct sending sending = {.cpl = NULL};
        enum outcome outcome = OUTCOME_DONE;

        bytes = sending_parse_one(request, length, at, bare, &sending);
        if (!bytes)
            return OUTCOME_NONSENSE;
        if (i < queue->progress)
            continue;
        if (!*budget || moved_enough(engine))
            return OUTCOME_MORE;
        outcome = send_frame(engine, id, &sending);
        if (outcome != OUTCOME_DONE)
            return outcome;
        queue->progress = i + 1;
        --*budget;
    }
    return count ? OUTCOME_DONE : OUTCOME_NONSENSE;
}

/* Whether the interface that a queue belongs to may send. A queue need not have one. */
static bool may_send(const struct engine *engine, uint32_t viid)
{
    for (uint32_t i = 0; i < ENGINE_INTERFACES && viid; i++)
        if (engine->interfaces[i].viid == viid)
            return engine->interfaces[i].sends;
    return true;
}

enum outcome ethernet_request(struct engine *engine, uint32_t id, const uint8_t *request,
                              uint32_t length, uint32_t *budget)
{
    uint64_t opcode = get(request, WR_OP);

    if (!may_send(engine, engine->egress[id].interface)) {
        engine->counts.frames_dropped++;
        return OUTCOME_DONE;
    }
    if (opcode == FW_ETH_TX_PKT_WR || opcode == FW_ETH_TX_PKT_VM_WR || opcode == FW_ETH_TX_EO_WR ||
        opcode == FW_PTP_TX_PKT_WR)
        return send_packet(engine, id, request, length, budget);
    return send_packets(engine, id, request, length, budget);
}
