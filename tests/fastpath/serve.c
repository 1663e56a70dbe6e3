/* Compiled zones, rows and packets in, two workers on loopback that answer them out: races between all their threads.
 *
 * serve ZONES NUMBER ROWS PACKETS ROUNDS: a client sends every packet in turn and waits for a reply, another thread
 * takes what is handed over and replies to it with the packet itself, a third changes the table. Prints the replies.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <poll.h>
#include <unistd.h>

#include "input.h"

#include "../../repzone/fastpath/worker.h"

enum { WORKERS = 2, WAIT_MILLISECONDS = 50 };

static Core core;
static Shared shared = {.core = &core};
static Worker *workers[WORKERS];
static _Atomic bool over;
static Blob zones, rows;
static unsigned zone_count;

static int bind_loopback(struct sockaddr_in *address)
{
    socklen_t size = sizeof *address;
    int sock = socket(AF_INET, SOCK_DGRAM, 0);
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    require(bind(sock, (struct sockaddr *)address, size) == 0, "bind");
    require(getsockname(sock, (struct sockaddr *)address, &size) == 0, "getsockname");
    return sock;
}

static void *take_all(void *none)
{
    while (!atomic_load(&over)) {
        struct pollfd wake = {shared.wake, POLLIN, 0};
        eventfd_t number;
        if (poll(&wake, 1, WAIT_MILLISECONDS) > 0)
            eventfd_read(shared.wake, &number);
        for (unsigned worker = 0; worker < WORKERS; worker++)
            for (Packet *packet; (packet = queue_first(&workers[worker]->queue)); queue_drop(&workers[worker]->queue))
                send_reply(workers[worker], packet, packet->octets, packet->size);
    }
    return none;
}

static void *change_all(void *none)
{
    Row row;
    for (size_t at = 0; !atomic_load(&over); at = (at + ROW_OCTETS) % rows.size) {
        require(read_row(rows.octets + at, &row), "row");
        if (needs_room(&core.table, &row))
            require(make_room(&core.table, &row), "memory");
        table_apply(&core.table, &row);
        if (at == 0) {
            table_sweep(&core.table, NOW);
            reload(&core, rows);
            publish_zones(&core, zones_read(zones.octets, zones.size, zone_count));
        }
        usleep(100);
    }
    return none;
}

static unsigned long ask_all(const struct sockaddr_in *addresses, const Blob *packets, unsigned count, unsigned rounds)
{
    struct sockaddr_in own;
    uint8_t reply[PACKET_MOST];
    unsigned long replies = 0;
    int sock = bind_loopback(&own);
    struct pollfd readable = {sock, POLLIN, 0};
    for (unsigned number = 0; number < rounds; number++) {
        const Blob *packet = &packets[number % count];
        const struct sockaddr *address = (const struct sockaddr *)&addresses[number % WORKERS];
        sendto(sock, packet->octets, packet->size, 0, address, sizeof *addresses);
        bool silent = packet->size < HEADER_OCTETS || packet->octets[2] & 0x80;
        if (!silent && number % 8 == 0 && poll(&readable, 1, 20 * WAIT_MILLISECONDS) > 0)
            replies += recv(sock, reply, sizeof reply, 0) > 0;
        while (recv(sock, reply, sizeof reply, MSG_DONTWAIT) > 0)
            replies++;
    }
    while (poll(&readable, 1, 4 * WAIT_MILLISECONDS) > 0)
        replies += recv(sock, reply, sizeof reply, 0) > 0;
    close(sock);
    return replies;
}

static void start_workers(struct sockaddr_in addresses[WORKERS])
{
    shared.wake = eventfd(0, EFD_NONBLOCK);
    for (unsigned number = 0; number < WORKERS; number++) {
        workers[number] = calloc(1, sizeof(Worker));
        workers[number]->shared = &shared;
        workers[number]->reader = reader_take(&core.table);
        workers[number]->socket = bind_loopback(&addresses[number]);
        require(worker_start(workers[number]) == 0, "thread");
    }
}

static void end_workers(void)
{
    atomic_store(&shared.ending, true);
    for (unsigned number = 0; number < WORKERS; number++) {
        pthread_join(workers[number]->thread, NULL);
        close(workers[number]->socket);
        free(workers[number]);
    }
    close(shared.wake);
}

int main(int count, char **arguments)
{
    static Blob packets[PACKETS_MOST];
    struct sockaddr_in addresses[WORKERS];
    pthread_t taker, changer;
    require(count == 6, "serve ZONES NUMBER ROWS PACKETS ROUNDS");
    Blob file = read_file(arguments[4]);
    zones = read_file(arguments[1]);
    zone_count = (unsigned)atoi(arguments[2]);
    rows = read_file(arguments[3]);
    unsigned packet_count = split_packets(file, packets);
    fill_core(&core, zones, zone_count, rows);
    core.fresh_until = INT64_MAX;
    shared.told = NOW;
    start_workers(addresses);
    pthread_create(&taker, NULL, take_all, NULL);
    pthread_create(&changer, NULL, change_all, NULL);
    unsigned long replies = ask_all(addresses, packets, packet_count, (unsigned)atoi(arguments[5]));
    atomic_store(&over, true);
    pthread_join(taker, NULL);
    pthread_join(changer, NULL);
    end_workers();
    core_end(&core);
    free(zones.octets);
    free(rows.octets);
    free(file.octets);
    printf("%lu\n", replies);
    return 0;
}
