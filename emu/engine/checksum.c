/* The Internet checksum (RFC 1071). */

#include "vmcoredd/emu/engine/internal.h"

uint16_t checksum(uint32_t sum, const uint8_t *data, uint32_t length)
{
    uint64_t total = sum;

    for (; length >= 4; length -= 4, data += 4)
        total += get32(data);
    if (length >= 2)
        total += get16(data);
    if (length % 2)
        total += (uint32_t)data[length - 1] << 8;
    while (total >> 16)
        total = (total & 0xffff) + (total >> 16);
    return (uint16_t)total;
}
