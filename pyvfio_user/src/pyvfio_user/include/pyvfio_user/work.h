/* Work that a device does of its own accord: frames that arrive, timers that end. Like io.h, this
 * file goes to cdef(), so it holds declarations only. */

/* A server runs a device's work on its serving thread, between two messages of its client: when
 * `*pending` is not 0 after a message, when `fd` is readable, and once when the client has changed
 * which interrupts it listens to. `run` does a bounded amount and returns; what is left keeps
 * `*pending` set. It may use the device's host (host.h). It also runs while no client is attached,
 * when that host has no memory and hears no interrupt. */
struct work {
    void *cookie;
    int fd; /* polled, never read */
    volatile uint32_t *pending;
    void (*run)(void *cookie);
};
