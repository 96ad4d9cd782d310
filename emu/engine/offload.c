/* What the card does to frames before they leave: segments, checksums, VLAN tags. Pure functions of
 * bytes. */

#include "vmcoredd/emu/engine/internal.h"

enum {
    TCP_SEQUENCE = 4,
    TCP_FIN = 0x01,
    TCP_PUSH = 0x08,
    TCP_CWR = 0x80,
};

uint8_t *offload_tag(uint8_t *frame, uint16_t tag)
{
    uint8_t *start = frame - VLAN_TAG;

    memmove(start, frame, ETHERNET_ADDRESSES);
    put16(start + ETHERNET_ADDRESSES, VLAN_PROTOCOL);
    put16(start + ETHERNET_ADDRESSES + 2, tag);
    return start;
}

/* The value of a checksum field: a sum, inverted. UDP writes 0xffff for 0, which means "none". */
static uint16_t inverted(uint16_t sum, bool udp)
{
    uint16_t value = (uint16_t)~sum;

    return value || !udp ? value : 0xffff;
}

void offload_sum(uint8_t *frame, uint32_t start, uint32_t end, uint32_t field, bool udp)
{
    put16(frame + field, inverted(checksum(0, frame + start, end - start), udp));
}

void offload_ip_sum(uint8_t *frame, const struct layers *layers)
{
    put16(frame + layers->ip + IP4_CHECKSUM, 0);
    offload_sum(frame, layers->ip, layers->transport, layers->ip + IP4_CHECKSUM, false);
}

/* The end of the IP packet: a frame may have padding behind it. */
static uint32_t packet_end(const uint8_t *frame, uint32_t length, const struct layers *layers)
{
    const uint8_t *ip = frame + layers->ip;
    uint32_t end = layers->ip6 ? layers->ip + IP6_HEADER + get16(ip + IP6_LENGTH)
                               : layers->ip + (uint32_t)get16(ip + IP4_LENGTH);

    return end >= layers->payload && end < length ? end : length;
}

void offload_transport_sum(uint8_t *frame, uint32_t length, const struct layers *layers)
{
    uint32_t end = packet_end(frame, length, layers), bytes = end - layers->transport;
    uint32_t field = layers->transport + (layers->udp ? UDP_CHECKSUM : TCP_CHECKSUM);
    const uint8_t *addresses = frame + layers->ip + (layers->ip6 ? IP6_ADDRESSES : IP4_ADDRESSES);
    uint32_t sum = checksum(bytes + (layers->udp ? PROTOCOL_UDP : PROTOCOL_TCP), addresses,
                            layers->ip6 ? 32 : 8);

    put16(frame + field, 0);
    sum = checksum(sum, frame + layers->transport, bytes);
    put16(frame + field, inverted((uint16_t)sum, layers->udp));
}

static void set_ip_length(uint8_t *ip, uint32_t bytes, bool ip6)
{
    if (ip6)
        put16(ip + IP6_LENGTH, (uint16_t)(bytes - IP6_HEADER));
    else
        put16(ip + IP4_LENGTH, (uint16_t)bytes);
}

static void count_ip_id(uint8_t *ip, uint32_t index)
{
    put16(ip + IP4_ID, (uint16_t)(get16(ip + IP4_ID) + index));
}

static void number_tcp(uint8_t *tcp, const struct segment *segment)
{
    put32(tcp + TCP_SEQUENCE, get32(tcp + TCP_SEQUENCE) + segment->offset);
    if (!segment->last)
        tcp[TCP_FLAGS] &= (uint8_t)~(TCP_FIN | TCP_PUSH);
    if (segment->index)
        tcp[TCP_FLAGS] &= (uint8_t)~TCP_CWR;
}

void offload_segment(uint8_t *frame, uint32_t length, const struct layers *layers,
                     const struct segment *segment)
{
    uint8_t *transport = frame + layers->transport;

    set_ip_length(frame + layers->ip, length - layers->ip, layers->ip6);
    if (layers->udp)
        put16(transport + UDP_LENGTH, (uint16_t)(length - layers->transport));
    else
        number_tcp(transport, segment);
    if (!layers->ip6) {
        count_ip_id(frame + layers->ip, segment->index);
        offload_ip_sum(frame, layers);
    }
    offload_transport_sum(frame, length, layers);
}

void offload_outer(uint8_t *frame, uint32_t length, const struct outer *outer, uint32_t index)
{
    const struct layers layers = {.ip = outer->ip, .transport = outer->transport};
    uint8_t *ip = frame + outer->ip, *udp = frame + outer->transport;

    if (outer->set_ip_length)
        set_ip_length(ip, length - outer->ip, outer->ip6);
    if (outer->count_ip_id && !outer->ip6)
        count_ip_id(ip, index);
    if (outer->sum_ip && !outer->ip6)
        offload_ip_sum(frame, &layers);
    if (outer->set_udp_length)
        put16(udp + UDP_LENGTH, (uint16_t)(length - outer->transport));
    if (outer->clear_udp_sum)
        put16(udp + UDP_CHECKSUM, 0);
}

bool offload_ip_fits(const struct layers *layers, uint32_t length)
{
    uint32_t ip = layers->ip6 ? IP6_HEADER : IP4_HEADER;

    return layers->ip >= ETHERNET_HEADER && layers->transport >= layers->ip + ip &&
           layers->transport <= length;
}

bool offload_fits(const struct layers *layers, uint32_t length)
{
    uint32_t transport = layers->udp ? UDP_HEADER : TCP_HEADER;

    return offload_ip_fits(layers, length) && layers->payload >= layers->transport + transport &&
           layers->payload <= length;
}

bool offload_outer_fits(const struct outer *outer, uint32_t inner)
{
    return outer->transport >= outer->ip + (outer->ip6 ? IP6_HEADER : IP4_HEADER) &&
           outer->end >= outer->transport + UDP_HEADER && outer->end + ETHERNET_HEADER <= inner;
}
