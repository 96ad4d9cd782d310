/* What an Ethernet work request asks to send. Nothing in it is trusted. */

#include "vmcoredd/emu/engine/internal.h"

enum {
    IMMEDIATE_UNIT = 16, /* data in a work request are padded to it */
    LSO_UNIT = 4,        /* of lengths in CPL_TX_PKT_LSO */
};

bool sending_is_ip6(const uint8_t *cpl)
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

/* Its `transport` and `payload` are offsets in the whole frame, of the packet inside the tunnel. */
static void read_tunnel(struct sending *sending, const uint8_t *lso)
{
    struct layers *layers = &sending->layers;
    struct outer *outer = &sending->outer;

    outer->ip = ETHERNET_HEADER + LSO_UNIT * (uint32_t)get(lso, TNL_LSO_ETHHDRLENOUT);
    outer->transport = outer->ip + LSO_UNIT * (uint32_t)get(lso, TNL_LSO_IPHDRLENOUT);
    outer->end = (uint32_t)get(lso, TNL_LSO_TNLHDRLEN);
    outer->ip6 = get(lso, TNL_LSO_IPV6OUT);
    outer->set_ip_length = get(lso, TNL_LSO_IPLENSETOUT);
    outer->count_ip_id = get(lso, TNL_LSO_IPIDINCOUT);
    outer->sum_ip = get(lso, TNL_LSO_IPHDRCHKOUT);
    outer->set_udp_length = get(lso, TNL_LSO_UDPLENSETOUT);
    outer->clear_udp_sum = get(lso, TNL_LSO_UDPCHKCLROUT);
    layers->ip = outer->end + ETHERNET_HEADER + LSO_UNIT * (uint32_t)get(lso, TNL_LSO_ETHHDRLEN);
    layers->transport = layers->ip + LSO_UNIT * (uint32_t)get(lso, TNL_LSO_IPHDRLEN);
    layers->payload = layers->transport + LSO_UNIT * (uint32_t)get(lso, TNL_LSO_TCPHDRLEN);
    layers->ip6 = get(lso, TNL_LSO_IPV6);
    sending->mss = (uint32_t)get(lso, TNL_LSO_MSS);
    sending->length = (uint32_t)get(lso, TNL_LSO_TNLLSOSIZE);
}

static void read_eo(struct sending *sending, const uint8_t *request)
{
    struct layers *layers = &sending->layers;

    layers->ip = (uint32_t)get(request, EO_WR_ETHLEN);
    layers->transport = layers->ip + (uint32_t)get(request, EO_WR_IPLEN);
    layers->payload = layers->transport + (uint32_t)get(request, EO_WR_UDPLEN);
    layers->ip6 = sending_is_ip6(sending->cpl);
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
    return sending->mss && sending->layers.payload <= SENDING_HEADERS &&
           sending->length <= ENGINE_SCRATCH && offload_fits(&sending->layers, sending->length) &&
           (!sending->outer.ip || offload_outer_fits(&sending->outer, sending->layers.ip));
}

uint32_t sending_header_bytes(uint64_t opcode)
{
    switch (opcode) {
    case FW_ETH_TX_EO_WR:
        return EO_WR_BYTES;
    case FW_ETH_TX_PKT_VM_WR:
    case FW_ETH_TX_PKTS_VM_WR:
        return VM_WR_BYTES;
    default:
        return ETH_WR_BYTES;
    }
}

/* The bytes of a CPL that asks for segments, in front of CPL_TX_PKT; 0: there is none. */
static uint32_t lso_bytes(const struct engine_chip *chip, uint32_t opcode)
{
    if (opcode == CPL_TX_TNL_LSO && chip->tunnels)
        return TNL_LSO_BYTES;
    return opcode == CPL_TX_PKT_LSO ? LSO_BYTES : 0;
}

/* FW_ETH_TX_EO_WR also carries packets that need no cutting, of any protocol: their lengths of
 * headers mean nothing. */
bool sending_parse(const struct engine_chip *chip, const uint8_t *request, uint32_t length,
                   struct sending *sending)
{
    uint64_t opcode = get(request, WR_OP);
    uint32_t header = sending_header_bytes(opcode);
    uint32_t lso = header < length ? lso_bytes(chip, request[header]) : 0;
    bool cut;

    sending->cpl = request + header + lso;
    if (header + lso + TX_PKT_BYTES > length || get(sending->cpl, TX_PKT_OPCODE) != CPL_TX_PKT_XT)
        return false;
    cut = lso || (opcode == FW_ETH_TX_EO_WR && get(request, EO_WR_PLEN) > get(request, EO_WR_MSS));
    if (lso == TNL_LSO_BYTES)
        read_tunnel(sending, request + header);
    else if (lso)
        read_lso(sending, request + header);
    else if (cut)
        read_eo(sending, request);
    else
        sending->length = (uint32_t)get(sending->cpl, TX_PKT_LEN);
    return has_right_lengths(sending, cut) &&
           find_bytes(sending, request, length, header + (uint32_t)get(request, WR_IMMDLEN));
}

uint32_t sending_parse_one(const uint8_t *request, uint32_t length, uint32_t at, bool bare,
                           struct sending *sending)
{
    const uint32_t head = bare ? 0 : ULP_TXPKT_BYTES + IDATA_BYTES;
    uint64_t bytes = TX_PKT_BYTES + SGL_BYTES, immediate = TX_PKT_BYTES;

    if (at > length || length - at < head + TX_PKT_BYTES)
        return 0;
    if (!bare) {
        bytes = get(request + at, ULP_TXPKT_LEN) * IMMEDIATE_UNIT;
        immediate = get(request + at + ULP_TXPKT_BYTES, IDATA_LEN);
    }
    sending->cpl = request + at + head;
    sending->length = (uint32_t)get(sending->cpl, TX_PKT_LEN);
    if (bytes > length - at || head + immediate > bytes ||
        get(sending->cpl, TX_PKT_OPCODE) != CPL_TX_PKT_XT || !has_right_lengths(sending, false) ||
        !find_bytes(sending, request, at + (uint32_t)bytes, at + head + (uint32_t)immediate))
        return 0;
    return (uint32_t)bytes;
}
