/* Keys in, entries out, the oldest first: a hash table that is bounded and in the order in which its keys were kept.
 *
 * An entry is compact, its value in fields, for as long as C alone deals with it. When Python asks for the value, an
 * object takes the place of the fields, and C leaves that entry to Python from then on. Pointers to entries hold until
 * the next `table_keep`.
 */

#ifndef REPZONE_TABLE_H
#define REPZONE_TABLE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdlib.h>

#include "blake2b.h"
#include "slice.h"

enum { NOBODY = -1, LONGEST_CLIENT = 45, SHORT_HEX = 16 };

typedef enum { UNBROKEN, DROPPED, TIMED_OUT } Break;

typedef struct {
    uint64_t hash;
    int32_t older, newer; /* in the order of keeping; `newer` is the next one of those that are free */
    int32_t next;         /* of those in the same bucket */
    uint32_t key_length;
    char *key;
    PyObject *object; /* the value as Python has it; NULL while the fields say all */
    int64_t at;
    uint8_t client_length;
    char client[LONGEST_CLIENT];
    union {
        struct {
            int64_t auth, unknown, told;
            bool whole, login;
            Break broken;
        } session;
        struct {
            int64_t judged;
            bool login, accepted, has_sender, has_mid;
            char sender[HEX], mid[SHORT_HEX];
        } message;
        struct {
            char *queue;
            size_t queue_length;
        } mid;
        struct {
            int64_t services, databases, asked_at;
        } attempts;
        struct {
            int64_t hour, connections, messages;
            bool reserved, counted;
        } client_;
    } of;
} Entry;

typedef struct {
    Entry *entries;
    int32_t *buckets;
    uint32_t capacity, mask; /* entries that there is room for; buckets, less one */
    uint32_t count, limit;
    int32_t oldest, newest, unused;
    uint64_t seed;
    bool holds_mids; /* whose entries own a text */
} Table;

static inline Slice key_of(const Entry *entry)
{
    return slice_of(entry->key, entry->key_length);
}

static inline Slice client_of(const Entry *entry)
{
    return slice_of(entry->client, entry->client_length);
}

static inline void set_client(Entry *entry, Slice client)
{
    entry->client_length = (uint8_t)length_of(client);
    memcpy(entry->client, client.start, length_of(client));
}

static uint64_t table_hash(const Table *table, Slice key)
{
    uint64_t hash = table->seed, word;
    size_t length = length_of(key);
    const char *at = key.start;
    for (; length >= 8; at += 8, length -= 8) {
        memcpy(&word, at, 8);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
    }
    word = length_of(key);
    for (; length > 0; at++, length--)
        word = word << 8 | (unsigned char)*at;
    hash = (hash ^ word) * 0xbf58476d1ce4e5b9u;
    return hash ^ hash >> 32;
}

static Entry *table_find(const Table *table, Slice key)
{
    if (table->count == 0)
        return NULL;
    uint64_t hash = table_hash(table, key);
    for (int32_t at = table->buckets[hash & table->mask]; at != NOBODY; at = table->entries[at].next) {
        Entry *entry = table->entries + at;
        if (entry->hash == hash && are_equal(key_of(entry), key))
            return entry;
    }
    return NULL;
}

static Entry *table_oldest(const Table *table)
{
    return table->count > 0 ? table->entries + table->oldest : NULL;
}

static Entry *table_newer(const Table *table, const Entry *entry)
{
    return entry->newer != NOBODY ? table->entries + entry->newer : NULL;
}

/* Take out of the order. */
static void table_unlink(Table *table, const Entry *entry)
{
    *(entry->older != NOBODY ? &table->entries[entry->older].newer : &table->oldest) = entry->newer;
    *(entry->newer != NOBODY ? &table->entries[entry->newer].older : &table->newest) = entry->older;
}

/* Put behind all others. */
static void table_link(Table *table, Entry *entry)
{
    int32_t at = (int32_t)(entry - table->entries);
    entry->older = table->newest;
    entry->newer = NOBODY;
    *(table->newest != NOBODY ? &table->entries[table->newest].newer : &table->oldest) = at;
    table->newest = at;
}

/* Free what a value holds, and set its fields to zero. */
static void entry_clear(const Table *table, Entry *entry)
{
    if (table->holds_mids)
        free(entry->of.mid.queue);
    PyObject *object = entry->object;
    entry->object = NULL;
    entry->at = 0;
    entry->client_length = 0;
    memset(&entry->of, 0, sizeof entry->of);
    Py_XDECREF(object);
}

static void table_remove(Table *table, Entry *entry)
{
    int32_t at = (int32_t)(entry - table->entries), *link = &table->buckets[entry->hash & table->mask];
    while (*link != at)
        link = &table->entries[*link].next;
    *link = entry->next;
    table_unlink(table, entry);
    free(entry->key);
    entry->key = NULL;
    entry->newer = table->unused;
    table->unused = at;
    table->count--;
    entry_clear(table, entry);
}

/* Make room for twice as many; false without memory. */
static bool table_grow(Table *table)
{
    uint32_t capacity = table->capacity ? 2 * table->capacity : 32, buckets = 2 * capacity;
    Entry *entries = realloc(table->entries, capacity * sizeof *entries);
    if (entries == NULL)
        return false;
    table->entries = entries;
    int32_t *chains = realloc(table->buckets, buckets * sizeof *chains);
    if (chains == NULL)
        return false;
    table->buckets = chains;
    table->mask = buckets - 1;
    memset(chains, NOBODY, buckets * sizeof *chains);
    memset(entries + table->capacity, 0, (capacity - table->capacity) * sizeof *entries);
    for (uint32_t at = capacity; at > table->capacity; at--) {
        entries[at - 1].newer = table->unused;
        table->unused = (int32_t)at - 1;
    }
    for (Entry *entry = table_oldest(table); entry != NULL; entry = table_newer(table, entry)) {
        int32_t *bucket = &chains[entry->hash & table->mask];
        entry->next = *bucket;
        *bucket = (int32_t)(entry - entries);
    }
    table->capacity = capacity;
    return true;
}

/* Put a key behind all others, with a value of zeros; beyond the limit the oldest goes. NULL without memory. */
static Entry *table_keep(Table *table, Slice key)
{
    Entry *entry = table_find(table, key);
    if (entry != NULL) {
        table_unlink(table, entry);
        table_link(table, entry);
        entry_clear(table, entry);
        return entry;
    }
    if (table->count == table->capacity && !table_grow(table))
        return NULL;
    entry = table->entries + table->unused;
    char *copy = malloc(length_of(key) + 1);
    if (copy == NULL)
        return NULL;
    memcpy(copy, key.start, length_of(key));
    table->unused = entry->newer;
    entry->key = copy;
    entry->key_length = (uint32_t)length_of(key);
    entry->hash = table_hash(table, key);
    int32_t *bucket = &table->buckets[entry->hash & table->mask];
    entry->next = *bucket;
    *bucket = (int32_t)(entry - table->entries);
    table_link(table, entry);
    if (++table->count > table->limit)
        table_remove(table, table_oldest(table));
    return entry;
}

static void table_init(Table *table, uint32_t limit, uint64_t seed)
{
    *table = (Table){.limit = limit, .seed = seed, .oldest = NOBODY, .newest = NOBODY, .unused = NOBODY};
}

static void table_clear(Table *table)
{
    while (table->count > 0)
        table_remove(table, table_oldest(table));
}

static void table_free(Table *table)
{
    table_clear(table);
    free(table->entries);
    free(table->buckets);
}

#endif
