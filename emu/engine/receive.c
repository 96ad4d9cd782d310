/* Who gets a frame, and the response that tells of it. Each interface that wants a frame gets its
 * own copy; a frame is delivered to all of them or, if one lacks room, held. */

#include "vmcoredd/emu/engine/internal.h"

enum {
    ADDRESS = 6,
    ADDRESSES = 2 * ADDRESS, /* before the VLAN tag */
    TAG = 4,
    COPIES = 64,
    ETHERNET = 14,
    LOOPBACK = 4, /* added to the number of the port */
    NO_MAC = 0x1ff,
};

static const uint8_t BROADCAST[ADDRESS] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

/* A copy of a frame on its way to an interface. */
struct copy {
    const struct interface *interface;
    uint32_t mac; /* the entry of the MAC table that matched */
    bool strips;  /* the VLAN tag */
    enum room room;
    struct choice choice;
    struct landing landing;
};

/* Filters */

/* The bit of a hash vector that stands for an address. */
static uint64_t hash_bit(const uint8_t *mac)
{
    uint32_t hash = (uint32_t)(mac[0] << 16 | mac[1] << 8 | mac[2]) ^
                    (uint32_t)(mac[3] << 16 | mac[4] << 8 | mac[5]);

    hash ^= hash >> 12;
    hash ^= hash >> 6;
    return (uint64_t)1 << (hash & 63);
}

static uint32_t find_mac(const struct engine *engine, const struct interface *interface,
                         const uint8_t *mac)
{
    for (uint32_t i = 0; i < engine->mac_count && i < ENGINE_MACS; i++)
        if (engine->macs[i].viid == interface->viid && !memcmp(engine->macs[i].mac, mac, ADDRESS))
            return i;
    return NO_MAC;
}

/* Whether an interface receives frames to an address that is not in the MAC table. */
static bool wants(const struct interface *interface, const uint8_t *mac)
{
    bool multicast = mac[0] & 1;
    uint64_t hashes = multicast ? interface->multicast_hash : interface->unicast_hash;

    if (interface->promiscuous)
        return true;
    if (!memcmp(mac, BROADCAST, ADDRESS))
        return interface->broadcast;
    return (multicast && interface->all_multicast) || (hashes & hash_bit(mac));
}

static uint32_t find_receivers(const struct engine *engine, uint32_t port,
                               const struct frame *frame, struct copy *copies)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < ENGINE_INTERFACES && count < COPIES; i++) {
        const struct interface *interface = &engine->interfaces[i];

        if (!interface->viid || !interface->receives || interface->port != port)
            continue;
        copies[count].interface = interface;
        copies[count].mac = find_mac(engine, interface, frame->data);
        if (copies[count].mac != NO_MAC || wants(interface, frame->data))
            count++;
    }
    return count;
}

/* Responses */

/* The error vector, or the short one that a T6 may be told to report. */
static uint16_t error_vector(const struct engine *engine, uint32_t errors)
{
    bool sum = errors & (RXERR_CSUM | RXERR_IPCSUM);
    bool length = errors & (RXERR_PKT_LEN | RXERR_IPHDR_LEN | RXERR_TCPHDR_LEN);

    if (engine->chip.compressed_errors && reg(engine, TP_OUT_CONFIG) & T6_TP_OUT_CONFIG_CRXPKTENC)
        return (uint16_t)((sum ? RXERR_SHORT_SUM : 0) | (length ? RXERR_SHORT_LEN : 0));
    return (uint16_t)(errors ? errors | RXERR_OR : 0);
}

static uint32_t layer2_info(const struct engine *engine, uint32_t port, const struct copy *copy,
                            const struct headers *headers)
{
    uint32_t ethernet = headers->l3 - (copy->strips ? TAG : 0);

    ethernet &= (1u << engine->chip.rx_ethernet_header_bits) - 1;
    return ethernet | copy->mac << RX_MACIDX | port << RX_CHAN | headers->push * RXF_PSH |
           headers->syn * RXF_SYN | headers->udp * RXF_UDP | headers->tcp * RXF_TCP |
           headers->ip4 * RXF_IP | headers->ip6 * RXF_IP6;
}

/* Makes a CPL_RX_PKT, with its RSS header. */
static void make_cpl(const struct engine *engine, uint32_t port, const struct frame *frame,
                     const struct headers *headers, const struct copy *copy, uint8_t *cpl)
{
    const struct choice *choice = &copy->choice;

    memset(cpl, 0, RX_PKT_BYTES);
    cpl[0] = cpl[8] = CPL_RX_PKT;
    cpl[1] = (uint8_t)((port & 3) | (uint32_t)choice->type << 4 | (uint32_t)headers->ip6 << 6);
    put16(cpl + 2, (uint16_t)choice->queue);
    put32(cpl + 4, choice->hash);
    cpl[9] = (uint8_t)(port + (frame->loopback ? LOOPBACK : 0));
    cpl[9] |= (uint8_t)(headers->summed * RX_CSUM_CALC | copy->strips * RX_VLAN_EX |
                        headers->fragment * RX_IP_FRAG);
    put16(cpl + 10, headers->sum);
    put16(cpl + 12, copy->strips ? headers->tag : 0);
    put16(cpl + 14, (uint16_t)(frame->length - (copy->strips ? TAG : 0)));
    put32(cpl + 16, layer2_info(engine, port, copy, headers));
    put16(cpl + 20, (uint16_t)(headers->l3_header << 6 | (headers->tcp ? headers->l4_header : 0)));
    put16(cpl + 22, error_vector(engine, headers->errors));
}

/* Bytes before a frame in its buffer. */
static uint32_t shift(const struct engine *engine)
{
    return field(reg(engine, SGE_CONTROL), SGE_CONTROL_PKTSHIFT);
}

static void deliver(struct engine *engine, uint32_t port, const struct frame *frame,
                    const struct headers *headers, const struct copy *copy)
{
    const struct landing *landing = &copy->landing;
    uint32_t list = engine->ingress[landing->ingress].free_list, at = shift(engine);
    uint32_t length = at + frame->length - (copy->strips ? TAG : 0), skip = 0;
    uint8_t cpl[RX_PKT_BYTES];

    if (copy->strips) {
        freelist_write(engine, list, landing, at, frame->data, ADDRESSES);
        at += ADDRESSES;
        skip = ADDRESSES + TAG;
    }
    freelist_write(engine, list, landing, at, frame->data + skip, frame->length - skip);
    make_cpl(engine, port, frame, headers, copy, cpl);
    ingress_publish(engine, landing, RESPONSE_FRAME, cpl, sizeof(cpl),
                    length | (landing->new_buffer ? RESPONSE_NEW_BUFFER : 0));
    engine->egress[list].frames++;
    engine->egress[list].bytes += length;
}

/* Reserves room for all copies, or for none. */
static bool reserve(struct engine *engine, const struct frame *frame, const struct headers *headers,
                    struct copy *copies, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct copy *copy = &copies[i];
        uint32_t bytes = shift(engine) + frame->length;

        copy->choice = rss_choose(engine, copy->interface, frame, headers);
        copy->strips = copy->interface->strips_vlan && headers->tagged;
        copy->room = ingress_reserve(engine, copy->choice.queue, bytes - (copy->strips ? TAG : 0),
                                     &copy->landing);
        if (copy->room != ROOM_LATER)
            continue;
        while (i--)
            if (copies[i].room == ROOM_NOW)
                ingress_cancel(engine, &copies[i].landing);
        return false;
    }
    return true;
}

int engine_receive(struct engine *engine, uint32_t port, const struct frame *frame)
{
    struct copy copies[COPIES];
    struct headers headers;
    uint32_t count = frame->length >= ETHERNET ? find_receivers(engine, port, frame, copies) : 0;

    if (!count)
        return ENGINE_DONE;
    headers_parse(frame, &headers);
    if (!reserve(engine, frame, &headers, copies, count)) {
        engine->counts.frames_held++;
        return ENGINE_HELD;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (copies[i].room == ROOM_NOW)
            deliver(engine, port, frame, &headers, &copies[i]);
        engine->counts.frames_received += copies[i].room == ROOM_NOW;
        engine->counts.frames_dropped += copies[i].room == ROOM_NEVER;
    }
    return ENGINE_DONE;
}
