/* Who gets a frame, and the response that tells of it. Each interface that wants a frame gets its
 * own copy; a frame is delivered to all of them or, if one lacks room, held. Patience with a queue
 * that never has room is limited: see waits(). */

#include "vmcoredd/emu/engine/internal.h"

enum {
    ADDRESS = 6,
    COPIES = 64,
    NO_MAC = ENGINE_MACS,
    NO_MACIDX = 0x1ff, /* of CPL_RX_PKT */
    ERRORS = 14,       /* err_vec of CPL_RX_PKT */
    HOPS = 8,          /* a frame that filters send in a circle is dropped after so many */
};

/* Of pldbuflen_qid: the frame begins a new buffer. */
static const uint32_t NEW_BUFFER = 1u << 31;
static const uint8_t BROADCAST[ADDRESS] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

/* A copy of a frame on its way to an interface. */
struct copy {
    const struct interface *interface;
    const struct filter *filter;   /* that matches, or NULL */
    uint32_t mac;                  /* the entry of the MAC table that matched */
    bool strips;                   /* the VLAN tag */
    uint32_t frame_length, length; /* without the tag; with the shift before it */
    enum room room;
    struct choice choice;
    struct landing landing;
};

/* Addresses */

/* The hash of an address, by which interfaces may ask for frames (FW_VI_MAC): below 64. */
static uint32_t hash_of(const uint8_t *mac)
{
    uint32_t hash = (uint32_t)(mac[0] << 16 | mac[1] << 8 | mac[2]) ^
                    (uint32_t)(mac[3] << 16 | mac[4] << 8 | mac[5]);

    hash ^= hash >> 12;
    hash ^= hash >> 6;
    return hash & 63;
}

void engine_index_macs(struct engine *engine)
{
    memset(engine->macs_by_hash, 0, sizeof(engine->macs_by_hash));
    for (uint32_t i = 0; i < engine->mac_count && i < ENGINE_MACS; i++)
        if (engine->macs[i].viid)
            set_bit(engine->macs_by_hash[hash_of(engine->macs[i].mac)], i);
}

/* An interface's entry of the MAC table, the first of several. */
static uint32_t find_mac(const struct engine *engine, const struct interface *interface,
                         const uint8_t *mac)
{
    const uint64_t *entries = engine->macs_by_hash[hash_of(mac)];

    for (uint32_t word = 0; word < ENGINE_MACS / 64; word++) {
        for (uint64_t bits = entries[word]; bits; bits &= bits - 1) {
            uint32_t i = word * 64 + (uint32_t)__builtin_ctzll(bits);
            const struct mac_entry *entry = &engine->macs[i];

            if (entry->viid == interface->viid && !memcmp(entry->mac, mac, ADDRESS))
                return i;
        }
    }
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
    return (multicast && interface->all_multicast) || hashes >> hash_of(mac) & 1;
}

static uint32_t find_receivers(const struct engine *engine, uint32_t port,
                               const struct frame *frame, struct copy *copies)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < engine->interface_count && i < ENGINE_INTERFACES && count < COPIES;
         i++) {
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

static void put_errors(const struct engine *engine, const struct headers *headers, bool strips,
                       uint8_t *vector)
{
    bool header = headers->bad_ip_header || headers->bad_tcp_header;

    put(vector, RX_ERR_CSUM, headers->bad_sum);
    put(vector, RX_ERR_IPCSUM, headers->bad_ip_sum);
    put(vector, RX_ERR_PKT_LEN, headers->bad_length);
    put(vector, RX_ERR_IPHDR_LEN, headers->bad_ip_header);
    put(vector, RX_ERR_TCPHDR_LEN, headers->bad_tcp_header);
    put(vector, RX_ERR_OR, get16(vector) != 0);
    if (!errors_are_compressed(engine))
        return;
    put16(vector, 0);
    if (headers->tunnel) {
        put(vector, RX_ERR_SHORT_TNLHDR_LEN, headers->tunnel - (strips ? VLAN_TAG : 0));
        put(vector, RX_ERR_SHORT_TNL_TYPE, headers->tunnel_type);
    }
    put(vector, RX_ERR_SHORT_SUM, headers->bad_sum || headers->bad_ip_sum);
    put(vector, RX_ERR_SHORT_LEN, header || headers->bad_length);
}

static void put_rss_header(uint32_t port, const struct headers *headers,
                           const struct choice *choice, uint8_t *rss)
{
    put(rss, RSS_OPCODE, CPL_RX_PKT);
    put(rss, RSS_CHANNEL, port);
    put(rss, RSS_FILTER_HIT, choice->filter_hit);
    put(rss, RSS_FILTER_TID, choice->filter_tid);
    put(rss, RSS_HASH_TYPE, choice->type);
    put(rss, RSS_IPV6, headers->ip6);
    put(rss, RSS_QID, choice->queue);
    put(rss, RSS_HASH_VAL, choice->hash);
}

/* The sum for the host, which a fragment has over all behind the Ethernet header. */
static uint16_t sum_of(const struct frame *frame, const struct headers *headers, bool strips)
{
    if (!headers->fragment || !headers->tagged || strips)
        return headers->sum;
    return checksum(headers->sum, frame->data + ETHERNET_HEADER, VLAN_TAG);
}

static void put_headers(const struct frame *frame, const struct headers *headers, bool strips,
                        uint8_t *cpl)
{
    uint32_t outside = headers->tunnel ? headers->tunnel : strips ? VLAN_TAG : 0;

    put(cpl, RX_PKT_CSUM_CALC, headers->summed);
    put(cpl, RX_PKT_CSUM, headers->summed ? sum_of(frame, headers, strips) : 0);
    put(cpl, RX_PKT_IP_FRAG, headers->fragment);
    put(cpl, RX_PKT_IP, headers->ip4);
    put(cpl, RX_PKT_IP6, headers->ip6);
    put(cpl, RX_PKT_TCP, headers->tcp);
    put(cpl, RX_PKT_UDP, headers->udp);
    put(cpl, RX_PKT_SYN, headers->syn);
    put(cpl, RX_PKT_PSH, headers->push);
    put(cpl, RX_PKT_ETHHDR_LEN, headers->l3 - outside);
    put(cpl, RX_PKT_IPHDR_LEN, headers->l3_header);
    put(cpl, RX_PKT_TCPHDR_LEN, headers->tcp ? headers->l4_header : 0);
}

/* Makes a CPL_RX_PKT, behind its RSS header. */
static void make_cpl(const struct engine *engine, uint32_t port, const struct frame *frame,
                     const struct headers *headers, const struct copy *copy, uint8_t *response)
{
    uint8_t *cpl = response + RSS_BYTES;

    put_rss_header(port, headers, &copy->choice, response);
    put(cpl, RX_PKT_OPCODE, CPL_RX_PKT);
    put(cpl, RX_PKT_IFF, port + (frame->loopback ? LOOPBACK : 0));
    put(cpl, RX_PKT_CHAN, port);
    put(cpl, RX_PKT_LEN, copy->frame_length);
    put(cpl, RX_PKT_VLAN_EX, copy->strips);
    put(cpl, RX_PKT_VLAN, copy->strips ? headers->tag : 0);
    put(cpl, RX_PKT_MACIDX, copy->mac == NO_MAC ? NO_MACIDX : copy->mac);
    put_headers(frame, headers, copy->strips, cpl);
    put_errors(engine, headers, copy->strips, cpl + ERRORS);
}

/* Delivery */

/* Writes a frame into its buffers, perhaps without its tag. */
static void write_frame(struct engine *engine, const struct frame *frame, const struct copy *copy)
{
    uint32_t list = engine->ingress[copy->landing.ingress].free_list;
    uint32_t at = copy->length - copy->frame_length, skip = 0;

    if (copy->strips) {
        freelist_write(engine, list, &copy->landing, at, frame->data, ETHERNET_ADDRESSES);
        at += ETHERNET_ADDRESSES;
        skip = ETHERNET_ADDRESSES + VLAN_TAG;
    }
    freelist_write(engine, list, &copy->landing, at, frame->data + skip, frame->length - skip);
    engine->egress[list].frames++;
    engine->egress[list].bytes += copy->length;
}

static void deliver(struct engine *engine, uint32_t port, const struct frame *frame,
                    const struct headers *headers, const struct copy *copy)
{
    uint8_t cpl[RSS_BYTES + RX_PKT_BYTES] = {0};

    write_frame(engine, frame, copy);
    make_cpl(engine, port, frame, headers, copy, cpl);
    ingress_publish(engine, &copy->landing, RSPD_TYPE_FLBUF, cpl, sizeof(cpl),
                    copy->length | (copy->landing.new_buffer ? NEW_BUFFER : 0));
    engine->ingress[copy->landing.ingress].starved = 0;
    engine->counts.frames_received++;
    count_delivered(engine, copy->interface->pf, frame);
}

/* Chooses the queue of a copy, and reserves room there. */
static enum room reserve(struct engine *engine, const struct frame *frame,
                         const struct headers *headers, struct copy *copy)
{
    copy->choice = rss_choose(engine, copy->interface, frame, headers);
    if (copy->filter)
        filters_steer(engine, copy->filter, &copy->choice);
    copy->strips = copy->interface->strips_vlan && headers->tagged;
    copy->frame_length = frame->length - (copy->strips ? VLAN_TAG : 0);
    copy->length = field(reg(engine, SGE_CONTROL), SGE_CONTROL_PKTSHIFT) + copy->frame_length;
    copy->room = ingress_reserve(engine, copy->choice.queue, copy->length, &copy->landing);
    return copy->room;
}

bool patience_lasts(struct engine *engine, uint64_t *starved)
{
    uint64_t end;

    if (!*starved || *starved < engine->patient_since)
        *starved = engine->now;
    if (engine->hold_outside)
        return true;
    end = *starved + ENGINE_PATIENCE * (uint64_t)1000000000;
    if (end > engine->now && end < engine->retry)
        engine->retry = end;
    return end > engine->now;
}

/* Whether a frame waits for a queue that has no room now. A queue in which no frame has found room
 * for ENGINE_PATIENCE gets none until one does: its driver may be gone, and its senders are not. */
static bool waits(struct engine *engine, uint32_t id)
{
    return patience_lasts(engine, &engine->ingress[id].starved);
}

/* Whether a copy's filter lets it go to the host. */
static bool passes(const struct copy *copy)
{
    return !copy->filter || !(copy->filter->drops || copy->filter->switches);
}

static void cancel_all(struct engine *engine, struct copy *copies, uint32_t count)
{
    while (count--) {
        if (copies[count].room == ROOM_NOW)
            ingress_cancel(engine, &copies[count].landing);
        copies[count].room = ROOM_NEVER;
    }
}

/* Reserves room for all copies or, if one has to wait, for none. */
static bool reserve_all(struct engine *engine, const struct frame *frame,
                        const struct headers *headers, struct copy *copies, uint32_t count)
{
    uint32_t reserved = 0;

    while (reserved < count && (!passes(&copies[reserved]) ||
                                reserve(engine, frame, headers, &copies[reserved]) != ROOM_LATER ||
                                !waits(engine, copies[reserved].choice.queue)))
        reserved++;
    if (reserved == count)
        return true;
    cancel_all(engine, copies, reserved);
    return false;
}

/* Each copy meets the filters for itself. Returns whether there are any. */
static bool find_filters(const struct engine *engine, const struct frame *frame,
                         const struct headers *headers, struct copy *copies, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        copies[i].room = ROOM_NEVER;
        copies[i].filter = NULL;
    }
    if (!engine->filter_count)
        return false;
    for (uint32_t i = 0; i < count; i++)
        copies[i].filter = i && !engine->matches_interfaces
                               ? copies[0].filter
                               : filters_find(engine, copies[i].interface, frame, headers);
    return true;
}

/* The first copy whose filter sends it out again, or NULL. A frame goes out once, however many of
 * its copies would (assumed). */
static const struct copy *find_switched(const struct copy *copies, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (copies[i].filter && copies[i].filter->switches && !copies[i].filter->drops)
            return &copies[i];
    return NULL;
}

/* Sends a copy out again. The port that it leaves by may lead to another one of this card, and to
 * its filters. */
static __attribute__((noinline)) int switch_out(struct engine *engine, uint32_t port,
                                                const struct frame *frame,
                                                const struct headers *headers,
                                                const struct copy *copy)
{
    uint8_t room[VLAN_TAG + PORT_LONGEST + VLAN_TAG];
    struct frame sent;

    if (frame->hops == HOPS || frame->length > PORT_LONGEST) {
        count_drop(engine, port, frame);
        return ENGINE_DONE;
    }
    sent = rewrite_frame(engine, &copy->filter->rewrite, frame, headers, room);
    sent.loopback = false;
    sent.pf = copy->interface->pf;
    sent.hops = frame->hops + 1;
    return engine_send(engine, copy->filter->port, &sent);
}

/* Sends a copy out again, where there is room for all others. False: it has to wait, and nothing is
 * done. The host gets its copies after those that come back to the card. */
static bool send_on(struct engine *engine, uint32_t port, const struct frame *frame,
                    const struct headers *headers, struct copy *copies, uint32_t count,
                    const struct copy *switched)
{
    if (!reserve_all(engine, frame, headers, copies, count))
        return false;
    cancel_all(engine, copies, count);
    return switch_out(engine, port, frame, headers, switched) != ENGINE_HELD;
}

static int hold(struct engine *engine)
{
    engine->counts.frames_held++;
    return ENGINE_HELD;
}

int engine_receive(struct engine *engine, uint32_t port, const struct frame *frame)
{
    struct copy copies[COPIES];
    const struct copy *switched = NULL;
    struct headers headers;
    uint32_t count =
        frame->length >= ETHERNET_HEADER ? find_receivers(engine, port, frame, copies) : 0;

    if (!count)
        return ENGINE_DONE;
    headers_parse(engine, frame, &headers);
    if (find_filters(engine, frame, &headers, copies, count))
        switched = find_switched(copies, count);
    if (switched && !send_on(engine, port, frame, &headers, copies, count, switched))
        return hold(engine);
    if (!reserve_all(engine, frame, &headers, copies, count) && !switched)
        return hold(engine);
    for (uint32_t i = 0; i < count; i++) {
        if (copies[i].filter)
            filters_count(engine, copies[i].filter, frame);
        if (copies[i].room == ROOM_NOW)
            deliver(engine, port, frame, &headers, &copies[i]);
        else if (passes(&copies[i]))
            count_drop(engine, port, frame);
    }
    return ENGINE_DONE;
}
