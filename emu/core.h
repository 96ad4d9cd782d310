/* The access core of the emulated adapter: spaces of 32-bit words, a kind for each word, lookup
 * ports that lead from one space into another, and memory windows. Tables only: Python fills them,
 * C follows them. Words and offsets are little-endian; a space is indexed in words, whatever its
 * offsets count. */

enum word_kind {
    WORD_UNDESCRIBED,   /* no table names it: reading and writing are oddities; it holds what was
                           written */
    WORD_UNIMPLEMENTED, /* named, but nothing here says how it behaves: as above, another oddity */
    WORD_DUMPED,        /* the same, but part of every register dump: reading is in order */
    WORD_PLAIN,         /* holds what was written */
    WORD_READ_ONLY,     /* a write is refused */
    WORD_CLEAR,         /* a bit written as 1 is cleared */
    WORD_COMMAND,       /* a write runs the lookup ports that are bound to it */
    WORD_DATA,          /* shows a port's row; a write stores into it, a read may advance it */
    WORD_HOOK,          /* Python is asked, for reads and for writes */
    WORD_HOOK_WRITE,    /* Python is asked for writes; a read sees the word */
    WORD_WINDOW,        /* shows adapter memory */
    WORD_OFFSET,        /* moves a window */
    WORD_ALIAS,         /* another place of the word its link names */
};

enum log_kind {
    LOG_GUEST_SIZE,      /* not whole aligned words, or past the end of the region */
    LOG_GUEST_READ_ONLY, /* a write to a word that cannot be written */
    LOG_GUEST_MEMORY,    /* a window shows an address where no memory is */
    LOG_UNIMPLEMENTED,   /* a word that is named but has no behaviour */
    LOG_UNDESCRIBED,     /* a word that nothing names, or a row beyond its table */
};

/* An array of words. `kinds` may be NULL: all plain. `links` says which command, lookup, hook,
 * window or word a word of such a kind belongs to. `number` is the space's place in Python's list.
 */
struct space {
    uint32_t *words;
    const uint8_t *kinds;
    const uint16_t *links;
    uint32_t count;
    uint32_t number;
};

/* Part of a row's number: ((word >> shift) & mask) * scale. */
struct row_part {
    uint32_t *word;
    uint32_t shift;
    uint32_t mask;
    uint32_t scale;
};

enum lookup_step {
    STEP_NEVER,
    STEP_ON_READ,    /* reading the last data word moves on to the next row */
    STEP_ON_COMMAND, /* so does the command itself, once it has fetched */
};

/* A lookup port. When its command word is written, and the value passes (value & when_mask) ==
 * when_value (or, with `unless`, does not pass), one row of `table` is copied to the data words;
 * with `store`, the data words (their bits in `store_mask`) are copied to the row. A table with
 * kinds of its own is accessed through them. The first part is the one that steps; it wraps at its
 * mask. */
struct lookup {
    struct space *table;
    struct space *target;
    struct row_part parts[3];
    uint32_t part_count;
    uint32_t width;
    uint32_t first; /* the first data word in `target` */
    uint32_t when_mask;
    uint32_t when_value;
    uint32_t unless;
    uint32_t store;
    uint32_t store_mask;
    uint32_t step;
    int32_t next; /* the next port of the same command word, or -1 */
};

/* A word of kind WORD_COMMAND. Once its ports have run, the bits of `clear` read as 0 and those of
 * `set` as
 * 1. A hung one runs no port. With `delay`, ports run only when the word was read so many times;
 * until then the bits of `done` read as what they are not afterwards, and a new command takes the
 * old one's place. */
struct command {
    int32_t first;
    uint32_t clear;
    uint32_t set;
    uint32_t hung;
    uint32_t done;
    uint32_t delay;
    uint32_t pending; /* reads until the ports run */
};

/* A memory window: `count` words of BAR0 from `first`. Where its page is mapped by the guest,
 * `shadow` holds what was last put there, so that a move can write back what the guest changed, and
 * nothing else. */
struct window {
    uint32_t first;
    uint32_t count;
    uint32_t *offset;
    uint32_t shown; /* the address that the mapped words show */
    uint8_t *shadow;
};

/* One adapter memory at its place in the adapter's address space. */
struct memory {
    uint8_t *bytes;
    uint32_t base;
    uint32_t size;
};

/* Accesses by shape: 4 bytes, 8 bytes, and runs (any other number of words, counted in
 * `run_words`). */
struct access_counts {
    uint64_t read4, read8, read_runs, read_run_words;
    uint64_t write4, write8, write_runs, write_run_words;
};

struct core {
    void *handle; /* for the callbacks */
    int (*hook_read)(void *handle, uint32_t hook, uint32_t *value);
    int (*hook_write)(void *handle, uint32_t hook, uint32_t value);
    int (*log_access)(void *handle, int kind, uint32_t space, uint64_t offset, uint32_t length,
                      int is_write);
    struct space *bar0;
    struct command *commands;
    struct lookup *lookups;
    struct window windows[8];
    struct memory memories[5];
    struct access_counts counts;
};

/* The cookie of one BAR. */
struct region {
    struct core *core;
    struct space *space;
};

/* The one entry point of every BAR, for the server and in process: a `region_access`
 * (pyvfio_user/io.h) whose cookie is a `struct region`. Whole words only; a run of words is that
 * many ascending 4-byte accesses. -EINVAL: size or alignment; -ERANGE: past the end; -EPERM: a
 * read-only word; -EFAULT: no memory behind the window; -EIO: a hook failed; an oddity gives what
 * the callback says. */
int emu_access(void *cookie, uint64_t offset, void *data, uint32_t length, int is_write);

/* Configuration space: what it holds can be read as it stands, but while `polls` count the reads
 * until the vital product data are there. Then, and for writes, Python is asked. */
struct config {
    uint8_t *bytes;
    uint32_t size;
    uint64_t polls;
    void *handle;
    int (*access)(void *handle, uint64_t offset, void *data, uint32_t length, int is_write);
};

/* Its entry point: a `region_access` whose cookie is a `struct config`; any length at any offset.
 * -EINVAL: past the end; -EIO: Python failed. */
int emu_config_access(void *cookie, uint64_t offset, void *data, uint32_t length, int is_write);

/* One word, as an access from inside: no counting. */
int emu_word_read(struct core *core, struct space *space, uint32_t index, uint32_t *value);
int emu_word_write(struct core *core, struct space *space, uint32_t index, uint32_t value);

/* Copies a port's present row to its data words, without a command. */
int emu_lookup_fetch(struct core *core, const struct lookup *lookup);

/* Copies `length` bytes between `data` and adapter memory at `address`; -EFAULT where none is. */
int emu_memory_copy(struct core *core, uint32_t address, void *data, uint32_t length, int is_write);

/* A mapped window: takes what the guest changed into memory, then shows memory as it is at the
 * offset. */
void emu_window_sync(struct core *core, uint32_t window);
