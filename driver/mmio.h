/* Registers mapped into this process: a `struct io` whose accesses are loads and stores.
 *
 * Each access is one aligned load or store of 32 or 64 bits, as the kernel's readl() and readq()
 * make them. A word outside the mapping reads as all ones, and a write to it is dropped, as on a
 * bus where nobody answers: an offset may come from a register of a broken adapter. A mapping that
 * the kernel takes away (the function was removed or its decoding switched off) raises SIGBUS at
 * the next access; that access, and all later ones, then return -EIO. */
struct mmio {
    struct io io;
    uintptr_t base; /* page-aligned */
    uint64_t bytes;
    int32_t error; /* -EIO once an access has faulted; permanent */
};

/* Initialises `mmio`, which must not move afterwards. The first call installs a handler for SIGBUS,
 * which leaves other faults to the handler before it. Returns 0 or -errno. */
int mmio_init(struct mmio *mmio, uintptr_t base, uint64_t bytes);

/* Lets every later access fail, so that the mapping may go. */
void mmio_end(struct mmio *mmio);
