/* Work that a device does of its own accord: frames that arrive, timers that end. Like io.h, this
 * file goes to cdef(), so it holds declarations only. */

/* A server runs a device's work on its serving thread, between two messages of its client: when
 * `*pending` is not 0 after a message, and when `fd` is readable while it waits for one. `run` does
 * a bounded amount and returns; what is left keeps `*pending` set. It may use the device's host
 * (host.h). */
struct work {
    void *cookie;
    int fd; /* polled, never read */
    volatile uint32_t *pending;
    void (*run)(void *cookie);
};
