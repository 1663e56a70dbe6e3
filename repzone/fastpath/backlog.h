/* How long packets have waited for a thread in, how many may wait out: as many as it answers in WAIT.
 *
 * A thread that is asked for more than it can answer would else answer late whatever fits into its socket's buffer, half
 * a second and more behind; its clients would long have asked again. What is above the bound the kernel drops, at the
 * cost of those who send. It says when the last packet that was read had come (SIOCGSTAMPNS, socket(7)), and how much
 * memory those that wait take (SO_MEMINFO); a short look once a full batch, for only then others wait, and a bound only
 * when one full batch follows the other for LASTING.
 */

#ifndef REPZONE_BACKLOG_H
#define REPZONE_BACKLOG_H

#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

enum { BUFFER_LEAST = 65536 }; /* octets: the packets of two batches */

static const int64_t WAIT = 10000000, LASTING = 30000000, CALM = 1000000000; /* nanoseconds */

typedef struct {
    int socket;
    int most, now; /* the socket's buffer as it was given and as it is, as setsockopt takes it: half of what it holds */
    int64_t changed;
    int64_t full_since; /* when the first of the full batches in a row was read; 0: the last one was not full */
} Backlog;

static inline int64_t read_realtime(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * CALM + now.tv_nsec;
}

/* When the last packet that was read had come; 0 where the kernel does not say. */
static inline int64_t read_arrival(int socket)
{
    struct timespec at;
    return ioctl(socket, SIOCGSTAMPNS, &at) < 0 ? 0 : at.tv_sec * CALM + at.tv_nsec;
}

/* Octets of memory that the packets take that wait. */
static inline int64_t read_waiting(int socket)
{
    uint32_t memory[SK_MEMINFO_VARS] = {0};
    socklen_t size = sizeof memory;
    return getsockopt(socket, SOL_SOCKET, SO_MEMINFO, memory, &size) < 0 ? 0 : memory[SK_MEMINFO_RMEM_ALLOC];
}

static inline void backlog_set(Backlog *backlog, int64_t size)
{
    backlog->now = size < BUFFER_LEAST ? BUFFER_LEAST : size > backlog->most ? backlog->most : (int)size;
    backlog->changed = read_realtime();
    setsockopt(backlog->socket, SOL_SOCKET, SO_RCVBUF, &backlog->now, sizeof backlog->now);
}

/* Begin with the buffer that the socket has; packets are stamped from here on. */
static inline void backlog_start(Backlog *backlog, int socket)
{
    socklen_t size = sizeof backlog->most;
    *backlog = (Backlog){.socket = socket};
    getsockopt(socket, SOL_SOCKET, SO_RCVBUF, &backlog->most, &size);
    backlog->now = backlog->most /= 2;
    read_arrival(socket);
}

/* Set the bound by what was just read: a full batch, behind which others may wait, or all that was there. */
static inline void backlog_keep(Backlog *backlog, bool full)
{
    if (!full) {
        backlog->full_since = 0;
        if (backlog->now < backlog->most && read_realtime() - backlog->changed > CALM)
            backlog_set(backlog, backlog->most);
        return;
    }
    int64_t arrival = read_arrival(backlog->socket), now = read_realtime(), waited = now - arrival;
    if (backlog->full_since == 0)
        backlog->full_since = now;
    if (now - backlog->full_since < LASTING) /* a burst, or the thread itself had to wait: it catches up */
        return;
    if (arrival <= backlog->changed || waited <= 0) /* it came under another bound, or a clock was set */
        return;
    if (waited > WAIT)
        backlog_set(backlog, read_waiting(backlog->socket) * WAIT / waited / 2);
    else if (waited < WAIT / 2 && backlog->now < backlog->most)
        backlog_set(backlog, 2 * (int64_t)backlog->now);
}

#endif
