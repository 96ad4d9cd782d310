/* The server's core: libvfio-user, with what it leaves to its users. All functions return 0 or
 * -errno unless they say otherwise.
 *
 * The library is not thread-safe. Here one thread runs the server; a lock is free only while
 * that thread waits for a message, so server_irq() and server_dma() may be called from any
 * thread and from callbacks. */

struct server;

/* What a server tells. `handle` is passed on as it is. A function may be NULL. */
struct server_callbacks {
    void *handle;
    int (*reset)(void *handle, int reason); /* 0 or -errno */
    void (*dma_map)(void *handle, uint64_t address, uint64_t size, int writable, int mapped);
    void (*dma_unmap)(void *handle, uint64_t address, uint64_t size, int writable, int mapped);
    void (*log)(void *handle, int level, const char *message); /* level: syslog(3) */
};

/* A context that listens on `path`. A client may be silent half way through a message for
 * `deadline_ms`. Before it sleeps, the server looks for a message for `spin_us` microseconds.
 * NULL: see *error. The callbacks are copied. */
struct server *server_create(const char *path, const struct server_callbacks *callbacks,
                             uint32_t deadline_ms, uint32_t spin_us, int log_level, int *error);
void server_destroy(struct server *server);

/* A region. `flags` are VFU_REGION_FLAG_*. `area_length` bytes at `area_offset` can be mapped by
 * the client (0: nothing); `fd` is a file that holds an image of the region from `fd_offset` on. */
struct server_region {
    region_access access;
    void *cookie;
    uint64_t size;
    uint64_t area_offset;
    uint64_t area_length;
    uint64_t fd_offset;
    int fd;
    int flags;
};
int server_add_region(struct server *server, int index, const struct server_region *region);

/* The 4096 bytes of config space that the library keeps. */
uint8_t *server_config_space(struct server *server);

/* Returns where the capability stands. `position` is never 0; `flags` are VFU_CAP_FLAG_*. */
int server_add_capability(struct server *server, uint32_t position, int flags, const void *data,
                          uint32_t length);

/* How many vectors an interrupt index has. */
int server_set_irqs(struct server *server, int index, uint32_t count);

/* Nothing may be added after this. */
int server_realize(struct server *server);

enum server_event {
    SERVER_STOPPED,     /* server_stop() was called */
    SERVER_INTERRUPTED, /* a signal, or some idle time: look at signals and run again */
    SERVER_CLIENT,      /* a client is attached: run again to serve it */
    SERVER_GONE,        /* that client is gone: run again for the next */
    SERVER_TURNED_AWAY, /* a client came that spoke no vfio-user */
};

/* Serve until something happens. Returns an event. */
int server_run(struct server *server);

/* From any thread, once or often. */
void server_stop(struct server *server);

/* -ENOENT: the client gave no eventfd for this vector. */
int server_irq(struct server *server, uint32_t vector);

/* Copy between `data` and the client's memory. -ENOENT: it has none there; -EACCES: not
 * permitted; -EFAULT: lent without a descriptor, or its file has shrunk. */
int server_dma(struct server *server, uint64_t address, void *data, uint64_t length, int is_write);
