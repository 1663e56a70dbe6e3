/* Octets of an address in, a `Client` out: an address or prefix as words of 32 bits, most significant first. */

#ifndef REPZONE_ADDRESS_H
#define REPZONE_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { V4 = 4, V6 = 6, ADDRESS_OCTETS = 16 };

typedef struct {
    uint32_t words[4]; /* an IPv4 address is the first word alone, the others are 0 */
    uint8_t version;
    uint8_t length; /* of the prefix, in bits */
} Client;

static inline uint32_t get32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static inline uint16_t get16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static inline void put32(uint8_t *at, uint32_t value)
{
    for (unsigned octet = 0; octet < 4; octet++)
        at[octet] = (uint8_t)(value >> (24 - 8 * octet));
}

static inline unsigned address_width(unsigned version)
{
    return version == V4 ? 32 : 128;
}

/* The bits of one word that a prefix of that length keeps. */
static inline uint32_t prefix_mask(unsigned length, unsigned word)
{
    unsigned before = 32 * word;
    if (length <= before)
        return 0;
    return length - before >= 32 ? 0xFFFFFFFF : ~(0xFFFFFFFF >> (length - before));
}

static inline Client truncate_client(const Client *client, unsigned length)
{
    Client shorter = *client;
    for (unsigned word = 0; word < 4; word++)
        shorter.words[word] &= prefix_mask(length, word);
    shorter.length = (uint8_t)length;
    return shorter;
}

/* Whether the address or prefix lies wholly inside the network. */
static inline bool covers(const Client *network, const Client *client)
{
    if (network->version != client->version || network->length > client->length)
        return false;
    for (unsigned word = 0; word < 4; word++)
        if ((client->words[word] & prefix_mask(network->length, word)) != network->words[word])
            return false;
    return true;
}

/* Read 16 octets, of which an IPv4 address takes the first four. */
static inline Client read_client(unsigned version, unsigned length, const uint8_t *octets)
{
    Client client = {{0}, (uint8_t)version, (uint8_t)length};
    for (unsigned word = 0; word < (version == V4 ? 1u : 4u); word++)
        client.words[word] = get32(octets + 4 * word);
    return truncate_client(&client, length);
}

static inline Client v4_client(uint32_t value)
{
    Client client = {{value, 0, 0, 0}, V4, 32};
    return client;
}

/* An IPv6 address, or the IPv4 address inside it: ::ffff:0:0/96 (RFC 4291 §2.5.5.2), 64:ff9b::/96 (RFC 6052 §2.1). */
static inline Client v6_client(const uint32_t words[4])
{
    bool mapped = words[0] == 0 && words[1] == 0 && words[2] == 0xFFFF;
    bool translated = words[0] == 0x0064FF9B && words[1] == 0 && words[2] == 0;
    if (mapped || translated)
        return v4_client(words[3]);
    Client client = {{words[0], words[1], words[2], words[3]}, V6, 128};
    return client;
}

#endif
