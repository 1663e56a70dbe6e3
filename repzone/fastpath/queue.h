/* Packets that a thread does not answer in, the same packets for the general path out: a bounded queue.
 *
 * One thread puts, one takes; each moves its own end, so neither waits. What is full is full: the thread then answers
 * SERVFAIL itself.
 */

#ifndef REPZONE_QUEUE_H
#define REPZONE_QUEUE_H

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    PACKET_MOST = 4096, /* of a longer datagram the rest is cut off, and what is left is malformed */
    QUEUE_PLACES = 128,
    CONTROL_OCTETS = 64, /* CMSG_SPACE of a destination address */
};

typedef union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} Address;

typedef struct {
    size_t size, control_size;
    socklen_t address_size;
    Address address;
    _Alignas(8) uint8_t control[CONTROL_OCTETS];
    uint8_t octets[PACKET_MOST];
} Packet;

typedef struct {
    _Atomic uint32_t put, taken; /* how many there were */
    Packet packets[QUEUE_PLACES];
} Queue;

/* Copy a received message in; 0 when the queue is full. */
static inline int queue_put(Queue *queue, const struct msghdr *message, size_t size)
{
    uint32_t put = atomic_load_explicit(&queue->put, memory_order_relaxed);
    if (put - atomic_load_explicit(&queue->taken, memory_order_acquire) == QUEUE_PLACES)
        return 0;
    Packet *packet = &queue->packets[put % QUEUE_PLACES];
    packet->size = size;
    packet->address_size = message->msg_namelen;
    packet->control_size = message->msg_controllen;
    memcpy(&packet->address, message->msg_name, sizeof packet->address);
    memcpy(packet->control, message->msg_control, packet->control_size);
    memcpy(packet->octets, message->msg_iov->iov_base, size);
    atomic_store_explicit(&queue->put, put + 1, memory_order_release);
    return 1;
}

/* Give the oldest packet, which stays in its place until `queue_drop`; NULL when there is none. */
static inline Packet *queue_first(Queue *queue)
{
    uint32_t taken = atomic_load_explicit(&queue->taken, memory_order_relaxed);
    if (atomic_load_explicit(&queue->put, memory_order_acquire) == taken)
        return NULL;
    return &queue->packets[taken % QUEUE_PLACES];
}

static inline void queue_drop(Queue *queue)
{
    atomic_fetch_add_explicit(&queue->taken, 1, memory_order_release);
}

#endif
