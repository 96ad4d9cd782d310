/* What is in a received frame: its headers, and whether its checksums are right. Bytes come from
 * anybody: no header is read that does not lie within the frame. */

#include "vmcoredd/emu/engine/internal.h"

enum {
    TAGGED = 18,
    TYPE_IP4 = 0x0800,
    TYPE_IP6 = 0x86dd,
    FRAGMENT = 0x3fff, /* of IP4_FRAGMENT: more fragments, and the offset */
    IP6_NEXT_FRAGMENT = 44,
    RIGHT = 0xffff, /* the sum of what holds a right checksum */
};

static void parse_tcp(const uint8_t *tcp, struct headers *headers)
{
    uint32_t length = headers->l4_length >= TCP_HEADER ? (tcp[12] >> 4) * 4u : 0;

    if (length < TCP_HEADER || length > headers->l4_length) {
        headers->bad_tcp_header = true;
        return;
    }
    headers->l4_header = length;
    headers->syn = (tcp[TCP_FLAGS] & 0x02) != 0;
    headers->push = (tcp[TCP_FLAGS] & 0x08) != 0;
    headers->ports = true;
}

static void parse_udp(const uint8_t *udp, struct headers *headers)
{
    uint32_t length = headers->l4_length >= UDP_HEADER ? get16(udp + UDP_LENGTH) : 0;

    if (length < UDP_HEADER || length > headers->l4_length) {
        headers->bad_length = true;
        return;
    }
    headers->l4_header = UDP_HEADER;
    headers->l4_length = length;
    headers->ports = true;
}

/* Only the first fragment has a transport header, and none has the whole datagram. */
static void parse_transport(const struct frame *frame, uint8_t protocol, struct headers *headers)
{
    headers->tcp = protocol == PROTOCOL_TCP;
    headers->udp = protocol == PROTOCOL_UDP;
    if (headers->tcp && !headers->fragment)
        parse_tcp(frame->data + headers->l4, headers);
    if (headers->udp && !headers->fragment)
        parse_udp(frame->data + headers->l4, headers);
}

static void parse_ip4(const struct frame *frame, struct headers *headers)
{
    const uint8_t *ip = frame->data + headers->l3;
    uint32_t room = frame->length - headers->l3;
    uint32_t length = room >= IP4_HEADER && ip[0] >> 4 == 4 ? (ip[0] & 0xf) * 4u : 0;

    if (length < IP4_HEADER || length > room) {
        headers->bad_ip_header = true;
        return;
    }
    headers->ip4 = true;
    headers->l3_header = length;
    headers->l4 = headers->l3 + length;
    headers->fragment = (get16(ip + IP4_FRAGMENT) & FRAGMENT) != 0;
    headers->bad_ip_sum = checksum(0, ip, length) != RIGHT;
    if (get16(ip + IP4_LENGTH) < length || get16(ip + IP4_LENGTH) > room) {
        headers->bad_length = true;
        return;
    }
    headers->l4_length = get16(ip + IP4_LENGTH) - length;
    parse_transport(frame, ip[IP4_PROTOCOL], headers);
}

/* Extension headers are not followed: what comes behind them is left to the host. */
static void parse_ip6(const struct frame *frame, struct headers *headers)
{
    const uint8_t *ip = frame->data + headers->l3;
    uint32_t room = frame->length - headers->l3;

    if (room < IP6_HEADER || ip[0] >> 4 != 6) {
        headers->bad_ip_header = true;
        return;
    }
    headers->ip6 = true;
    headers->l3_header = IP6_HEADER;
    headers->l4 = headers->l3 + IP6_HEADER;
    headers->fragment = ip[IP6_NEXT] == IP6_NEXT_FRAGMENT;
    if (get16(ip + IP6_LENGTH) > room - IP6_HEADER) {
        headers->bad_length = true;
        return;
    }
    headers->l4_length = get16(ip + IP6_LENGTH);
    parse_transport(frame, ip[IP6_NEXT], headers);
}

/* The sum of a TCP segment or UDP datagram and its pseudo header: RIGHT, if it is. */
static uint16_t transport_sum(const struct frame *frame, const struct headers *headers)
{
    uint32_t addresses = headers->ip4 ? 8 : 32;
    const uint8_t *source =
        frame->data + headers->l3 + (headers->ip4 ? IP4_ADDRESSES : IP6_ADDRESSES);
    uint32_t sum = checksum(0, source, addresses);

    sum += headers->l4_length + (headers->tcp ? PROTOCOL_TCP : PROTOCOL_UDP);
    return checksum(sum, frame->data + headers->l4, headers->l4_length);
}

/* Whether the checksum of a transport header is there; a UDP sender may leave it out. */
static bool has_checksum(const struct frame *frame, const struct headers *headers)
{
    return headers->ports && (headers->tcp || get16(frame->data + headers->l4 + UDP_CHECKSUM) != 0);
}

/* Whether a whole IP packet has no checksum but that of its own header. Over IPv6, UDP has to have
 * one. */
static bool needs_none(const struct headers *headers)
{
    if ((!headers->ip4 && !headers->ip6) || headers->fragment || headers->bad_length)
        return false;
    return (!headers->tcp && !headers->udp) || (headers->ip4 && headers->udp);
}

/* The host adds the sums of a datagram's fragments, each over all from the IP header on. Nothing is
 * wrong with a packet without a checksum: drivers take what was not summed up for a bad one. */
static void sum_up(const struct frame *frame, struct headers *headers)
{
    if (headers->ip4 && headers->fragment) {
        headers->summed = true;
        headers->sum = checksum(0, frame->data + headers->l3, frame->length - headers->l3);
    } else if (has_checksum(frame, headers)) {
        headers->summed = true;
        headers->sum = transport_sum(frame, headers);
        headers->bad_sum = headers->sum != RIGHT;
    } else if (needs_none(headers)) {
        headers->summed = true;
        headers->sum = RIGHT;
    }
}

void headers_parse(const struct frame *frame, struct headers *headers)
{
    uint16_t type = get16(frame->data + ETHERNET_ADDRESSES);

    memset(headers, 0, sizeof(*headers));
    headers->l3 = ETHERNET_HEADER;
    if (type == VLAN_PROTOCOL && frame->length >= TAGGED) {
        headers->tagged = true;
        headers->tag = get16(frame->data + 14);
        headers->l3 = TAGGED;
        type = get16(frame->data + 16);
    }
    if (type == TYPE_IP4)
        parse_ip4(frame, headers);
    if (type == TYPE_IP6)
        parse_ip6(frame, headers);
    sum_up(frame, headers);
}
