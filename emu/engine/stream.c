/* The connection of a stream wire. Both ends are alike: who finds nobody at the socket listens
 * there, who finds somebody connects. An end is there only while its port is on, so each end sees
 * the other's link. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmcoredd/emu/engine/internal.h"

/* Returns the inode of the socket at a path; 0 if there is none, 1 if it is something else. */
static uint64_t inode_at(const char *path)
{
    struct stat found;

    if (lstat(path, &found) < 0)
        return 0;
    return S_ISSOCK(found.st_mode) ? found.st_ino : 1;
}

static int make_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static struct sockaddr_un address_of(const struct wire *wire)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    memcpy(address.sun_path, wire->path, sizeof(address.sun_path));
    return address;
}

/* Connects to who listens at the path. 0 or -errno; -ECONNREFUSED: a socket that nobody uses. */
static int connect_to_peer(struct engine *engine, uint32_t port)
{
    const struct sockaddr_un address = address_of(&engine->ports[port].wire);
    const int fd = make_socket();
    int error;

    if (fd < 0)
        return -errno;
    if (!connect(fd, (const struct sockaddr *)&address, sizeof(address))) {
        wire_attach(engine, port, fd);
        return 0;
    }
    error = -errno;
    close(fd);
    return error;
}

/* Listens at the path, where nobody does. 0 or -errno. */
static int listen_for_peer(struct engine *engine, uint32_t port)
{
    struct wire *wire = &engine->ports[port].wire;
    const struct sockaddr_un address = address_of(wire);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = WIRE_LISTENER + port};
    const int fd = make_socket();
    int error;

    if (fd < 0)
        return -errno;
    if (!fchmod(fd, 0600) && !bind(fd, (const struct sockaddr *)&address, sizeof(address)) &&
        !listen(fd, 1) && !epoll_ctl(engine->work_fd, EPOLL_CTL_ADD, fd, &event)) {
        wire->listener = fd;
        wire->inode = inode_at(wire->path);
        return 0;
    }
    error = -errno;
    close(fd);
    return error;
}

static void stop_listening(struct wire *wire)
{
    if (wire->listener < 0)
        return;
    if (inode_at(wire->path) == wire->inode)
        unlink(wire->path);
    close(wire->listener);
    wire->listener = -1;
}

/* Connects, or listens if nobody else does. */
static void meet(struct engine *engine, uint32_t port)
{
    struct wire *wire = &engine->ports[port].wire;
    int error = connect_to_peer(engine, port);

    if (error == -ECONNREFUSED && inode_at(wire->path) > 1)
        unlink(wire->path);
    if (error == -ECONNREFUSED || error == -ENOENT)
        error = listen_for_peer(engine, port);
    if (error && error != -EADDRINUSE && error != -EAGAIN)
        wire_report(engine, port, 0, error);
}

/* Takes a peer that has connected; any other while one is there is sent away. */
static void answer(struct engine *engine, uint32_t port)
{
    const int listener = engine->ports[port].wire.listener;
    const int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0)
        return;
    if (engine->ports[port].wire.fd < 0)
        wire_attach(engine, port, fd);
    else
        close(fd);
}

void stream_close(struct engine *engine, uint32_t port)
{
    stop_listening(&engine->ports[port].wire);
    wire_detach(engine, port);
    engine->ports[port].wire.due = 0;
    engine->ports[port].wire.knocks = 0;
}

void stream_update(struct engine *engine, uint32_t port, bool on)
{
    struct wire *wire = &engine->ports[port].wire;

    if (!on) {
        stream_close(engine, port);
        return;
    }
    if (wire->knocks) {
        wire->knocks = 0;
        answer(engine, port);
    }
    if (wire->fd >= 0 || engine->now < wire->due)
        return;
    wire->due = engine->now + WIRE_PAUSE;
    if (wire->listener >= 0 && inode_at(wire->path) == wire->inode)
        return;
    stop_listening(wire);
    meet(engine, port);
}
