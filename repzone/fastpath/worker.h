/* A bound UDP socket and the core in, replies out: the loop of one thread, which never touches Python.
 *
 * A batch is received by one call, answered with one reading of the clock, and sent by one call; all memory was there
 * before the first packet. A socket on 0.0.0.0 or :: is told which address each packet went to, and the reply says so
 * again (RFC 3542 §6). The sockets of one port share it (SO_REUSEPORT), and the kernel spreads clients over them.
 */

#ifndef REPZONE_WORKER_H
#define REPZONE_WORKER_H

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

#include "backlog.h"
#include "core.h"
#include "queue.h"

enum {
    BATCH = 64,
    LINE = 64, /* of the processor's cache, in octets */
    LAST_BATCHES = 64,     /* that are answered after the end was asked for */
    BUSY = 4,              /* packets that came together: more are on their way */
    WAKE_MICROSECONDS = 200000, /* after which an idle thread looks whether it is to end */
};

/* Counters of one thread: only it adds, anybody reads. */
typedef _Atomic uint64_t Counter;
typedef struct {
    Counter answered[ZONES_MOST][COUNTED_TYPES][2]; /* NOERROR, NXDOMAIN */
    Counter handed_over, failed, dropped, unsent, batches, packets;
} Tally;

/* What all threads of a server share. */
typedef struct {
    Core *core;
    _Atomic int64_t told; /* the instant that a test says it is; 0: read the clock */
    _Atomic uint64_t sampled; /* of 2^32 hits that many are handed over, for the log of queries */
    _Atomic bool ending;
    int wake; /* an eventfd, for whoever takes from the queues */
} Shared;

typedef struct {
    Shared *shared;
    Reader *reader;
    int socket;
    bool wildcard, started;
    pthread_t thread;
    Tally tally;
    Queue queue;
    Backlog backlog;
    unsigned sending;
    uint64_t chance; /* state of the sampler, never 0 */
    struct mmsghdr in[BATCH], out[BATCH];
    struct iovec in_vectors[BATCH], out_vectors[BATCH];
    Address addresses[BATCH];
    _Alignas(8) uint8_t controls[BATCH][CONTROL_OCTETS];
    Verdict verdicts[BATCH];
    Asked asked[BATCH];
    uint8_t packets[BATCH][PACKET_MOST + LINE]; /* else all would begin in one set of the cache */
    uint8_t replies[BATCH][REPLY_MOST + LINE];
} Worker;

static inline void count(Counter *counter, uint64_t number)
{
    uint64_t before = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, before + number, memory_order_relaxed);
}

/* The one that the general path counts too. */
static inline void count_unsent(Worker *worker)
{
    atomic_fetch_add_explicit(&worker->tally.unsent, 1, memory_order_relaxed);
}

/* Point the messages to their buffers, once. */
static inline void prepare_messages(Worker *worker)
{
    for (unsigned number = 0; number < BATCH; number++) {
        worker->in_vectors[number] = (struct iovec){worker->packets[number], PACKET_MOST};
        worker->in[number].msg_hdr = (struct msghdr){
            .msg_name = &worker->addresses[number],
            .msg_namelen = sizeof(Address),
            .msg_iov = &worker->in_vectors[number],
            .msg_iovlen = 1,
            .msg_control = worker->controls[number],
            .msg_controllen = worker->wildcard ? CONTROL_OCTETS : 0,
        };
        worker->out_vectors[number].iov_base = worker->replies[number];
    }
}

/* Tell who sent a packet; IPv4 inside IPv6 is the IPv4 address. */
static inline Client read_sender(const Address *address)
{
    if (address->any.sa_family == AF_INET)
        return v4_client(ntohl(address->v4.sin_addr.s_addr));
    uint32_t words[4];
    for (unsigned word = 0; word < 4; word++)
        words[word] = get32(address->v6.sin6_addr.s6_addr + 4 * word);
    return v6_client(words);
}

/* Turn where a packet was sent to into where its reply comes from: the route decides the interface. */
static inline void turn_control(struct msghdr *message)
{
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part))
        if (part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_PKTINFO)
            memset(CMSG_DATA(part), 0, sizeof(int)); /* ipi_ifindex; ipi_spec_dst is the local address */
}

/* Put the reply to a received message last in what is to be sent. */
static inline void add_reply(Worker *worker, unsigned number, size_t size)
{
    struct msghdr *message = &worker->out[worker->sending].msg_hdr;
    worker->out_vectors[worker->sending].iov_len = size;
    *message = worker->in[number].msg_hdr;
    message->msg_flags = 0;
    message->msg_iov = &worker->out_vectors[worker->sending];
    if (worker->wildcard)
        turn_control(message);
    worker->sending++;
}

/* Give a packet to the general path, or say that there is no time for it; 1 when it was given. */
static inline unsigned hand_over(Worker *worker, unsigned number, size_t size, Reply *reply)
{
    if (queue_put(&worker->queue, &worker->in[number].msg_hdr, size)) {
        count(&worker->tally.handed_over, 1);
        return 1;
    }
    put_failure(worker->packets[number], reply);
    add_reply(worker, number, reply->size);
    count(&worker->tally.failed, 1);
    return 0;
}

static inline void prepare_batch(Worker *worker, const View *view, unsigned received)
{
    for (unsigned number = 0; number < received; number++) {
        Client client = read_sender(&worker->addresses[number]);
        worker->verdicts[number] = prepare(view, &client, worker->packets[number], worker->in[number].msg_len,
                                           &worker->asked[number]);
    }
}

/* Whether a reply is a hit that the general path is to answer and log: xorshift64 decides. */
static inline bool is_sampled(Worker *worker, const Reply *reply)
{
    uint64_t sampled = atomic_load_explicit(&worker->shared->sampled, memory_order_relaxed);
    bool hit = (reply->type == COUNTED_A || reply->type == COUNTED_TXT) && reply->octets[7] != 0;
    if (sampled == 0 || !hit)
        return false;
    worker->chance ^= worker->chance << 13;
    worker->chance ^= worker->chance >> 7;
    worker->chance ^= worker->chance << 17;
    return worker->chance >> 32 < sampled;
}

/* Answer what was prepared; gives how many packets went to the general path. */
static inline unsigned complete_batch(Worker *worker, const View *view, unsigned received)
{
    unsigned handed_over = 0;
    worker->sending = 0;
    for (unsigned number = 0; number < received; number++) {
        Verdict verdict = worker->verdicts[number];
        Reply reply = {.octets = worker->replies[worker->sending]};
        if (verdict == ANSWERED)
            verdict = complete(view, &worker->asked[number], worker->packets[number], &reply);
        if (verdict == ANSWERED && is_sampled(worker, &reply))
            verdict = HANDED_OVER;
        switch (verdict) {
        case ANSWERED:
            count(&worker->tally.answered[reply.zone][reply.type][reply.rcode == NXDOMAIN], 1);
            add_reply(worker, number, reply.size);
            break;
        case HANDED_OVER:
            handed_over += hand_over(worker, number, worker->in[number].msg_len, &reply);
            break;
        case SILENT:
            count(&worker->tally.dropped, 1);
        }
    }
    return handed_over;
}

/* Send what was answered; a reply that the network does not take is lost, and its client asks again. */
static inline void send_batch(Worker *worker)
{
    unsigned sent = 0;
    while (sent < worker->sending) {
        int more = sendmmsg(worker->socket, worker->out + sent, worker->sending - sent, 0);
        if (more > 0) {
            sent += (unsigned)more;
        } else if (errno != EINTR) {
            count_unsent(worker);
            sent++;
        }
    }
}

static inline void handle_batch(Worker *worker, unsigned received)
{
    Shared *shared = worker->shared;
    int64_t told = atomic_load_explicit(&shared->told, memory_order_relaxed);
    uint32_t now = clamp_instant(told ? told : read_clock(CLOCK_REALTIME) / SECOND);
    enter(&shared->core->table, worker->reader);
    View view = view_core(shared->core, now, read_clock(CLOCK_MONOTONIC));
    prepare_batch(worker, &view, received);
    unsigned handed_over = complete_batch(worker, &view, received);
    leave(worker->reader);
    send_batch(worker);
    if (handed_over)
        eventfd_write(shared->wake, 1); /* it fails only at its largest number, and then its reader is awake */
    for (unsigned number = 0; number < received; number++) {
        worker->in[number].msg_hdr.msg_namelen = sizeof(Address);
        worker->in[number].msg_hdr.msg_controllen = worker->wildcard ? CONTROL_OCTETS : 0;
    }
    count(&worker->tally.batches, 1);
    count(&worker->tally.packets, received);
}

/* Answer until the end is asked for, and then what had arrived. */
static inline void *work(void *argument)
{
    const struct timespec pause = {0, 10000000};
    Worker *worker = argument;
    for (unsigned last = 0; last < LAST_BATCHES;) {
        bool ending = atomic_load_explicit(&worker->shared->ending, memory_order_acquire);
        int received = recvmmsg(worker->socket, worker->in, BATCH, ending ? MSG_DONTWAIT : MSG_WAITFORONE, NULL);
        if (received > 0) {
            backlog_keep(&worker->backlog, received == BATCH);
            handle_batch(worker, (unsigned)received);
            if (received >= BUSY && !ending)
                sched_yield(); /* others who want this core are mostly those who ask: their next batch is a larger one */
        } else if (ending) {
            break;
        } else if (errno != EAGAIN && errno != EINTR) {
            nanosleep(&pause, NULL); /* the network is down, or a client's port was closed */
        }
        last += ending;
    }
    return NULL;
}

/* Start the thread of a worker, which takes no signals; 0, or an errno. */
static inline int worker_start(Worker *worker)
{
    struct timeval wake = {0, WAKE_MICROSECONDS};
    sigset_t all, before;
    if (setsockopt(worker->socket, SOL_SOCKET, SO_RCVTIMEO, &wake, sizeof wake) < 0 ||
        setsockopt(worker->socket, SOL_SOCKET, SO_SNDTIMEO, &wake, sizeof wake) < 0)
        return errno;
    prepare_messages(worker);
    backlog_start(&worker->backlog, worker->socket);
    worker->chance = worker->shared->core->table.seed | 1;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&worker->thread, NULL, work, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    worker->started = !failed;
    return failed;
}

/* Send the general path's reply to a packet that was handed over, from the socket that it came to. */
static inline void send_reply(Worker *worker, Packet *packet, const void *octets, size_t size)
{
    struct iovec vector = {(void *)octets, size};
    struct msghdr message = {
        .msg_name = &packet->address,
        .msg_namelen = packet->address_size,
        .msg_iov = &vector,
        .msg_iovlen = 1,
        .msg_control = packet->control,
        .msg_controllen = packet->control_size,
    };
    if (worker->wildcard)
        turn_control(&message);
    if (sendmsg(worker->socket, &message, MSG_DONTWAIT) < 0)
        count_unsent(worker);
}

#endif
