/* Texts in, their keyed BLAKE2b-128 in hex digits out (RFC 7693), as hashlib makes it. */

#ifndef REPZONE_BLAKE2B_H
#define REPZONE_BLAKE2B_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { BLOCK = 128, DIGEST = 16, HEX = 2 * DIGEST, LONGEST_KEY = 64 };

typedef struct {
    uint64_t state[8], octets;
    uint8_t block[BLOCK];
    size_t filled;
} Blake2b;

static const uint64_t blake2b_iv[8] = {0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
                                       0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};

static const uint8_t blake2b_sigma[10][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0}};

static inline uint64_t rotate(uint64_t word, int bits)
{
    return word >> bits | word << (64 - bits);
}

static inline void blake2b_mix(uint64_t v[16], int a, int b, int c, int d, uint64_t x, uint64_t y)
{
    v[a] += v[b] + x;
    v[d] = rotate(v[d] ^ v[a], 32);
    v[c] += v[d];
    v[b] = rotate(v[b] ^ v[c], 24);
    v[a] += v[b] + y;
    v[d] = rotate(v[d] ^ v[a], 16);
    v[c] += v[d];
    v[b] = rotate(v[b] ^ v[c], 63);
}

static void blake2b_compress(Blake2b *hash, bool last)
{
    uint64_t v[16], m[16];
    for (int word = 0; word < 16; word++) {
        m[word] = 0;
        for (int octet = 7; octet >= 0; octet--)
            m[word] = m[word] << 8 | hash->block[8 * word + octet];
    }
    for (int word = 0; word < 8; word++) {
        v[word] = hash->state[word];
        v[word + 8] = blake2b_iv[word];
    }
    v[12] ^= hash->octets;
    if (last)
        v[14] = ~v[14];
    for (int round = 0; round < 12; round++) {
        const uint8_t *s = blake2b_sigma[round % 10];
        blake2b_mix(v, 0, 4, 8, 12, m[s[0]], m[s[1]]);
        blake2b_mix(v, 1, 5, 9, 13, m[s[2]], m[s[3]]);
        blake2b_mix(v, 2, 6, 10, 14, m[s[4]], m[s[5]]);
        blake2b_mix(v, 3, 7, 11, 15, m[s[6]], m[s[7]]);
        blake2b_mix(v, 0, 5, 10, 15, m[s[8]], m[s[9]]);
        blake2b_mix(v, 1, 6, 11, 12, m[s[10]], m[s[11]]);
        blake2b_mix(v, 2, 7, 8, 13, m[s[12]], m[s[13]]);
        blake2b_mix(v, 3, 4, 9, 14, m[s[14]], m[s[15]]);
    }
    for (int word = 0; word < 8; word++)
        hash->state[word] ^= v[word] ^ v[word + 8];
}

static void blake2b_update(Blake2b *hash, const void *octets, size_t length)
{
    const uint8_t *at = octets;
    while (length > 0) {
        if (hash->filled == BLOCK) { /* not the last one, since more follows */
            hash->octets += BLOCK;
            blake2b_compress(hash, false);
            hash->filled = 0;
        }
        size_t more = BLOCK - hash->filled < length ? BLOCK - hash->filled : length;
        memcpy(hash->block + hash->filled, at, more);
        hash->filled += more;
        at += more;
        length -= more;
    }
}

/* Begin with a key of at most LONGEST_KEY octets, none for an empty one. */
static void blake2b_init(Blake2b *hash, const void *key, size_t length)
{
    memset(hash, 0, sizeof *hash);
    memcpy(hash->state, blake2b_iv, sizeof hash->state);
    hash->state[0] ^= 0x01010000u ^ (uint64_t)length << 8 ^ DIGEST;
    if (length > 0) {
        memcpy(hash->block, key, length);
        hash->filled = BLOCK;
    }
}

static void blake2b_digits(Blake2b *hash, char digits[HEX])
{
    hash->octets += hash->filled;
    memset(hash->block + hash->filled, 0, BLOCK - hash->filled);
    blake2b_compress(hash, true);
    for (int octet = 0; octet < DIGEST; octet++) {
        uint8_t value = (uint8_t)(hash->state[octet / 8] >> (8 * (octet % 8)));
        digits[2 * octet] = "0123456789abcdef"[value >> 4];
        digits[2 * octet + 1] = "0123456789abcdef"[value & 15];
    }
}

#endif
