/* How C code reaches a device's registers: an interface for other extensions. This file goes to
 * cdef(), so it holds declarations only. Function pointers pass between extensions as integers. */

/* Serves one access to one region: `length` bytes at `offset`, little-endian, in ascending order.
 * `data` may have any alignment. Servers and the in-process transport call it. Returns 0 or -errno,
 * nothing else. */
typedef int (*region_access)(void *cookie, uint64_t offset, void *data, uint32_t length,
                             int is_write);

/* A transport's services, as over PCIe. Each call makes `count` accesses of `width` (4 or 8)
 * bytes at ascending offsets. Accesses take effect in the order of the calls.
 *   write  is posted: the caller may reuse `data` at once, the device may see it later.
 *   read   is split:  `into` is filled when the next fence returns, or before.
 *   fence  waits until all reads are complete and all writes are handed over.
 * All return 0 or -errno (-EIO: the peer is dead, -ETIMEDOUT: it does not reply in time); after an
 * error, every later call returns the same error. */
struct io {
    void *cookie;
    int (*write)(void *cookie, uint64_t offset, const void *data, uint32_t width, uint32_t count);
    int (*read)(void *cookie, uint64_t offset, void *into, uint32_t width, uint32_t count);
    int (*fence)(void *cookie);
};
