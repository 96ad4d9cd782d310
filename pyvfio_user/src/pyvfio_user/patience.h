/* How long to wait for the process at the other end of a socket: as long as bytes move or it is at
 * work, within limits. Client and server share this. */
#ifndef PYVFIO_USER_PATIENCE_H
#define PYVFIO_USER_PATIENCE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    PATIENCE_DEADLINES = 12, /* the longest wait, in deadlines */
    PATIENCE_TICK_MS = 500,  /* the longest delay of a signal that arrives just before a wait */
};

/* A wait. The deadline starts again with each byte that moves. When it has passed, it starts again
 * if the peer is waiting for a processor or a disk, or has used a processor: then it is slow, not
 * dead. */
struct patience {
    uint32_t deadline_ms;
    int peer; /* process number, or 0 if only the clock can tell */
    uint64_t began_at;
    uint64_t moved_at; /* ns */
    uint64_t work;     /* the peer's processor time when it was last looked at, in clock ticks */
    bool looked;       /* since the last byte */
};

/* Returns the time of a clock that only moves forward. */
uint64_t patience_now_ns(void);

/* Finds out which process is at the other end of a connected `socket`. */
void patience_init(struct patience *patience, int socket, uint32_t deadline_ms);

void patience_begin(struct patience *patience);
void patience_moved(struct patience *patience);

/* Returns whether to give up. To be asked after each part of a wait, of patience_tick_ms() at most,
 * that has brought nothing. */
bool patience_is_over(struct patience *patience);
uint32_t patience_tick_ms(const struct patience *patience);

#endif
