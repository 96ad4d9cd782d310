/* A guest that does to a card whatever it can. This file goes to cdef() too. */

/* What a storm calls; the functions are the card's own. */
struct guest_calls {
    int (*access)(void *region, uint64_t offset, void *data, uint32_t length, int is_write);
    void (*run)(struct engine *engine, uint64_t now);
    int (*receive)(struct engine *engine, uint32_t port, const struct frame *frame);
    int (*cpl)(struct engine *engine, uint32_t queue, const void *cpl, uint32_t length);
    void (*tell)(struct engine *engine, uint32_t port);
    void (*update_links)(struct engine *engine);
    void (*limit)(struct engine *engine, uint32_t port, uint32_t traffic_class, uint32_t kbps,
                  int per_flow);
    void (*stop)(struct engine *engine, int pf);
};

struct guest;

/* `bars` are the cookies of BAR0, 2 and 4. Returns NULL without memory. */
struct guest *guest_create(struct engine *engine, void *const *bars,
                           const struct guest_calls *calls, uint64_t seed);
void guest_destroy(struct guest *guest);

/* What the guest's host has seen. */
struct guest_sights {
    uint64_t accesses, refused; /* of memory */
    uint64_t interrupts;
    uint64_t most_accesses, most_bytes, most_ns; /* in one run of the engine; of processor time */
};

/* Does random things, at most `most_accesses` of which may follow from one run of the engine. NULL,
 * or what went wrong. */
const char *guest_storm(struct guest *guest, uint64_t operations, uint64_t most_accesses);

/* Ends the storm as a reset does, then runs the engine: NULL, or what it still touches. */
const char *guest_calm(struct guest *guest);

const struct guest_sights *guest_sights(const struct guest *guest);
