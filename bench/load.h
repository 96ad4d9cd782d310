/* Plain loads on a `struct io`. Return nanoseconds, or -errno. */

/* Makes `n` reads of `count` values of `width` bytes at `offset` into `into`, with at most `depth`
 * in flight. */
int64_t load_reads(const struct io *io, uint64_t offset, void *into, uint32_t width, uint32_t count,
                   uint64_t n, uint64_t depth);

/* Makes `n` posted writes of 4 bytes, then waits for one read, which completes after them. */
int64_t load_writes(const struct io *io, uint64_t offset, uint64_t n);
