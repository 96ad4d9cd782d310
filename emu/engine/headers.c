/* What is in a received frame: its headers, and whether its checksums are right. Bytes come from
 * anybody: no header is read that does not lie within the frame. */

#include "vmcoredd/emu/engine/internal.h"

enum {
    TAGGED = 18,
    TYPE_IP4 = 0x0800,
    TYPE_IP6 = 0x86dd,
    FRAGMENT = 0x3fff,      /* of IP4_FRAGMENT: more fragments, and the offset */
    TYPE_ETHERNET = 0x6558, /* a frame in a tunnel */
    TUNNEL_HEADER = 8,      /* of VXLAN; the shortest of GENEVE */
    TUNNEL_MAX = 255,       /* of all in front of the frame inside, which a response can tell */
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

/* Tunnels */

/* Parses the packet behind the Ethernet header at `at`. */
static void parse_packet(const struct frame *frame, uint32_t at, struct headers *headers)
{
    uint16_t type = get16(frame->data + at + ETHERNET_ADDRESSES);

    headers->l3 = at + ETHERNET_HEADER;
    if (type == VLAN_PROTOCOL && frame->length - at >= TAGGED) {
        headers->l3 = at + TAGGED;
        type = get16(frame->data + at + TAGGED - 2);
    }
    if (type == TYPE_IP4)
        parse_ip4(frame, headers);
    if (type == TYPE_IP6)
        parse_ip6(frame, headers);
    sum_up(frame, headers);
}

/* Which kind of tunnel the driver has told MPS to find behind a UDP port; 0: none. */
static uint8_t tunnel_to(const struct engine *engine, uint32_t port)
{
    uint32_t vxlan = reg(engine, T6_MPS_RX_VXLAN_TYPE), geneve = reg(engine, T6_MPS_RX_GENEVE_TYPE);

    if (vxlan & T6_MPS_RX_VXLAN_TYPE_VXLAN_EN && field(vxlan, T6_MPS_RX_VXLAN_TYPE_VXLAN) == port)
        return RX_PKT_TNL_TYPE_VXLAN;
    if (geneve & T6_MPS_RX_GENEVE_TYPE_GENEVE_EN &&
        field(geneve, T6_MPS_RX_GENEVE_TYPE_GENEVE) == port)
        return RX_PKT_TNL_TYPE_GENEVE;
    return 0;
}

/* The bytes of a tunnel's own header, of which TUNNEL_HEADER are there; 0: no frame follows. */
static uint32_t tunnel_header(uint8_t type, const uint8_t *header)
{
    if (type == RX_PKT_TNL_TYPE_VXLAN)
        return TUNNEL_HEADER;
    if (header[0] >> 6 || get16(header + 2) != TYPE_ETHERNET)
        return 0;
    return TUNNEL_HEADER + (header[0] & 0x3f) * 4u;
}

/* The card vouches for what is in a tunnel only if it has checked the transport's sum. */
static bool vouches(const struct headers *headers)
{
    return headers->summed && !headers->fragment && (headers->tcp || headers->udp);
}

/* If a datagram holds a frame, makes it the one that is described. All of it is in the datagram. */
static void parse_tunnel(const struct engine *engine, const struct frame *frame,
                         struct headers *headers)
{
    const struct headers outer = *headers;
    const struct frame inner = {.data = frame->data, .length = outer.l4 + outer.l4_length};
    const uint32_t header = outer.l4 + UDP_HEADER;
    const uint8_t type = tunnel_to(engine, get16(frame->data + outer.l4 + UDP_TARGET));
    uint32_t start = header;

    if (type && header + TUNNEL_HEADER <= inner.length)
        start += tunnel_header(type, frame->data + header);
    if (start == header || start > TUNNEL_MAX || start + ETHERNET_HEADER > inner.length)
        return;
    *headers = (struct headers){.tunnel = start, .tunnel_type = type};
    headers->tagged = outer.tagged;
    headers->tag = outer.tag;
    parse_packet(&inner, start, headers);
    headers->bad_ip_sum |= outer.bad_ip_sum;
    headers->bad_sum |= outer.bad_sum;
    headers->summed = vouches(headers);
}

void headers_parse(const struct engine *engine, const struct frame *frame, struct headers *headers)
{
    memset(headers, 0, sizeof(*headers));
    parse_packet(frame, 0, headers);
    headers->tagged = headers->l3 == TAGGED;
    headers->tag = headers->tagged ? get16(frame->data + ETHERNET_HEADER) : 0;
    if (headers->udp && headers->ports && errors_are_compressed(engine))
        parse_tunnel(engine, frame, headers);
}
