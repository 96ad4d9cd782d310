/* Filters: entries of the lookup engine's TCAM that drop a frame, choose its queue, or send it out
 * again, perhaps rewritten. The matching one with the lowest TID decides. A filter is kept as the
 * words that the lookup engine compares, which a dump shows; its hits are counted where a driver
 * reads them, in its control block.
 *
 * Only what is done here is accepted. */

#include "vmcoredd/emu/engine/internal.h"

enum {
    WORDS = sizeof(((struct filter *)0)->value) / sizeof(uint32_t), /* of an IPv6 entry */
    NO_FILTER = ENGINE_FILTERS,
    VALID = 1 << 16, /* of a VLAN in a tuple */
    TYPE_FCOE = 0x8906,
    IP4_TOS = 1,
};

static const uint32_t COMPARED = 1u << FILTER_FCOE | 1u << FILTER_PORT | 1u << FILTER_VNIC_ID |
                                 1u << FILTER_VLAN | 1u << FILTER_TOS | 1u << FILTER_PROTOCOL |
                                 1u << FILTER_ETHERTYPE | 1u << FILTER_FRAGMENTATION;

/* Entries */

/* What an entry is made of. An address has 4 or 16 bytes; `local` is where a frame is going. */
struct facts {
    bool ipv6;
    const uint8_t *local, *foreign;
    uint32_t ports; /* the local one in the upper half */
    uint32_t fields[FILTER_FIELDS];
};

static uint64_t tuple_of(const struct engine *engine, const uint32_t *fields)
{
    uint64_t tuple = 0;

    for (uint32_t i = 0; i < FILTER_FIELDS; i++) {
        const struct context_field *place = &engine->tuple[i];

        tuple |= (uint64_t)(fields[i] & ((1u << place->width) - 1)) << place->shift;
    }
    return tuple;
}

/* Puts an address into words, its last bytes first; returns how many. */
static uint32_t put_address(const uint8_t *address, bool ipv6, uint32_t *words)
{
    uint32_t count = ipv6 ? 4 : 1;

    for (uint32_t i = 0; i < count; i++)
        words[i] = get32(address + (count - 1 - i) * 4);
    return count;
}

static void make_entry(const struct engine *engine, const struct facts *facts, uint32_t *words)
{
    uint64_t tuple = tuple_of(engine, facts->fields);

    memset(words, 0, WORDS * sizeof(*words));
    words += put_address(facts->foreign, facts->ipv6, words);
    words += put_address(facts->local, facts->ipv6, words);
    words[0] = facts->ports;
    words[1] = (uint32_t)tuple;
    words[2] = (uint32_t)(tuple >> 32);
}

/* The table */

static uint32_t slot_of(const struct engine *engine, uint32_t tid)
{
    if (tid < engine->priority_filters)
        return tid < ENGINE_PRIORITY_FILTERS ? tid : NO_FILTER;
    if (tid < engine->first_filter ||
        tid - engine->first_filter >= ENGINE_FILTERS - ENGINE_PRIORITY_FILTERS)
        return NO_FILTER;
    return tid - engine->first_filter + ENGINE_PRIORITY_FILTERS;
}

static uint32_t tid_of(const struct engine *engine, uint32_t slot)
{
    return slot < ENGINE_PRIORITY_FILTERS ? slot
                                          : slot - ENGINE_PRIORITY_FILTERS + engine->first_filter;
}

static bool is_used(const struct engine *engine, uint32_t slot)
{
    return engine->filters_used[slot / 64] >> slot % 64 & 1;
}

static uint8_t *control_block(const struct engine *engine, uint32_t slot)
{
    uint32_t tid = tid_of(engine, slot);

    return engine->control_blocks && tid < engine->control_block_rows
               ? engine->control_blocks + (size_t)tid * TCB_FILTER_BYTES
               : NULL;
}

/* Writes a filter's entry, as a dump shows it; NULL: there is none. */
static void show_entry(const struct engine *engine, uint32_t slot, const struct filter *filter)
{
    uint32_t tid = tid_of(engine, slot), *entry;

    if (!engine->le_entries || tid >= engine->le_rows)
        return;
    entry = engine->le_entries + (size_t)tid * LE_ENTRY_WORDS;
    memset(entry, 0, LE_ENTRY_WORDS * sizeof(*entry));
    if (filter) {
        memcpy(entry, filter->value, sizeof(filter->value));
        entry[LE_ENTRY_WORDS - 1] = filter->ipv6 ? LE_ENTRY_IPV6 : 0;
    }
}

/* A 32-bit word of a control block, which is parts of 16 bytes, the last word of each first. */
static uint8_t *block_word(uint8_t *block, uint32_t word)
{
    return block + (word | 3) * 4 - (word & 3) * 4;
}

/* Puts an address into words, the last bytes into the first. */
static void show_address(uint8_t *block, uint32_t word, const uint8_t *address, bool ipv6)
{
    uint32_t words[4], count = put_address(address, ipv6, words);

    for (uint32_t i = 0; i < count; i++)
        put32(block_word(block, word + i), words[i]);
}

static void show_translation(uint8_t *block, const struct filter *filter)
{
    const struct rewrite *rewrite = &filter->rewrite;

    if (!rewrite->nat_mode)
        return;
    show_address(block, filter->ipv6 ? TCB_NAT_LOCAL6 : TCB_NAT_LOCAL, rewrite->local,
                 filter->ipv6);
    show_address(block, filter->ipv6 ? TCB_NAT_FOREIGN6 : TCB_NAT_FOREIGN, rewrite->foreign,
                 filter->ipv6);
    put32(block_word(block, TCB_NAT_PORTS),
          (uint32_t)rewrite->foreign_port << 16 | rewrite->local_port);
}

static void show_action(uint8_t *block, const struct filter *filter)
{
    const struct rewrite *rewrite = &filter->rewrite;

    put(block, TCB_FILTER_DROP, filter->drops);
    put(block, TCB_FILTER_DIRECT_STEER, filter->steers);
    put(block, TCB_FILTER_RSS_INFO, filter->queue);
    put(block, TCB_FILTER_LPBK, filter->switches);
    put(block, TCB_FILTER_CCTRL_ECE, rewrite->new_target);
    put(block, TCB_FILTER_CCTRL_CWR, rewrite->new_source);
    put(block, TCB_FILTER_CCTRL_RFR, rewrite->adds_tag);
    put(block, TCB_FILTER_NAGLE, rewrite->removes_tag);
    put(block, TCB_FILTER_L2T_IX, rewrite->neighbour);
    put(block, TCB_FILTER_SMAC_SEL, rewrite->source);
}

/* Takes what show_action() has shown, and somebody has changed. */
static void learn_action(const uint8_t *block, struct filter *filter)
{
    struct rewrite *rewrite = &filter->rewrite;

    filter->drops = (uint8_t)get(block, TCB_FILTER_DROP);
    filter->steers = (uint8_t)get(block, TCB_FILTER_DIRECT_STEER);
    filter->queue = (uint16_t)get(block, TCB_FILTER_RSS_INFO);
    filter->switches = (uint8_t)get(block, TCB_FILTER_LPBK);
    rewrite->new_target = (uint8_t)get(block, TCB_FILTER_CCTRL_ECE);
    rewrite->new_source = (uint8_t)get(block, TCB_FILTER_CCTRL_CWR);
    rewrite->adds_tag = (uint8_t)get(block, TCB_FILTER_CCTRL_RFR);
    rewrite->removes_tag = (uint8_t)get(block, TCB_FILTER_NAGLE);
    rewrite->neighbour = (uint16_t)get(block, TCB_FILTER_L2T_IX);
    rewrite->source = (uint8_t)get(block, TCB_FILTER_SMAC_SEL);
}

/* Writes its control block, without a hit. */
static void show_block(const struct engine *engine, uint32_t slot, const struct filter *filter)
{
    uint8_t *block = control_block(engine, slot);

    if (!block)
        return;
    memset(block, 0, TCB_FILTER_BYTES);
    if (filter) {
        put(block, TCB_FILTER_NON_OFFLOAD, 1);
        put(block, TCB_FILTER_IP_VERSION, filter->ipv6);
        show_action(block, filter);
        show_translation(block, filter);
    }
}

static void remove_slot(struct engine *engine, uint32_t slot)
{
    if (!is_used(engine, slot))
        return;
    clear_bit(engine->filters_used, slot);
    engine->filter_count--;
    memset(&engine->filters[slot], 0, sizeof(engine->filters[slot]));
    show_entry(engine, slot, NULL);
    show_block(engine, slot, NULL);
}

void filters_forget(struct engine *engine, int pf)
{
    for (uint32_t slot = 0; slot < ENGINE_FILTERS; slot++)
        if (pf < 0 || engine->filters[slot].pf == pf)
            remove_slot(engine, slot);
}

/* Requests */

/* A place in a request, as messages.h gives it. */
struct place {
    uint32_t offset, bytes;
    uint64_t bits;
};

enum { VALUE, MASK };

static const struct place FIELDS[FILTER_FIELDS][2] = {
    [FILTER_FCOE] = {{FILTER_WR_FCOE}, {FILTER_WR_FCOEM}},
    [FILTER_PORT] = {{FILTER_WR_PORT}, {FILTER_WR_PORTM}},
    [FILTER_VNIC_ID] = {{FILTER_WR_OVLAN}, {FILTER_WR_OVLANM}},
    [FILTER_VLAN] = {{FILTER_WR_IVLAN}, {FILTER_WR_IVLANM}},
    [FILTER_TOS] = {{FILTER_WR_TTYP}, {FILTER_WR_TTYPM}},
    [FILTER_PROTOCOL] = {{FILTER_WR_PTCL}, {FILTER_WR_PTCLM}},
    [FILTER_ETHERTYPE] = {{FILTER_WR_ETHTYPE}, {FILTER_WR_ETHTYPEM}},
    [FILTER_MACMATCH] = {{FILTER_WR_MACI}, {FILTER_WR_MACIM}},
    [FILTER_MPSHITTYPE] = {{FILTER_WR_MATCHTYPE}, {FILTER_WR_MATCHTYPEM}},
    [FILTER_FRAGMENTATION] = {{FILTER_WR_FRAG}, {FILTER_WR_FRAGM}},
};
/* Of VLANs: whether there is one. */
static const struct place VALIDS[FILTER_FIELDS][2] = {
    [FILTER_VNIC_ID] = {{FILTER_WR_OVLAN_VLD}, {FILTER_WR_OVLAN_VLDM}},
    [FILTER_VLAN] = {{FILTER_WR_IVLAN_VLD}, {FILTER_WR_IVLAN_VLDM}},
};
static const struct place LOCAL[2] = {{FILTER_WR_LIP}, {FILTER_WR_LIPM}};
static const struct place FOREIGN[2] = {{FILTER_WR_FIP}, {FILTER_WR_FIPM}};
static const struct place LOCAL_PORT[2] = {{FILTER_WR_LP}, {FILTER_WR_LPM}};
static const struct place FOREIGN_PORT[2] = {{FILTER_WR_FP}, {FILTER_WR_FPM}};

static uint32_t read_place(const uint8_t *request, const struct place *place)
{
    return (uint32_t)get(request, place->offset, place->bytes, place->bits);
}

/* Reads the values or the masks of a request. */
static struct facts read_facts(const uint8_t *request, uint32_t which)
{
    struct facts facts = {
        .ipv6 = get(request, FILTER_WR_RQTYPE),
        .local = request + LOCAL[which].offset,
        .foreign = request + FOREIGN[which].offset,
        .ports = read_place(request, &LOCAL_PORT[which]) << 16 |
                 read_place(request, &FOREIGN_PORT[which]),
    };

    for (uint32_t i = 0; i < FILTER_FIELDS; i++) {
        facts.fields[i] = read_place(request, &FIELDS[i][which]);
        if (VALIDS[i][which].bits && read_place(request, &VALIDS[i][which]))
            facts.fields[i] |= VALID;
    }
    return facts;
}

/* Whether frames can be compared with all that a filter looks at. */
static bool can_compare(const struct engine *engine, const uint32_t *masks)
{
    if (masks[FILTER_VNIC_ID] && !engine->matches_interfaces)
        return false; /* an outer VLAN */
    for (uint32_t i = 0; i < FILTER_FIELDS; i++)
        if (masks[i] && (!engine->tuple[i].width || !(COMPARED >> i & 1)))
            return false;
    return true;
}

/* What follows a FW_FILTER2_WR; NULL: the request is none. */
static const uint8_t *nat_of(const uint8_t *request)
{
    return get(request, WR_OP) == FW_FILTER2_WR ? request + FILTER_WR_BYTES : NULL;
}

static bool rewrites(const uint8_t *request, const uint8_t *nat)
{
    return get(request, FILTER_WR_DMAC) || get(request, FILTER_WR_SMAC) ||
           get(request, FILTER_WR_INSVLAN) || get(request, FILTER_WR_RMVLAN) ||
           (nat && get(nat, FILTER_NAT_NATMODE));
}

/* Whether all that a request asks for is done. Only frames that go out again are rewritten. */
static bool can_act(const struct engine *engine, const uint8_t *request)
{
    const uint8_t *nat = nat_of(request);

    if (get(request, FILTER_WR_MASKHASH) || get(request, FILTER_WR_DIRSTEERHASH))
        return false;
    if (nat && (get(nat, FILTER_NAT_FILTER_TYPE) || get(nat, FILTER_NAT_SWAPMAC) ||
                get(nat, FILTER_NAT_NATFLAGCHECK) ||
                (get(nat, FILTER_NAT_ULP_TYPE) && !get(nat, FILTER_NAT_NATMODE))))
        return false;
    if (get(request, FILTER_WR_LPBK))
        return engine->ports[get(request, FILTER_WR_TXCHAN)].present;
    return !rewrites(request, nat);
}

/* Whether a filter can be at its place: an IPv6 filter begins at a multiple of the TIDs that it
 * takes, and nothing else is in there. */
static bool is_place(const struct engine *engine, uint32_t slot, bool ipv6)
{
    uint32_t size = engine->chip.ipv6_filter_tids, first = slot & ~(size - 1);

    if (!ipv6)
        return slot == first || !is_used(engine, first) || !engine->filters[first].ipv6;
    for (uint32_t i = 1; i < size; i++)
        if (is_used(engine, first + i))
            return false;
    return slot == first;
}

static struct rewrite read_rewrite(const uint8_t *request)
{
    const uint8_t *nat = nat_of(request);
    struct rewrite rewrite = {
        .new_target = (uint8_t)get(request, FILTER_WR_DMAC),
        .new_source = (uint8_t)get(request, FILTER_WR_SMAC),
        .removes_tag = (uint8_t)get(request, FILTER_WR_RMVLAN),
        .adds_tag = (uint8_t)get(request, FILTER_WR_INSVLAN),
        .neighbour = (uint16_t)get(request, FILTER_WR_L2TIX),
        .source = (uint8_t)get(request, FILTER_WR_SMAC_SEL),
    };

    if (!nat || !get(nat, FILTER_NAT_NATMODE))
        return rewrite;
    rewrite.nat_mode = (uint8_t)get(nat, FILTER_NAT_NATMODE);
    rewrite.local_port = (uint16_t)get(nat, FILTER_NAT_NEWLPORT);
    rewrite.foreign_port = (uint16_t)get(nat, FILTER_NAT_NEWFPORT);
    memcpy(rewrite.local, bytes_of(nat, FILTER_NAT_NEWLIP), sizeof(rewrite.local));
    memcpy(rewrite.foreign, bytes_of(nat, FILTER_NAT_NEWFIP), sizeof(rewrite.foreign));
    return rewrite;
}

static struct filter make_filter(const struct engine *engine, uint8_t pf, const uint8_t *request,
                                 const struct facts *value, const struct facts *mask)
{
    struct filter filter = {
        .ipv6 = value->ipv6,
        .pf = pf,
        .drops = (uint8_t)get(request, FILTER_WR_DROP),
        .steers = (uint8_t)get(request, FILTER_WR_DIRSTEER),
        .counts = (uint8_t)get(request, FILTER_WR_HITCNTS),
        .tells_tid = (uint8_t)get(request, FILTER_WR_RPTTID),
        .queue = (uint16_t)get(request, FILTER_WR_IQ),
        .switches = (uint8_t)get(request, FILTER_WR_LPBK),
        .port = (uint8_t)get(request, FILTER_WR_TXCHAN),
        .rewrite = read_rewrite(request),
    };

    make_entry(engine, value, filter.value);
    make_entry(engine, mask, filter.mask);
    for (uint32_t i = 0; i < WORDS; i++)
        filter.value[i] &= filter.mask[i];
    return filter;
}

static uint32_t add(struct engine *engine, uint8_t pf, uint32_t slot, const uint8_t *request)
{
    struct facts value = read_facts(request, VALUE), mask = read_facts(request, MASK);

    if (!can_act(engine, request) || !can_compare(engine, mask.fields) ||
        !is_place(engine, slot, value.ipv6))
        return FW_FILTER_WR_EINVAL;
    engine->filters[slot] = make_filter(engine, pf, request, &value, &mask);
    engine->filter_count += !is_used(engine, slot);
    set_bit(engine->filters_used, slot);
    show_entry(engine, slot, &engine->filters[slot]);
    show_block(engine, slot, &engine->filters[slot]);
    return FW_FILTER_WR_FLT_ADDED;
}

uint32_t filters_request(struct engine *engine, uint8_t pf, const uint8_t *request)
{
    uint32_t slot = slot_of(engine, (uint32_t)get(request, FILTER_WR_TID));

    if (slot == NO_FILTER)
        return FW_FILTER_WR_EINVAL;
    if (!get(request, FILTER_WR_DEL_FILTER))
        return add(engine, pf, slot, request);
    remove_slot(engine, slot);
    return FW_FILTER_WR_FLT_DELETED;
}

/* Sets the bits of a word that a mask names. */
static void set_word(uint8_t *block, uint32_t word, uint32_t mask, uint32_t value)
{
    uint8_t *at = block_word(block, word);

    put32(at, (get32(at) & ~mask) | (value & mask));
}

void filters_set_field(struct engine *engine, const uint8_t *cpl)
{
    uint32_t slot = slot_of(engine, (uint32_t)get(cpl, SET_TCB_FIELD_TID));
    uint32_t word = (uint32_t)get(cpl, SET_TCB_FIELD_WORD);
    uint64_t mask = get(cpl, SET_TCB_FIELD_MASK), value = get(cpl, SET_TCB_FIELD_VAL);
    uint8_t *block;

    if (slot == NO_FILTER || !is_used(engine, slot))
        return;
    block = control_block(engine, slot);
    if (!block)
        return;
    set_word(block, word, (uint32_t)mask, (uint32_t)value);
    if (word + 1 < TCB_FILTER_BYTES / sizeof(uint32_t))
        set_word(block, word + 1, (uint32_t)(mask >> 32), (uint32_t)(value >> 32));
    learn_action(block, &engine->filters[slot]);
}

/* Frames */

static struct facts facts_of(const struct interface *interface, const struct frame *frame,
                             const struct headers *headers)
{
    static const uint8_t NOWHERE[16];
    const uint8_t *ip = frame->data + headers->l3, *transport = frame->data + headers->l4;
    uint16_t type = get16(ip - 2);
    struct facts facts = {
        .ipv6 = headers->ip6,
        .local = NOWHERE,
        .foreign = NOWHERE,
        .fields = {[FILTER_FCOE] = type == TYPE_FCOE,
                   [FILTER_PORT] = interface->port + (frame->loopback ? LOOPBACK : 0u),
                   [FILTER_VNIC_ID] = interface->vnic_id,
                   [FILTER_VLAN] = headers->tagged ? VALID | headers->tag : 0,
                   [FILTER_ETHERTYPE] = type,
                   [FILTER_FRAGMENTATION] = headers->fragment},
    };

    if (headers->ip4 || headers->ip6) {
        facts.foreign = ip + (headers->ip4 ? IP4_ADDRESSES : IP6_ADDRESSES);
        facts.local = facts.foreign + (headers->ip4 ? 4 : 16);
        facts.fields[FILTER_TOS] = headers->ip4 ? ip[IP4_TOS] : get16(ip) >> 4 & 0xff;
        facts.fields[FILTER_PROTOCOL] = ip[headers->ip4 ? IP4_PROTOCOL : IP6_NEXT];
    }
    if (headers->ports)
        facts.ports = (uint32_t)get16(transport + 2) << 16 | get16(transport);
    return facts;
}

static bool matches(const struct filter *filter, bool ipv6, const uint32_t *entry)
{
    if (filter->ipv6 != ipv6)
        return false;
    for (uint32_t i = 0; i < WORDS; i++)
        if ((entry[i] & filter->mask[i]) != filter->value[i])
            return false;
    return true;
}

const struct filter *filters_find(const struct engine *engine, const struct interface *interface,
                                  const struct frame *frame, const struct headers *headers)
{
    const struct facts facts = facts_of(interface, frame, headers);
    uint32_t entry[WORDS];

    make_entry(engine, &facts, entry);
    for (uint32_t word = 0; word < ENGINE_FILTERS / 64; word++) {
        for (uint64_t bits = engine->filters_used[word]; bits; bits &= bits - 1) {
            const struct filter *filter =
                &engine->filters[word * 64 + (uint32_t)__builtin_ctzll(bits)];

            if (matches(filter, facts.ipv6, entry))
                return filter;
        }
    }
    return NULL;
}

void filters_steer(const struct engine *engine, const struct filter *filter, struct choice *choice)
{
    choice->filter_hit = true;
    if (filter->steers)
        choice->queue = filter->queue;
    if (filter->tells_tid) {
        choice->filter_tid = true;
        choice->hash = tid_of(engine, (uint32_t)(filter - engine->filters));
    }
}

/* Counts a hit of one copy. MPS makes the copies, by its replication maps, and a filter can ask for
 * the interface that a copy is for; so the lookup is behind that, and each copy is a hit (assumed).
 */
void filters_count(const struct engine *engine, const struct filter *filter,
                   const struct frame *frame)
{
    uint8_t *block = control_block(engine, (uint32_t)(filter - engine->filters));

    if (!block || !filter->counts)
        return;
    put(block, TCB_FILTER_PACKET_COUNT, get(block, TCB_FILTER_PACKET_COUNT) + 1);
    put(block, TCB_FILTER_BYTE_COUNT, get(block, TCB_FILTER_BYTE_COUNT) + frame->length);
}
