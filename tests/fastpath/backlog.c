/* A socket on loopback and packets that wait too long in, whether fewer may wait then out; and as many again later.
 *
 * backlog: prints how many packets wait at most, at first and under the bound.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <unistd.h>

#include "input.h"

#include "../../repzone/fastpath/backlog.h"

enum { BATCH = 64, BUFFER = 1 << 20, MANY = 20000, AGE_MICROSECONDS = 200000 };

static int bind_loopback(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int buffer = BUFFER, sock = socket(AF_INET, SOCK_DGRAM, 0);
    require(setsockopt(sock, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer) == 0, "SO_RCVBUF");
    require(bind(sock, (struct sockaddr *)&address, size) == 0, "bind");
    require(getsockname(sock, (struct sockaddr *)&address, &size) == 0, "getsockname");
    require(connect(sock, (struct sockaddr *)&address, size) == 0, "connect");
    return sock;
}

static void send_many(int sock, int count)
{
    for (int number = 0; number < count; number++)
        send(sock, "query", 5, 0);
}

static int take_some(int sock, int most)
{
    char octets[8];
    int taken = 0;
    while (taken < most && recv(sock, octets, sizeof octets, MSG_DONTWAIT) > 0)
        taken++;
    return taken;
}

/* The kernel begins to stamp a moment after it was asked to. */
static void wait_for_stamps(int sock)
{
    for (int64_t waited = 0; waited < 1000000;) {
        send_many(sock, 1);
        usleep(2000);
        take_some(sock, 1);
        waited = read_realtime() - read_arrival(sock);
    }
}

int main(void)
{
    Backlog backlog;
    int sock = bind_loopback();
    backlog_start(&backlog, sock);
    wait_for_stamps(sock);
    send_many(sock, MANY);
    usleep(AGE_MICROSECONDS);
    require(take_some(sock, BATCH) == BATCH, "a full batch");
    backlog_keep(&backlog, true);
    require(backlog.now == backlog.most, "no bound by one full batch");
    backlog.full_since -= 2 * LASTING;
    backlog_keep(&backlog, true);
    require(backlog.now < backlog.most, "a bound, when packets had waited");
    int first = BATCH + take_some(sock, MANY), bound = backlog.now;
    backlog_keep(&backlog, true);
    require(backlog.now == bound, "no other bound, by packets from before it");
    send_many(sock, MANY);
    int second = take_some(sock, MANY);
    backlog_keep(&backlog, false);
    require(backlog.now == bound, "the bound, soon after it was set");
    backlog.changed -= 2 * CALM;
    backlog_keep(&backlog, false);
    require(backlog.now == backlog.most, "no bound, when it was calm");
    printf("%d\n", first > 2 * second ? second : -first);
    close(sock);
    return 0;
}
