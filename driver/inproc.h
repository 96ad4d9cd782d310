/* A card in this process: a `struct io` over the function that also serves it to clients. */
struct inproc {
    struct io io;
    region_access access;
    void *cookie;
    int32_t error; /* the error (-errno) of the first failed access; permanent */
};

/* Initialises `inproc`. `access` and `cookie` come from another extension, as integers. */
void inproc_init(struct inproc *inproc, uintptr_t access, uintptr_t cookie);
