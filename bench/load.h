/* Plain loads on a `struct io`: what a link does when nobody has to think. Both return nanoseconds,
 * or -errno. */

/* `n` reads of `count` values of `width` bytes at `offset` into `into`, of which at most `depth`
 * are under way together. */
int64_t load_reads(const struct io *io, uint64_t offset, void *into, uint32_t width, uint32_t count,
                   uint64_t n, uint64_t depth);

/* `n` posted writes of 4 bytes, and one read that shows they have happened. */
int64_t load_writes(const struct io *io, uint64_t offset, uint64_t n);
