/* The server's core: libvfio-user, and the tasks that it leaves to its users. All functions return
 * 0 or -errno unless they say otherwise.
 *
 * The library is not thread-safe. One thread runs the server and holds a lock, except while it
 * waits for a message. So any thread, and any callback, may call server_irq() and server_dma(). */

struct server;
struct work;

/* Functions that are called on events of the device, with `handle`. Any of them may be NULL. */
struct server_callbacks {
    void *handle;
    int (*reset)(void *handle, int reason); /* 0 or -errno */
    void (*dma_map)(void *handle, uint64_t address, uint64_t size, int writable, int mapped);
    void (*dma_unmap)(void *handle, uint64_t address, uint64_t size, int writable, int mapped);
    void (*log)(void *handle, int level, const char *message); /* level: syslog(3) */
    void (*wait)(void *handle); /* in long waits for a client, regularly: handle signals */
};

/* Creates a server that listens on `path`. It cuts off a client that neither moves a byte nor
 * works (patience.h) for `deadline_ms` in the middle of a message or a reply. Before it sleeps, it
 * polls for a message for `spin_us` microseconds. A client that has sent nothing for `idle_ms`
 * (0: never) gives way to another. Copies the callbacks. Returns NULL on failure,
 * with the reason in *error. */
struct server *server_create(const char *path, const struct server_callbacks *callbacks,
                             uint32_t deadline_ms, uint32_t spin_us, uint32_t idle_ms,
                             int log_level, int *error);
void server_destroy(struct server *server);

/* A region. `flags` are VFU_REGION_FLAG_*. The client can map `area_length` bytes at `area_offset`
 * (0: nothing); `fd` is a file that holds an image of the region from `fd_offset` on. */
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

/* The library's 4096 bytes of config space. */
uint8_t *server_config_space(struct server *server);

/* Returns the capability's position. `position` is never 0; `flags` are VFU_CAP_FLAG_*. */
int server_add_capability(struct server *server, uint32_t position, int flags, const void *data,
                          uint32_t length);

/* Sets the number of vectors of an interrupt index. */
int server_set_irqs(struct server *server, int index, uint32_t count);

/* Completes the device: nothing may be added after this. */
int server_realize(struct server *server);

enum server_event {
    SERVER_STOPPED,     /* server_stop() was called */
    SERVER_INTERRUPTED, /* a signal, or nothing for a while: handle signals and run again */
    SERVER_CLIENT,      /* a client is attached: run again to serve it */
    SERVER_GONE,        /* that client is gone: run again for the next */
    SERVER_TURNED_AWAY, /* a client connected that does not speak vfio-user */
};

/* Serves until something happens. Returns an event. */
int server_run(struct server *server);

/* May be called from any thread, more than once. */
void server_stop(struct server *server);

/* Makes server_run() return soon, between two messages; any thread may call it. server_run() has no
 * patience until server_woken() is called, in the serving thread and before what it was woken for
 * is looked at. */
void server_wake(struct server *server);
void server_woken(struct server *server);

/* Sleeps in the serving thread, between two runs, until server_wake() or server_stop() is called, a
 * signal comes or the time is over. Returns whether server_stop() was called. */
int server_sleep(struct server *server, int timeout_ms);

/* Returns the process and the user at the other end of the client's connection; -ENOTCONN without
 * one. Any thread may call it. */
int server_peer(struct server *server, uint32_t *process, uint32_t *user);

/* Returns how many messages have come, of all clients. */
uint64_t server_messages(const struct server *server);

/* See host.h. */
int server_irq(struct server *server, uint32_t vector);

/* Sets the level of INTx, which the PCI status shows, and signals it when it rises. -ENOENT: the
 * client has not enabled it. Any thread may call this. */
int server_intx(struct server *server, int asserted);

/* See host.h. */
int server_dma(struct server *server, uint64_t address, void *data, uint64_t length, int is_write);

/* Returns these functions as a table, valid until server_destroy(). */
const struct host *server_host(const struct server *server);

/* Registers the device's own work (work.h), which it copies. NULL: there is none. */
void server_set_work(struct server *server, const struct work *work);
