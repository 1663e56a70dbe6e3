/* A network whose packets come faster than any thread reads them in, how many batches a thread reads out: the end must
 * not wait for a client that goes on asking.
 *
 * drain: prints how many batches a thread reads after it was asked to end. What recvmmsg gives is said here, because no
 * socket's buffer holds enough packets for certain; they are too short for replies, and so none is sent.
 */

#define _GNU_SOURCE
#include <unistd.h>

#include "input.h"

#include <sys/socket.h>

static int receive(int sock, struct mmsghdr *messages, unsigned most, int flags, struct timespec *timeout);
#define recvmmsg receive
#include "../../repzone/fastpath/worker.h"

enum { BEFORE = 10 };

static Core core;
static Shared shared = {.core = &core, .told = NOW};
static unsigned calls, end_at, dry_from;

/* Give full batches, ask for the end in call `end_at`, give nothing any more from call `dry_from` on. */
static int receive(int sock, struct mmsghdr *messages, unsigned most, int flags, struct timespec *timeout)
{
    (void)sock, (void)timeout;
    bool ending = atomic_load(&shared.ending);
    require(flags == (ending ? MSG_DONTWAIT : MSG_WAITFORONE), "no waiting once the end was asked for");
    if (++calls == end_at)
        atomic_store(&shared.ending, true);
    require(calls < 10 * LAST_BATCHES, "an end");
    if (calls >= dry_from) {
        errno = EAGAIN;
        return -1;
    }
    for (unsigned number = 0; number < most; number++) {
        Address *address = messages[number].msg_hdr.msg_name;
        *address = (Address){.v4 = {.sin_family = AF_INET}};
        memcpy(messages[number].msg_hdr.msg_iov->iov_base, "short", 5);
        messages[number].msg_len = 5;
    }
    return (int)most;
}

/* Give the number of calls that a thread makes when the end is asked for in one of them. */
static unsigned run_worker(unsigned end, unsigned dry)
{
    Worker *worker = calloc(1, sizeof *worker);
    calls = 0;
    end_at = end;
    dry_from = dry;
    atomic_store(&shared.ending, end == 0);
    worker->shared = &shared;
    worker->reader = reader_take(&core.table);
    worker->socket = socket(AF_INET, SOCK_DGRAM, 0);
    prepare_messages(worker);
    backlog_start(&worker->backlog, worker->socket);
    work(worker);
    unsigned batches = calls - (calls >= dry);
    require(worker->tally.batches == batches, "each batch counted");
    require(worker->tally.packets == (uint64_t)batches * BATCH, "each packet counted");
    require(worker->tally.dropped == worker->tally.packets, "silence");
    close(worker->socket);
    free(worker);
    return calls;
}

int main(void)
{
    require(table_init(&core.table, 1), "memory");
    unsigned last = run_worker(0, UINT32_MAX);
    require(run_worker(BEFORE, UINT32_MAX) == BEFORE + last, "as many when it had read before");
    require(run_worker(BEFORE, BEFORE + 3) == BEFORE + 3, "an end when all was read");
    printf("%u\n", last);
    core_end(&core);
    return 0;
}
