/* Receive-side scaling: which queue of an interface gets a frame. */

#include "vmcoredd/emu/engine/internal.h"

enum {
    KEY_WORDS = 10,
    HASHED_MAX = 36, /* two IPv6 addresses and two ports */
    QUEUES_PER_WORD = 2,
};

/* The key's 64 bits from word `index` on; the last word of the key comes first. */
static uint64_t key_words(const uint32_t *key, uint32_t index)
{
    const uint32_t *word = key + KEY_WORDS - 1 - index;

    return (uint64_t)word[0] << 32 | word[-1];
}

/* Each bit of the data that is set adds the 32 bits of the key from its own place on. */
uint32_t rss_toeplitz(const uint32_t *key, const uint8_t *data, uint32_t length)
{
    uint32_t hash = 0;

    for (uint32_t i = 0; i < length && i < HASHED_MAX; i++) {
        uint64_t window = key_words(key, i / 4) << i % 4 * 8;

        for (uint32_t bit = 0; bit < 8; bit++, window <<= 1)
            hash ^= (uint32_t)(window >> 32) & -(uint32_t)(data[i] >> (7 - bit) & 1);
    }
    return hash;
}

/* What an interface hashes of a frame. */
static enum hash_type hash_type(const struct engine *engine, const struct interface *interface,
                                const struct headers *headers)
{
    bool ports = headers->ip4 ? interface->hash_ip4_ports : interface->hash_ip6_ports;
    bool addresses = headers->ip4 ? interface->hash_ip4 : interface->hash_ip6;

    if (!engine->rss_key || (!headers->ip4 && !headers->ip6))
        return HASH_NONE;
    if (ports && headers->ports && headers->tcp)
        return HASH_TCP;
    if (ports && headers->ports && interface->hash_udp)
        return HASH_UDP;
    return addresses ? HASH_IP : HASH_NONE;
}

static uint32_t hash(const struct engine *engine, const struct frame *frame,
                     const struct headers *headers, enum hash_type type)
{
    uint32_t addresses = headers->ip4 ? 8 : 32;
    uint8_t hashed[HASHED_MAX];

    memcpy(hashed, frame->data + headers->l3 + (headers->ip4 ? 12 : 8), addresses);
    if (type == HASH_IP)
        return rss_toeplitz(engine->rss_key, hashed, addresses);
    memcpy(hashed + addresses, frame->data + headers->l4, 4);
    return rss_toeplitz(engine->rss_key, hashed, addresses + 4);
}

/* The queue of an entry of the RSS table. */
static uint32_t table_queue(const struct engine *engine, uint32_t entry)
{
    uint32_t row = entry / QUEUES_PER_WORD;
    uint32_t word = engine->rss && row < engine->rss->count ? engine->rss->words[row] : 0;

    return field(word, entry % QUEUES_PER_WORD ? TP_RSS_LKP_TABLE_LKPTBLQUEUE1
                                               : TP_RSS_LKP_TABLE_LKPTBLQUEUE0);
}

struct choice rss_choose(const struct engine *engine, const struct interface *interface,
                         const struct frame *frame, const struct headers *headers)
{
    struct choice choice = {.queue = interface->default_queue,
                            .type = hash_type(engine, interface, headers)};

    if (choice.type != HASH_NONE && interface->rss_count) {
        choice.hash = hash(engine, frame, headers, choice.type);
        choice.queue =
            table_queue(engine, interface->rss_first + choice.hash % interface->rss_count);
    } else if (!engine->ingress[choice.queue % ENGINE_QUEUES].entries) {
        choice.queue = table_queue(engine, interface->rss_first); /* nobody has chosen a default */
    }
    return choice;
}
