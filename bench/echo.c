/* Queries in, as many octets as a mean answer has out: what receiving and sending in batches costs without DNS. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { BATCH = 64, OCTETS = 4096 };

static uint8_t packets[BATCH][OCTETS];
static struct sockaddr_in addresses[BATCH];
static struct iovec vectors[BATCH];
static struct mmsghdr messages[BATCH];

static int bind_loopback(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int buffer = 4 * 1024 * 1024, sock = socket(AF_INET, SOCK_DGRAM, 0);
    setsockopt(sock, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    if (bind(sock, (struct sockaddr *)&address, size) < 0 || getsockname(sock, (struct sockaddr *)&address, &size) < 0)
        exit(1);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return sock;
}

int main(int count, char **arguments)
{
    size_t answer = count > 1 ? strtoul(arguments[1], NULL, 10) : 100;
    int sock = bind_loopback();
    for (;;) {
        for (int number = 0; number < BATCH; number++) {
            vectors[number] = (struct iovec){packets[number], OCTETS};
            messages[number].msg_hdr = (struct msghdr){.msg_name = &addresses[number],
                                                       .msg_namelen = sizeof addresses[number],
                                                       .msg_iov = &vectors[number],
                                                       .msg_iovlen = 1};
        }
        int received = recvmmsg(sock, messages, BATCH, MSG_WAITFORONE, NULL);
        for (int number = 0; number < received; number++) {
            packets[number][2] |= 0x80;
            vectors[number].iov_len = answer;
        }
        if (received > 0)
            sendmmsg(sock, messages, (unsigned)received, 0);
    }
}
