/* The access core of the emulated adapter: spaces of 32-bit words, the kind of each word, lookups
 * that lead from one space into another, and memory windows. Python fills these tables; the C code
 * only interprets them. Words and offsets are little-endian. A space is indexed by word, whether
 * its offsets count bytes or words. */

enum word_kind {
    WORD_UNDESCRIBED,   /* in no register table: an access is logged, a write is stored */
    WORD_UNIMPLEMENTED, /* in a table, but without behaviour here: likewise, logged as such */
    WORD_DUMPED,        /* likewise, but part of a register dump: only writes are logged */
    WORD_PLAIN,         /* holds what was written */
    WORD_READ_ONLY,     /* refuses writes */
    WORD_CLEAR,         /* writing a bit as 1 clears it */
    WORD_COMMAND,       /* a write runs the lookups that are bound to it */
    WORD_DATA,          /* shows a lookup's row; a write goes to the row, a read may step it */
    WORD_HOOK,          /* Python handles reads and writes */
    WORD_HOOK_WRITE,    /* Python handles writes; a read returns the stored word */
    WORD_WINDOW,        /* shows adapter memory */
    WORD_OFFSET,        /* moves a window */
    WORD_ALIAS,         /* the same word as the one it links to */
    WORD_DOORBELL,      /* a write goes to the packet engine; it reads as 0 */
};

enum log_kind {
    LOG_GUEST_SIZE,      /* not whole aligned words, or past the end of the region */
    LOG_GUEST_READ_ONLY, /* a write to a read-only word */
    LOG_GUEST_MEMORY,    /* a window points at an address without memory */
    LOG_UNIMPLEMENTED,   /* a word that is in a table but has no behaviour */
    LOG_UNDESCRIBED,     /* a word in no table, or a row beyond its table */
};

/* An array of words. If `kinds` is NULL, all are plain. `links` holds the number of the command,
 * lookup, hook, window or word that a word's kind refers to. `number` is the space's index in
 * Python's list. */
struct space {
    uint32_t *words;
    const uint8_t *kinds;
    const uint16_t *links;
    uint32_t count;
    uint32_t number;
};

/* Part of a row number: ((word >> shift) & mask) * scale. */
struct row_part {
    uint32_t *word;
    uint32_t shift;
    uint32_t mask;
    uint32_t scale;
};

enum lookup_step {
    STEP_NEVER,
    STEP_ON_READ,    /* reading the last data word steps to the next row */
    STEP_ON_COMMAND, /* the command steps once it has fetched */
};

/* A lookup. A write to its command word runs it if (value & when_mask) == when_value or, with
 * `unless`, if not. It copies one row of `table` to the data words; with `store`, it copies the
 * data words (their bits in `store_mask`) to the row. If the table's words have kinds, the copy
 * accesses them as a guest would. `parts[0]` is the one that steps; it wraps at its mask. */
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
    int32_t next; /* the next lookup of the same command word, or -1 */
};

/* A word of kind WORD_COMMAND. After its lookups have run, it shows the bits of `clear` as 0 and
 * those of `set` as 1. A hung command runs no lookup. With `delay`, the lookups run only after that
 * many reads of the word; until then it shows the bits of `done` inverted, and a new command
 * replaces the pending one. */
struct command {
    int32_t first;
    uint32_t clear;
    uint32_t set;
    uint32_t hung;
    uint32_t done;
    uint32_t delay;
    uint32_t pending; /* reads left until the lookups run */
};

/* A memory window: `count` words of BAR0 from `first`. If the guest maps its page, `shadow` is a
 * copy of what the core last put there, so that moving the window writes back only the bytes that
 * the guest has changed. */
struct window {
    uint32_t first;
    uint32_t count;
    uint32_t *offset;
    uint32_t shown; /* the adapter address that the mapped words show */
    uint8_t blind;  /* it shows all ones, and loses what is written */
    uint8_t *shadow;
};

/* One adapter memory, at its address on the adapter. */
struct memory {
    uint8_t *bytes;
    uint32_t base;
    uint32_t size;
};

/* Accesses by size: 4 bytes, 8 bytes, and runs (any other number of words, summed in
 * `*_run_words`). */
struct access_counts {
    uint64_t read4, read8, read_runs, read_run_words;
    uint64_t write4, write8, write_runs, write_run_words;
};

/* Words that were accessed in a block; refused ones do not count. */
struct block_counts {
    uint64_t reads, writes;
};

/* The numbers of what is no block of registers. A word in no table has the first. */
enum {
    BLOCK_UNDESCRIBED,
    BLOCK_CONFIG,    /* configuration space */
    BLOCK_DOORBELLS, /* BAR2 */
    BLOCK_MSIX,      /* BAR4 */
    BLOCK_MEMORY,    /* what the memory windows show */
    BLOCK_FIRST,     /* of registers */
    BLOCKS = 256,
};

struct engine;
struct trace_ring;

struct core {
    struct engine *engine; /* the packet engine (engine/engine.h) */
    struct trace_ring
        *volatile trace; /* where all that happens is recorded; NULL: nowhere (record.c) */
    void *handle;        /* for the callbacks */
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
    uint8_t gone; /* nothing is in the slot: what is read is all ones, what is written is lost */
    const uint8_t *blocks; /* the number of each word's block, in BAR0 */
    struct block_counts block_counts[256];
};

/* Entry points (core.c) */

/* The cookie of a BAR. The engine hears of each write if `written` is not NULL. */
struct region {
    struct core *core;
    struct space *space;
    uint8_t bar;
    uint8_t block; /* that all its words are in; BLOCK_UNDESCRIBED: see core.blocks */
    void (*written)(struct engine *engine, uint32_t offset, uint32_t length);
};

/* The entry point of every BAR, for the server and in process: a `region_access`
 * (pyvfio_user/io.h) whose cookie is a `struct region`. Whole words only; a run of words is that
 * many ascending 4-byte accesses. -EINVAL: size or alignment; -ERANGE: past the end; -EPERM: a
 * read-only word; -EFAULT: no memory behind the window; -EIO: a hook failed. If the access is
 * logged, the callback's result decides. */
int emu_access(void *cookie, uint64_t offset, void *data, uint32_t length, int is_write);

/* Configuration space. Reads return its bytes, except while `polls` (the reads left until vital
 * product data are ready) is not 0: then Python handles them, as it does all writes. */
struct config {
    struct core *core; /* whose trace has the accesses */
    uint8_t *bytes;
    uint32_t size;
    uint64_t polls;
    void *handle;
    int (*access)(void *handle, uint64_t offset, void *data, uint32_t length, int is_write);
};

/* The entry point of configuration space: a `region_access` whose cookie is a `struct config`; any
 * length at any offset. -EINVAL: past the end; -EIO: Python failed. */
int emu_config_access(void *cookie, uint64_t offset, void *data, uint32_t length, int is_write);

/* Copies words between `data` and a space, whatever their kinds. */
void emu_plain_copy(struct space *space, uint32_t index, uint32_t count, void *data, int is_write);

/* Accesses a single word from inside the card: not counted. */
int emu_word_read(struct core *core, struct space *space, uint32_t index, uint32_t *value);
int emu_word_write(struct core *core, struct space *space, uint32_t index, uint32_t value);

/* What an offset and a length would be refused for, whatever is there: -EINVAL or -ERANGE; or 0. */
int emu_shape(const struct space *space, uint64_t offset, uint32_t length);

/* Logs an access: 0 if it may go on, else -errno. */
int emu_log_access(struct core *core, enum log_kind kind, const struct space *space,
                   uint64_t offset, uint32_t length, int is_write);

/* Lookups (lookup.c) */

/* Accesses a command word. A write runs its lookups, now or after enough reads. */
int emu_command_read(struct core *core, struct space *space, uint32_t index, uint32_t *value);
int emu_command_write(struct core *core, struct space *space, uint32_t index, uint32_t value);

/* Accesses a data word of a lookup that stores or steps. */
int emu_data_read(struct core *core, struct space *space, uint32_t index, uint32_t *value);
int emu_data_write(struct core *core, struct space *space, uint32_t index, uint32_t value);

/* Copies a lookup's current row to its data words, without a command. */
int emu_lookup_fetch(struct core *core, const struct lookup *lookup);

/* Memory and its windows (window.c) */

/* Copies `length` bytes between `data` and adapter memory at `address`; -EFAULT where there is no
 * memory. */
int emu_memory_copy(struct core *core, uint32_t address, void *data, uint32_t length, int is_write);

/* Copies up to `count` words of the window that `index` belongs to. Returns how many, or -errno. */
int emu_window_copy(struct core *core, struct space *space, uint32_t index, uint32_t count,
                    void *data, int is_write);

/* Returns the address on the adapter that a word of a window shows. */
uint32_t emu_window_address(const struct core *core, const struct space *space, uint32_t index);

/* Synchronises a mapped window: stores in memory what the guest has changed, then shows memory at
 * the current offset. */
void emu_window_sync(struct core *core, uint32_t window);

/* Maps `size` bytes of a file over memory at `at`, which is mapped already. */
int emu_map_over(void *at, uint64_t size, int fd, uint64_t offset);

/* Recording (record.c): the entry points come here while there is a trace */

/* As emu_access() and emu_config_access(), and puts the access into the trace. */
int emu_recorded_access(const struct region *region, struct trace_ring *ring, uint64_t offset,
                        void *data, uint32_t length, int is_write);
int emu_recorded_config(const struct config *config, struct trace_ring *ring, uint64_t offset,
                        void *data, uint32_t length, int is_write);

/* The same accesses without a trace. */
int emu_plain_access(const struct region *region, uint64_t offset, void *data, uint32_t length,
                     int is_write);
int emu_plain_config(const struct config *config, uint64_t offset, void *data, uint32_t length,
                     int is_write);
