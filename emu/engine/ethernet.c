/* Ethernet work requests: a frame, or a packet that becomes several frames. */

#include "vmcoredd/emu/engine/internal.h"

enum {
    HEADERS = 512,       /* the longest that segments repeat */
    IMMEDIATE_UNIT = 16, /* data in a work request are padded to it */
    LOOPBACK = 4,        /* in TX_PKT_INTF: the port's internal loopback */
    LSO_UNIT = 4,        /* of lengths in CPL_TX_PKT_LSO */
    TCP_HEADER = 20,
    UDP_HEADER = 8,
};

/* What a work request asks to send. */
struct sending {
    const uint8_t *cpl; /* its CPL_TX_PKT */
    struct gather gather;
    uint32_t length;      /* of the packet */
    uint32_t mss;         /* the payload of a segment; 0: the packet is one frame */
    struct layers layers; /* of a packet to segment */
};

/* Reading a work request */

static bool is_ip6(const uint8_t *cpl)
{
    uint64_t type = get(cpl, TX_PKT_CSUM_TYPE);

    return type == TX_CSUM_TCPIP6 || type == TX_CSUM_UDPIP6;
}

static void read_lso(struct sending *sending, const uint8_t *lso)
{
    struct layers *layers = &sending->layers;

    layers->ip = ETHERNET_HEADER + LSO_UNIT * (uint32_t)get(lso, LSO_ETHHDR_LEN);
    layers->transport = layers->ip + LSO_UNIT * (uint32_t)get(lso, LSO_IPHDR_LEN);
    layers->payload = layers->transport + LSO_UNIT * (uint32_t)get(lso, LSO_TCPHDR_LEN);
    layers->ip6 = get(lso, LSO_IPV6);
    sending->mss = (uint32_t)get(lso, LSO_MSS);
    sending->length = (uint32_t)get(lso, LSO_XFER_SIZE);
}

static void read_eo(struct sending *sending, const uint8_t *request)
{
    struct layers *layers = &sending->layers;

    layers->ip = (uint32_t)get(request, EO_WR_ETHLEN);
    layers->transport = layers->ip + (uint32_t)get(request, EO_WR_IPLEN);
    layers->payload = layers->transport + (uint32_t)get(request, EO_WR_UDPLEN);
    layers->ip6 = is_ip6(sending->cpl);
    layers->udp = get(request, EO_WR_TYPE) == FW_ETH_TX_EO_TYPE_UDPSEG;
    sending->mss = (uint32_t)get(request, EO_WR_MSS);
    sending->length = layers->payload + (uint32_t)get(request, EO_WR_PLEN);
}

/* Finds the packet's bytes: immediate data up to `end` behind the CPLs, and a list. */
static bool find_bytes(struct sending *sending, const uint8_t *request, uint32_t length,
                       uint32_t end)
{
    uint32_t start = (uint32_t)(sending->cpl - request) + TX_PKT_BYTES;
    uint32_t list = (end + IMMEDIATE_UNIT - 1) / IMMEDIATE_UNIT * IMMEDIATE_UNIT;
    struct gather *gather = &sending->gather;

    if (end < start || end > length)
        return false;
    gather->inlined = request + start;
    gather->inlined_bytes = end - start;
    if (gather->inlined_bytes < sending->length &&
        (list > length || !gather_list(gather, request + list, length - list)))
        return false;
    return gather_length(gather) >= sending->length;
}

static bool has_right_lengths(const struct sending *sending, bool segmented)
{
    if (!segmented)
        return sending->length >= ETHERNET_HEADER;
    return sending->mss && sending->layers.payload <= HEADERS &&
           sending->length <= ENGINE_SCRATCH && offload_fits(&sending->layers, sending->length);
}

/* Understands a work request; false if it makes no sense. */
static bool parse(const uint8_t *request, uint32_t length, struct sending *sending)
{
    uint32_t opcode = (uint32_t)get(request, WR_OP);
    uint32_t header = opcode == FW_ETH_TX_EO_WR       ? EO_WR_BYTES
                      : opcode == FW_ETH_TX_PKT_VM_WR ? VM_WR_BYTES
                                                      : ETH_WR_BYTES;
    uint32_t immediate = (uint32_t)(opcode == FW_ETH_TX_EO_WR ? get(request, EO_WR_IMMDLEN)
                                                              : get(request, ETH_WR_IMMDLEN));
    bool lso = length > header && request[header] == CPL_TX_PKT_LSO;
    uint32_t cpl = header + (lso ? LSO_BYTES : 0);

    if (cpl + TX_PKT_BYTES > length)
        return false;
    sending->cpl = request + cpl;
    if (lso)
        read_lso(sending, request + header);
    else if (opcode == FW_ETH_TX_EO_WR)
        read_eo(sending, request);
    else
        sending->length = (uint32_t)get(sending->cpl, TX_PKT_LEN);
    return get(sending->cpl, TX_PKT_OPCODE) == CPL_TX_PKT_XT &&
           has_right_lengths(sending, lso || opcode == FW_ETH_TX_EO_WR) &&
           find_bytes(sending, request, length, header + immediate);
}

/* Sending a frame */

static uint32_t header_length(const uint8_t *cpl, uint32_t shift, uint32_t bits)
{
    return (uint32_t)(get(cpl, TX_PKT_WORDS_CTRL1) >> shift & ((1u << bits) - 1));
}

/* Where the headers of a frame are, for a type of checksum that needs to know. */
static struct layers layers_of(const struct engine_chip *chip, const uint8_t *cpl)
{
    uint64_t type = get(cpl, TX_PKT_CSUM_TYPE);
    struct layers layers = {.ip6 = is_ip6(cpl)};

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
    if (type < TX_CSUM_TCPIP || !offload_fits(&layers, length))
        return;
    if (!get(cpl, TX_PKT_IPCSUM_DIS) && !layers.ip6)
        offload_ip_sum(frame, &layers);
    if (transport && type != TX_CSUM_IP)
        offload_transport_sum(frame, length, &layers);
}

/* Sends a frame that is ready but for its VLAN tag; there is room for that in front of it. */
static int send(struct engine *engine, struct egress *queue, const uint8_t *cpl, uint8_t *data,
                uint32_t length)
{
    uint32_t interface = (uint32_t)get(cpl, TX_PKT_INTF);
    struct frame frame = {.data = data, .length = length, .loopback = interface & LOOPBACK};

    if (get(cpl, TX_PKT_VLAN_VLD)) {
        frame.data = offload_tag(data, (uint16_t)get(cpl, TX_PKT_VLAN));
        frame.length += VLAN_TAG;
    }
    if (engine_send(engine, interface % ENGINE_PORTS, &frame) == ENGINE_HELD)
        return ENGINE_HELD;
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
    if (send(engine, queue, sending->cpl, frame, layers->payload + bytes) == ENGINE_HELD)
        return OUTCOME_HELD;
    queue->progress += bytes;
    return segment.last ? OUTCOME_DONE : OUTCOME_MORE;
}

static enum outcome send_segments(struct engine *engine, uint32_t id, const struct sending *sending,
                                  uint32_t *budget)
{
    enum outcome outcome = OUTCOME_MORE;
    uint8_t headers[HEADERS];

    if (gather_read(engine, id, &sending->gather, 0, headers, sending->layers.payload))
        return OUTCOME_FAULT;
    for (; outcome == OUTCOME_MORE && *budget && !moved_enough(engine); --*budget)
        outcome = send_segment(engine, id, sending, headers);
    return outcome;
}

enum outcome ethernet_request(struct engine *engine, uint32_t id, const uint8_t *request,
                              uint32_t length, uint32_t *budget)
{
    struct sending sending = {.cpl = NULL};

    if (!parse(request, length, &sending))
        return OUTCOME_NONSENSE;
    if (sending.mss)
        return send_segments(engine, id, &sending, budget);
    return send_frame(engine, id, &sending);
}
