/* What becomes of the headers of a frame that a filter sends out again: new MACs, another VLAN tag,
 * other addresses and ports with the checksums that follow. New targets and tags are in the table
 * of neighbours (L2T), new sources in that of source MACs (SMT); a driver writes both by requests,
 * and they count as they are when a frame comes.
 *
 * Assumed: a tag is replaced by taking it away and adding one, and added in front of one that is
 * there; of fragments, the first has its ports and checksum rewritten; what is in a tunnel is not.
 */

#include "vmcoredd/emu/engine/internal.h"

enum {
    MAC = 6,
    PORTS = 4, /* bytes: source and target */
    FRAGMENT_OFFSET = 0x1fff,
};

_Static_assert(sizeof(((struct engine *)0)->neighbours) ==
                   ENGINE_NEIGHBOURS * sizeof(struct neighbour),
               "the table of neighbours");
_Static_assert(sizeof(((struct engine *)0)->source_macs) == ENGINE_SOURCE_MACS * MAC,
               "the table of source MACs");

/* What a NAT mode changes; source and target are those of the frame. */
enum { TARGET = 1, TARGET_PORT = 2, SOURCE = 4, SOURCE_PORT = 8 };

static const uint8_t CHANGES[] = {
    [NAT_MODE_NONE] = 0,
    [NAT_MODE_DIP] = TARGET,
    [NAT_MODE_DIP_DP] = TARGET | TARGET_PORT,
    [NAT_MODE_DIP_DP_SIP] = TARGET | TARGET_PORT | SOURCE,
    [NAT_MODE_DIP_DP_SP] = TARGET | TARGET_PORT | SOURCE_PORT,
    [NAT_MODE_SIP_SP] = SOURCE | SOURCE_PORT,
    [NAT_MODE_DIP_SIP_SP] = TARGET | SOURCE | SOURCE_PORT,
    [NAT_MODE_ALL] = TARGET | TARGET_PORT | SOURCE | SOURCE_PORT,
};

/* The tables */

void rewrite_set_neighbour(struct engine *engine, const uint8_t *cpl)
{
    uint64_t index = get(cpl, L2T_WRITE_REQ_L2T_IDX);
    struct neighbour *neighbour = &engine->neighbours[index % ENGINE_NEIGHBOURS];

    memcpy(neighbour->mac, bytes_of(cpl, L2T_WRITE_REQ_DST_MAC), MAC);
    neighbour->tag = (uint16_t)get(cpl, L2T_WRITE_REQ_VLAN);
}

void rewrite_set_sources(struct engine *engine, const uint8_t *cpl)
{
    uint32_t count = engine->chip.source_macs_per_row;
    uint32_t first = (uint32_t)get(cpl, SMT_WRITE_REQ_IDX) * count;

    memcpy(engine->source_macs[first % ENGINE_SOURCE_MACS], bytes_of(cpl, SMT_WRITE_REQ_SRC_MAC0),
           MAC);
    if (count > 1)
        memcpy(engine->source_macs[(first + 1) % ENGINE_SOURCE_MACS],
               bytes_of(cpl, SMT_WRITE_REQ_SRC_MAC1), MAC);
}

/* Addresses and ports */

/* Changes a checksum as the sum of what it covers has changed (RFC 1624). */
static void mend(uint8_t *field, uint16_t before, uint16_t after)
{
    uint32_t sum = (uint16_t)~get16(field) + (uint32_t)(uint16_t)~before + after;

    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    put16(field, (uint16_t)~sum);
}

/* The same for the transport; before and after are sums of addresses and ports. A UDP sender may
 * have left the checksum out. */
static void mend_transport(const struct headers *headers, uint8_t *transport, uint16_t before,
                           uint16_t after)
{
    uint8_t *field = transport + (headers->tcp ? TCP_CHECKSUM : UDP_CHECKSUM);

    if (headers->udp && !get16(field))
        return;
    mend(field, before, after);
    if (headers->udp && !get16(field))
        put16(field, 0xffff);
}

/* Whether a frame has ports: all of its transport header, or those of a first fragment. */
static bool has_ports(const struct headers *headers, const uint8_t *frame)
{
    const uint8_t *ip = frame + headers->l3;

    if (!headers->fragment || !headers->ip4 || headers->bad_length)
        return headers->ports;
    return !(get16(ip + IP4_FRAGMENT) & FRAGMENT_OFFSET) && (headers->tcp || headers->udp) &&
           headers->l4_length >= (headers->tcp ? TCP_HEADER : UDP_HEADER);
}

/* Sets a port, unless the chip leaves it for the new value 0. */
static void set_port(const struct engine *engine, uint8_t *port, uint16_t value)
{
    if (value || !engine->chip.nat_keeps_ports)
        put16(port, value);
}

static void translate(const struct engine *engine, const struct rewrite *rewrite,
                      const struct headers *headers, uint8_t *frame)
{
    const uint32_t changes = CHANGES[rewrite->nat_mode], bytes = headers->ip4 ? 4 : 16;
    uint8_t *ip = frame + headers->l3, *transport = frame + headers->l4;
    uint8_t *source = ip + (headers->ip4 ? IP4_ADDRESSES : IP6_ADDRESSES);
    uint16_t before, after, ports;

    if (!changes || headers->tunnel || (!headers->ip4 && !headers->ip6))
        return;
    before = checksum(0, source, 2 * bytes);
    if (changes & SOURCE)
        memcpy(source, rewrite->foreign, bytes);
    if (changes & TARGET)
        memcpy(source + bytes, rewrite->local, bytes);
    after = checksum(0, source, 2 * bytes);
    if (headers->ip4)
        mend(ip + IP4_CHECKSUM, before, after);
    if (!has_ports(headers, frame))
        return;
    ports = checksum(before, transport, PORTS);
    if (changes & SOURCE_PORT)
        set_port(engine, transport, rewrite->foreign_port);
    if (changes & TARGET_PORT)
        set_port(engine, transport + UDP_TARGET, rewrite->local_port);
    mend_transport(headers, transport, ports, checksum(after, transport, PORTS));
}

/* Frames */

struct frame rewrite_frame(const struct engine *engine, const struct rewrite *rewrite,
                           const struct frame *frame, const struct headers *headers, uint8_t *room)
{
    const struct neighbour *neighbour = &engine->neighbours[rewrite->neighbour % ENGINE_NEIGHBOURS];
    struct frame made = *frame;
    uint8_t *data = room + VLAN_TAG;

    memcpy(data, frame->data, frame->length);
    translate(engine, rewrite, headers, data);
    if (rewrite->new_target)
        memcpy(data, neighbour->mac, MAC);
    if (rewrite->new_source)
        memcpy(data + MAC, engine->source_macs[rewrite->source], MAC);
    if (rewrite->removes_tag && headers->tagged) {
        memmove(data + VLAN_TAG, data, ETHERNET_ADDRESSES);
        data += VLAN_TAG;
        made.length -= VLAN_TAG;
    }
    if (rewrite->adds_tag) {
        data = offload_tag(data, neighbour->tag);
        made.length += VLAN_TAG;
    }
    made.data = data;
    return made;
}
