/* A card in this process: a `struct io` over the function that also serves it to clients. */
struct inproc {
    struct io io;
    region_access access;
    void *cookie;
    int32_t error; /* of the first access that failed, -errno; permanent */
};

/* Initialises `inproc`. `access` and `cookie` come from another extension, as integers. */
void inproc_init(struct inproc *inproc, uintptr_t access, uintptr_t cookie);
