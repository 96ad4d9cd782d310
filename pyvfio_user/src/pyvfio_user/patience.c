/* See patience.h. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "pyvfio_user/patience.h"

uint64_t patience_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void patience_init(struct patience *patience, int socket, uint32_t deadline_ms)
{
    struct ucred peer = {0};
    socklen_t length = sizeof(peer);

    *patience = (struct patience){.deadline_ms = deadline_ms};
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && peer.pid != getpid())
        patience->peer = peer.pid;
    patience_begin(patience);
}

void patience_begin(struct patience *patience)
{
    patience_moved(patience);
    patience->began_at = patience->moved_at;
}

void patience_moved(struct patience *patience)
{
    patience->moved_at = patience_now_ns();
    patience->looked = false;
}

/* Reads a process's state and processor time (proc_pid_stat(5): fields 3, 14 and 15). Returns
 * false if there is no such process. */
static bool look(int process, char *state, uint64_t *work)
{
    char path[32], text[512];
    unsigned long user = 0, system = 0;

    snprintf(path, sizeof(path), "/proc/%d/stat", process);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t length = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[length > 0 ? length : 0] = '\0';
    const char *name_end = strrchr(text, ')'); /* a name may contain anything */
    if (!name_end || sscanf(name_end + 1, " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
                            state, &user, &system) != 3)
        return false;
    *work = (uint64_t)user + system;
    return true;
}

/* Returns whether the peer was at work since the last look. The first look only takes notes. */
static bool is_at_work(struct patience *patience)
{
    uint64_t before = patience->work;
    bool first = !patience->looked;
    char state = 'X';

    if (!patience->peer || !look(patience->peer, &state, &patience->work))
        return false;
    patience->looked = true;
    return state == 'R' || state == 'D' || (!first && state != 'T' && patience->work != before);
}

bool patience_is_over(struct patience *patience)
{
    const uint64_t deadline = patience->deadline_ms * UINT64_C(1000000);
    uint64_t now = patience_now_ns();

    if (now - patience->began_at > deadline * PATIENCE_DEADLINES)
        return true;
    if (now - patience->moved_at <= deadline) {
        if (!patience->looked && now - patience->moved_at > deadline / 4)
            (void)is_at_work(patience);
        return false;
    }
    if (!is_at_work(patience))
        return true;
    patience->moved_at = now;
    return false;
}

uint32_t patience_tick_ms(const struct patience *patience)
{
    uint32_t half = patience->deadline_ms / 2;

    return half > PATIENCE_TICK_MS ? PATIENCE_TICK_MS : half ? half : 1;
}
