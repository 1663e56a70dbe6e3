/* Prefixes of one length in, the entries of one prefix out: a hash table that one writer changes while others read.
 *
 * Open addressing with linear probing; an entry is the prefix and three words, 16 octets for IPv4 and 20 for an IPv6
 * /64. Nothing is a pointer, so nothing has to be freed while the table stands. Readers take no lock: the version is
 * odd while the writer is at it, and a reader that sees it odd or changed reads again (a sequence lock). Every word is
 * atomic; the writer stores words with release after the odd version, a reader loads them with acquire before it looks
 * at the version again, so that whoever saw a new word sees a new version too. Growing makes a new table: see table.h.
 */

#ifndef REPZONE_INDEX_H
#define REPZONE_INDEX_H

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "address.h"

typedef struct {
    uint32_t begins, ends; /* in [begins, ends), seconds since 1970; FOREVER: no end */
    uint32_t tag;          /* what it is, see table.h; never 0 */
} Entry;

typedef struct {
    _Atomic uint32_t version;
    uint8_t family, length; /* of the prefixes: V4 or V6, bits */
    uint8_t key_words, entry_words;
    uint32_t capacity, used; /* slots; `used` is the writer's */
    uint64_t seed;
    size_t octets;
    _Atomic uint32_t words[];
} Index;

enum { FOREVER = 0xFFFFFFFF, PAYLOAD_WORDS = 3, SPINS = 64 };

/* Give the nearest instant that 32 bits hold, as rows.py does: in 2106 everything ends, and nothing begins anew. */
static inline uint32_t clamp_instant(int64_t instant)
{
    return instant < 0 ? 0 : instant < FOREVER - 1 ? (uint32_t)instant : FOREVER - 1;
}

static inline unsigned key_words(unsigned family, unsigned length)
{
    return family == V4 ? 1 : length <= 64 ? 2 : 4;
}

/* Make a table for that many entries with room for a few more; NULL without memory. Pages come when they are used. */
static inline Index *index_new(unsigned family, unsigned length, size_t entries, uint64_t seed)
{
    size_t capacity = entries + entries * 2 / 5 + 8; /* filled to 5/7 */
    unsigned keys = key_words(family, length), width = keys + PAYLOAD_WORDS;
    size_t octets = sizeof(Index) + capacity * width * sizeof(uint32_t);
    if (capacity > 0xFFFFFFF0)
        return NULL;
    Index *index = mmap(NULL, octets, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (index == MAP_FAILED)
        return NULL;
    madvise(index, octets, MADV_HUGEPAGE); /* look-ups are random: fewer misses of the TLB, where the kernel has it */
    index->family = (uint8_t)family;
    index->length = (uint8_t)length;
    index->key_words = (uint8_t)keys;
    index->entry_words = (uint8_t)width;
    index->capacity = (uint32_t)capacity;
    index->seed = seed;
    index->octets = octets;
    return index;
}

static inline void index_free(Index *index)
{
    if (index)
        munmap(index, index->octets);
}

/* Whether one more entry makes the walks too long. */
static inline bool index_is_full(const Index *index)
{
    return (uint64_t)(index->used + 1) * 4 > (uint64_t)index->capacity * 3;
}

static inline const _Atomic uint32_t *slot_at(const Index *index, uint32_t slot)
{
    return index->words + (size_t)slot * index->entry_words;
}

static inline uint32_t load_word(const _Atomic uint32_t *word)
{
    return atomic_load_explicit(word, memory_order_acquire);
}

/* Mix with a secret seed (who is listed could otherwise choose where), then finish as SplitMix64 does. */
static inline uint32_t home_of(const Index *index, const uint32_t *key)
{
    uint64_t hash = index->seed;
    for (unsigned word = 0; word < index->key_words; word++)
        hash = (hash ^ key[word]) * 0x9E3779B97F4A7C15;
    hash = (hash ^ hash >> 30) * 0xBF58476D1CE4E5B9;
    hash = (hash ^ hash >> 27) * 0x94D049BB133111EB;
    return (uint32_t)(((hash >> 32 ^ (hash & 0xFFFFFFFF)) * index->capacity) >> 32);
}

static inline uint32_t next_slot(const Index *index, uint32_t slot)
{
    return slot + 1 == index->capacity ? 0 : slot + 1;
}

static inline uint32_t tag_at(const Index *index, uint32_t slot)
{
    return load_word(slot_at(index, slot) + index->key_words + 2);
}

static inline Entry entry_at(const Index *index, uint32_t slot)
{
    const _Atomic uint32_t *words = slot_at(index, slot) + index->key_words;
    Entry entry = {load_word(words), load_word(words + 1), load_word(words + 2)};
    return entry;
}

static inline void key_at(const Index *index, uint32_t slot, uint32_t key[4])
{
    memset(key, 0, 4 * sizeof *key);
    for (unsigned word = 0; word < index->key_words; word++)
        key[word] = load_word(slot_at(index, slot) + word);
}

static inline bool has_key(const Index *index, uint32_t slot, const uint32_t *key)
{
    for (unsigned word = 0; word < index->key_words; word++)
        if (load_word(slot_at(index, slot) + word) != key[word])
            return false;
    return true;
}

/* Walk on to the next entry of a prefix; begin with `*slot` at its home and `*steps` 0. False: there is none more. */
static inline bool index_next(const Index *index, const uint32_t *key, uint32_t *slot, uint32_t *steps, Entry *entry)
{
    for (; *steps < index->capacity; ++*steps, *slot = next_slot(index, *slot)) {
        if (tag_at(index, *slot) == 0)
            return false;
        if (has_key(index, *slot, key)) {
            *entry = entry_at(index, *slot);
            ++*steps;
            *slot = next_slot(index, *slot);
            return true;
        }
    }
    return false;
}

/* Wait for an even version, and give it: what is read next counts if `read_is_whole` says so afterwards. */
static inline uint32_t begin_read(const Index *index)
{
    for (unsigned tries = 1;; tries++) {
        uint32_t version = atomic_load_explicit(&index->version, memory_order_acquire);
        if (!(version & 1))
            return version;
        if (tries % SPINS == 0)
            sched_yield(); /* the writer lost its core in the middle */
    }
}

static inline bool read_is_whole(const Index *index, uint32_t version)
{
    return atomic_load_explicit(&index->version, memory_order_relaxed) == version;
}

/* The writer's part. ------------------------------------------------------------------------------------------- */

static inline void store_word(Index *index, uint32_t slot, unsigned word, uint32_t value)
{
    atomic_store_explicit(index->words + (size_t)slot * index->entry_words + word, value, memory_order_release);
}

static inline void begin_write(Index *index)
{
    atomic_store_explicit(&index->version, index->version + 1, memory_order_relaxed);
}

static inline void end_write(Index *index)
{
    atomic_store_explicit(&index->version, index->version + 1, memory_order_release);
}

static inline void store_entry(Index *index, uint32_t slot, const uint32_t *key, Entry entry)
{
    for (unsigned word = 0; word < index->key_words; word++)
        store_word(index, slot, word, key[word]);
    store_word(index, slot, index->key_words, entry.begins);
    store_word(index, slot, index->key_words + 1u, entry.ends);
    store_word(index, slot, index->key_words + 2u, entry.tag);
}

/* Put an entry into a slot that has one of the same prefix, or into the first free one; there must be room. */
static inline void index_put(Index *index, const uint32_t *key, const uint32_t *slot, Entry entry)
{
    uint32_t place = slot ? *slot : home_of(index, key);
    while (!slot && tag_at(index, place) != 0)
        place = next_slot(index, place);
    begin_write(index);
    store_entry(index, place, key, entry);
    end_write(index);
    index->used += !slot;
}

/* Take an entry out, and move those behind it that could not be found across the gap. */
static inline void index_remove(Index *index, uint32_t hole)
{
    uint32_t key[4], size = index->capacity;
    begin_write(index);
    for (uint32_t slot = next_slot(index, hole); tag_at(index, slot) != 0; slot = next_slot(index, slot)) {
        key_at(index, slot, key);
        uint32_t home = home_of(index, key);
        uint32_t from_home = slot >= home ? slot - home : slot + size - home;
        uint32_t from_hole = slot >= hole ? slot - hole : slot + size - hole;
        if (from_home >= from_hole) {
            store_entry(index, hole, key, entry_at(index, slot));
            hole = slot;
        }
    }
    store_word(index, hole, index->key_words + 2u, 0);
    end_write(index);
    index->used--;
}

/* Make the same table for another number of entries; NULL without memory. */
static inline Index *index_resize(const Index *index, size_t entries)
{
    uint32_t key[4];
    Index *other = index_new(index->family, index->length, entries, index->seed);
    if (!other)
        return NULL;
    for (uint32_t slot = 0; slot < index->capacity; slot++) {
        Entry entry = entry_at(index, slot);
        if (entry.tag) {
            key_at(index, slot, key);
            index_put(other, key, NULL, entry);
        }
    }
    return other;
}

#endif
