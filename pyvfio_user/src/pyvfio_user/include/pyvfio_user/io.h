/* How C reaches a device's registers. The one header that all extensions share; it goes to cdef()
 * as it stands, so it holds declarations only. Function pointers pass between extensions as
 * integers. */

/* One access to one region, as a server receives it and as the in-process transport makes it.
 * `length` bytes at `offset`, little-endian, in ascending order. Returns 0 or -errno, nothing
 * else. */
typedef int (*region_access)(void *cookie, uint64_t offset, void *data, uint32_t length,
                             int is_write);

/* What a transport gives: what PCIe gives. Each call makes `count` accesses of `width` (4 or 8)
 * bytes at ascending offsets. Accesses take effect in the order of the calls.
 *   write  is posted: `data` may be reused at once, the device may see it later.
 *   read   is split:  `into` is filled at the latest when the next fence returns.
 *   fence  waits until every read has been answered and every write was handed over.
 * All return 0 or -errno (-EIO: the peer is dead, -ETIMEDOUT: it did not answer in time); after an
 * error every later call returns the same error. */
struct io {
    void *cookie;
    int (*write)(void *cookie, uint64_t offset, const void *data, uint32_t width, uint32_t count);
    int (*read)(void *cookie, uint64_t offset, void *into, uint32_t width, uint32_t count);
    int (*fence)(void *cookie);
};
