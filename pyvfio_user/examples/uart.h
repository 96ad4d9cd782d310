/* A 16550A whose registers a vfio-user server reads and writes without Python. This file goes to
 * cdef(), so it holds declarations only. */

struct uart {
    const struct host *host; /* for interrupts */
    int input, output;       /* descriptors: what the guest receives, where its bytes go */
    uint8_t registers[8], divisor[2];
    uint8_t was_pending;
    uint32_t received, read; /* bytes so far */
    uint8_t fifo[256];
};

int uart_access(void *cookie, uint64_t offset, void *data, uint32_t length, int is_write);
void uart_run(void *cookie);
