/* The Internet checksum (RFC 1071). */

#include "vmcoredd/emu/engine/internal.h"

enum { WORD = 8 };

/* Adds with the carry that comes out at the top going in again at the bottom. */
static uint64_t add(uint64_t total, uint64_t more)
{
    total += more;
    return total + (total < more);
}

static uint16_t folded(uint64_t total)
{
    while (total >> 16)
        total = (total & 0xffff) + (total >> 16);
    return (uint16_t)total;
}

/* Up to eight bytes, with zeros behind them. */
static uint64_t word_at(const uint8_t *data, uint32_t length)
{
    uint64_t word = 0;

    memcpy(&word, data, length);
    return word;
}

/* Words are summed in the host's order, which swaps the bytes of their sum (RFC 1071, 2 B); two
 * sums at a time do not wait for each other. */
uint16_t checksum(uint32_t sum, const uint8_t *data, uint32_t length)
{
    uint64_t even = 0, odd = 0;

    for (; length >= 2 * WORD; length -= 2 * WORD, data += 2 * WORD) {
        even = add(even, word_at(data, WORD));
        odd = add(odd, word_at(data + WORD, WORD));
    }
    if (length > WORD) {
        odd = add(odd, word_at(data + WORD, length - WORD));
        length = WORD;
    }
    even = add(even, word_at(data, length));
    return folded((uint64_t)__builtin_bswap16(folded(add(even, odd))) + sum);
}
