/* A checked query and what is known in, which records its name has out: the core's share of repzone/wire/answer.py. */

#ifndef REPZONE_LOOKUP_H
#define REPZONE_LOOKUP_H

#include "query.h"
#include "zone.h"

enum { FETCHES = 4, NIBBLES = 32, LOOPBACK_NET = 127 << 24 };
static const uint32_t NEVER = LOOPBACK_NET | 1; /* RFC 5782 §5 */

/* What the core knows at this instant; it holds as long as a reader has entered the table. */
typedef struct {
    const Table *table;
    const State *state;
    const Zones *zones;
    uint32_t serial;
    uint32_t now;
    bool fresh; /* the data is neither missing nor too old */
    bool stale; /* but older than it should be */
} View;

/* What labels in front of an apex name. */
typedef enum { NAMES_ADDRESS, NAMES_PART, NAMES_OTHER } Naming;

/* A question that was read as far as that goes without data. */
typedef struct {
    Query query;
    const Zone *zone;
    unsigned front; /* labels in front of the apex */
    Naming naming;
    Client client; /* that the name asks for */
    bool hollow;   /* the address has names of the other family below it */
} Asked;

/* What a zone says of an address. */
typedef struct {
    unsigned count;
    uint32_t first_end;  /* of the listings, the one that ends first */
    Entry last;          /* the one that the text tells of */
    unsigned last_length, last_code;
    uint64_t codes[4];   /* a bit each */
} Hits;

/* Give the zone with the longest apex at or above the name, and the number of labels in front of it. */
static inline const Zone *find_zone(const Zones *zones, const Query *query, unsigned *front)
{
    for (unsigned number = 0; number < zones->count; number++) {
        const Zone *zone = &zones->zones[number];
        if (zone->apex.size > query->name_size)
            continue;
        unsigned start = query->name_size - zone->apex.size;
        if (memcmp(query->name + start, zone->apex.octets, zone->apex.size) != 0)
            continue;
        for (unsigned label = query->label_count; label-- > 0 && query->label_starts[label] >= start;)
            if (query->label_starts[label] == start) {
                *front = label;
                return zone;
            }
    }
    return NULL;
}

/* Whether a name that is no apex is above one, and so exists without data (RFC 8020). */
static inline bool leads_to_zone(const Zones *zones, const Query *query)
{
    for (unsigned number = 0; number < zones->count; number++) {
        Octets left = zones->zones[number].apex;
        while (left.size > query->name_size && left.octets[0] < left.size) {
            left.size -= 1u + left.octets[0];
            left.octets += 1u + left.octets[0];
        }
        if (left.size == query->name_size && memcmp(left.octets, query->name, left.size) == 0)
            return true;
    }
    return false;
}

/* Whether a name ends, in front of the apex, in a label that addresses have not: a name server, `_status` ... */
static inline bool has_own_label(const Zone *zone, const Query *query, unsigned front)
{
    const uint8_t *label = query->name + query->label_starts[front - 1];
    for (unsigned number = 0; number < zone->own_count; number++) {
        Octets own = zone->own_labels[number];
        if (own.size == label[0] && memcmp(own.octets, label + 1, own.size) == 0)
            return true;
    }
    return false;
}

/* A decimal octet without leading zeros, or -1. */
static inline int read_octet(const uint8_t *label)
{
    int number = 0;
    if (label[0] == 0 || label[0] > 3 || (label[0] > 1 && label[1] == '0'))
        return -1;
    for (unsigned digit = 1; digit <= label[0]; digit++) {
        if (label[digit] < '0' || label[digit] > '9')
            return -1;
        number = number * 10 + (label[digit] - '0');
    }
    return number > 255 ? -1 : number;
}

/* A hexadecimal digit, lower-case, or -1. */
static inline int read_nibble(const uint8_t *label)
{
    if (label[0] != 1)
        return -1;
    if (label[1] >= '0' && label[1] <= '9')
        return label[1] - '0';
    return label[1] >= 'a' && label[1] <= 'f' ? label[1] - 'a' + 10 : -1;
}

/* The labels in front of the apex as octets, the last one the most significant; false when one is none. */
static inline bool read_octets(const Query *query, unsigned front, uint32_t *value)
{
    *value = 0;
    for (unsigned label = front; label-- > 0;) {
        int octet = read_octet(query->name + query->label_starts[label]);
        if (octet < 0)
            return false;
        *value = *value << 8 | (uint32_t)octet;
    }
    return true;
}

static inline bool read_nibbles(const Query *query, unsigned front, uint32_t words[4])
{
    memset(words, 0, 4 * sizeof *words);
    for (unsigned place = 0; place < front; place++) {
        int nibble = read_nibble(query->name + query->label_starts[front - 1 - place]);
        if (nibble < 0)
            return false;
        words[place / 8] |= (uint32_t)nibble << (28 - 4 * (place % 8));
    }
    return true;
}

/* Read the labels in front of the apex. */
static inline Naming read_labels(Asked *asked)
{
    uint32_t value, words[4];
    unsigned front = asked->front;
    if (front > NIBBLES)
        return NAMES_OTHER;
    if (front <= 4 && read_octets(&asked->query, front, &value)) {
        if (front < 4)
            return NAMES_PART;
        asked->client = v4_client(value);
        asked->hollow = read_nibbles(&asked->query, front, words);
        return NAMES_ADDRESS;
    }
    if (!read_nibbles(&asked->query, front, words))
        return NAMES_OTHER;
    if (front < NIBBLES)
        return NAMES_PART;
    asked->client = v6_client(words);
    asked->hollow = false;
    return NAMES_ADDRESS;
}

/* Have the memory that will be looked at on its way: the packets of a batch wait for it together. GCC takes a function
 * that only prefetches for one without effect, and drops the call unless it is inlined. */
__attribute__((always_inline)) static inline void fetch_ahead(const View *view, const Client *client)
{
    const Family *family = &view->state->families[LISTED][family_number(client->version)];
    for (unsigned number = 0; number < family->count && number < FETCHES; number++) {
        Client prefix = truncate_client(client, family->indexes[number]->length);
        const _Atomic uint32_t *home = slot_at(family->indexes[number], home_of(family->indexes[number], prefix.words));
        __builtin_prefetch(home);
        __builtin_prefetch((const char *)home + 64);
    }
}

static inline const TestEntry *find_test(const Zone *zone, const Client *client)
{
    if (client->version != V4 || (client->words[0] & 0xFFFFFF00) != LOOPBACK_NET)
        return NULL;
    for (unsigned number = 0; number < zone->test_count; number++)
        if (zone->tests[number].code == (client->words[0] & 0xFF))
            return &zone->tests[number];
    return NULL;
}

/* Add a listing: the text is for the one that ends last, then the most specific, then the lowest code. */
static inline void add_hit(Hits *hits, const Entry *entry, unsigned length, unsigned code)
{
    bool later = hits->count == 0 || entry->ends > hits->last.ends;
    bool same_end = hits->count && entry->ends == hits->last.ends;
    bool same_length = same_end && length == hits->last_length;
    if (later || (same_end && length > hits->last_length) || (same_length && code < hits->last_code)) {
        hits->last = *entry;
        hits->last_length = length;
        hits->last_code = code;
    }
    if (hits->count == 0 || entry->ends < hits->first_end)
        hits->first_end = entry->ends;
    hits->codes[code / 64] |= 1ull << code % 64;
    hits->count++;
}

/* Gather the listings of an address that a block zone publishes, unless something exempts it. */
static inline bool find_hits(const View *view, const Zone *zone, const Client *client, Hits *hits)
{
    const Family *family = &view->state->families[LISTED][family_number(client->version)];
    Entry found[CATEGORIES], exempt;
    unsigned length;
    memset(hits, 0, sizeof *hits);
    for (unsigned number = 0; number < family->count; number++) {
        const Index *index = family->indexes[number];
        unsigned count = find_listings(index, client, view->now, found);
        for (unsigned entry = 0; entry < count; entry++) {
            unsigned code = zone->codes[tag_category(found[entry].tag)];
            if (code)
                add_hit(hits, &found[entry], index->length, code);
        }
    }
    return hits->count && !is_reserved(view->table, client) &&
           !find_exempt(view->state, client, view->now, &exempt, &length);
}

/* Give the exemption by which an allow zone has an address: the operator's, never reserved space. */
static inline bool find_allowed(const View *view, const Client *client, Entry *exempt)
{
    unsigned length;
    return !is_reserved(view->table, client) && find_exempt(view->state, client, view->now, exempt, &length);
}

#endif
