/* How a device's C code reaches the machine it is plugged into: interrupts and memory. Like io.h,
 * this file goes to cdef(), so it holds declarations only. `Server.host` returns the address of a
 * `struct host`. */

/* The services that a device gets from its host over PCIe. Any thread may call these, and so may a
 * region_access function. All return 0 or -errno. */
struct host {
    void *cookie;
    /* Signals an interrupt. -ENOENT: the host has not enabled this vector. */
    int (*irq)(void *cookie, uint32_t vector);
    /* Copy from and to the host's memory. -ENOENT: no memory at this address; -EACCES: not
     * permitted; -EFAULT: the host shares this memory without a file descriptor, or has truncated
     * its file. */
    int (*dma_read)(void *cookie, uint64_t address, void *into, uint64_t length);
    int (*dma_write)(void *cookie, uint64_t address, const void *data, uint64_t length);
};
