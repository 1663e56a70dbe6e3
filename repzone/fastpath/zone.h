/* Compiled zone definitions in (octets that zones.py writes), `Zones` out: what a reply needs, checked and at hand.
 *
 * Texts are printable ASCII with control octets for what differs from client to client, see `Field` in text.h. Names
 * in the SOA are labels that end in the root, in APEX n (go on n octets into the apex) or in PRIMARY n (n octets into
 * the SOA's first name): what compression makes of them, whatever the name in the question.
 */

#ifndef REPZONE_ZONE_H
#define REPZONE_ZONE_H

#include "table.h"

enum {
    ZONES_MOST = 1024,
    TESTS_MOST = CATEGORIES + 1,
    OWN_LABELS_MOST = 32,
    SOA_TIMES = 4, /* refresh, retry, expire, minimum */
    APEX = 0xC0,
    PRIMARY = 0x80,
    ALLOW = 1,
    PAUSED = 2,
};

typedef struct {
    const uint8_t *octets;
    unsigned size;
} Octets;

typedef struct {
    uint8_t code;
    Octets text;
} TestEntry;

typedef struct {
    uint16_t number; /* for counting */
    bool allow, paused; /* paused: only the test entries are listed */
    uint32_t ttl, negative_ttl; /* the latter is for how long "no" may be believed */
    uint32_t times[SOA_TIMES];
    Octets apex; /* as on the wire, with the root */
    Octets primary, contact;
    uint8_t codes[CATEGORIES]; /* 0: not published here */
    Octets texts[CATEGORIES];  /* an allow zone has one */
    unsigned test_count, own_count, network_count;
    TestEntry tests[TESTS_MOST];
    Octets own_labels[OWN_LABELS_MOST]; /* names with these in front of the apex are the general path's */
    const uint8_t *networks;            /* who may ask: version, length, 16 octets each */
} Zone;

typedef struct {
    unsigned count;
    uint8_t *octets; /* what the zones point into */
    Zone zones[];    /* the longest apex first */
} Zones;

enum { NETWORK_OCTETS = 2 + ADDRESS_OCTETS };

/* A reader that never goes beyond the end, but remembers that it should have. */
typedef struct {
    const uint8_t *at, *end;
    bool failed;
} Input;

static inline const uint8_t *take(Input *input, size_t size)
{
    static const uint8_t nothing[64];
    if ((size_t)(input->end - input->at) < size) {
        input->failed = true;
        return nothing;
    }
    input->at += size;
    return input->at - size;
}

/* Octets with their number before them. */
static inline Octets take_octets(Input *input)
{
    Octets taken;
    taken.size = *take(input, 1);
    taken.octets = taken.size ? take(input, taken.size) : NULL;
    return taken;
}

static inline bool read_zone(Input *input, Zone *zone)
{
    uint8_t flags = *take(input, 1);
    zone->allow = flags & ALLOW;
    zone->paused = flags & PAUSED;
    zone->number = get16(take(input, 2));
    zone->ttl = get32(take(input, 4));
    zone->negative_ttl = get32(take(input, 4));
    for (unsigned number = 0; number < SOA_TIMES; number++)
        zone->times[number] = get32(take(input, 4));
    zone->apex = take_octets(input);
    zone->primary = take_octets(input);
    zone->contact = take_octets(input);
    memcpy(zone->codes, take(input, CATEGORIES), CATEGORIES);
    for (unsigned category = 0; category < CATEGORIES; category++)
        zone->texts[category] = take_octets(input);
    zone->test_count = *take(input, 1);
    for (unsigned number = 0; number < zone->test_count && number < TESTS_MOST; number++) {
        zone->tests[number].code = *take(input, 1);
        zone->tests[number].text = take_octets(input);
    }
    zone->own_count = *take(input, 1);
    for (unsigned number = 0; number < zone->own_count && number < OWN_LABELS_MOST; number++)
        zone->own_labels[number] = take_octets(input);
    zone->network_count = get16(take(input, 2));
    zone->networks = take(input, zone->network_count * (size_t)NETWORK_OCTETS);
    return !input->failed && zone->number < ZONES_MOST && zone->apex.size > 1 &&
           zone->test_count <= TESTS_MOST && zone->own_count <= OWN_LABELS_MOST;
}

static inline void zones_free(Zones *zones)
{
    if (zones)
        free(zones->octets);
    free(zones);
}

/* Read that many zones, which end where the octets end; NULL without memory or when they are unsound. */
static inline Zones *zones_read(const uint8_t *octets, size_t size, unsigned count)
{
    Zones *zones = calloc(1, sizeof *zones + count * sizeof(Zone));
    if (!zones)
        return NULL;
    zones->octets = malloc(size + 1);
    if (!zones->octets) {
        free(zones);
        return NULL;
    }
    memcpy(zones->octets, octets, size);
    Input input = {zones->octets, zones->octets + size, false};
    while (zones->count < count && read_zone(&input, &zones->zones[zones->count]))
        zones->count++;
    if (zones->count == count && input.at == input.end)
        return zones;
    zones_free(zones);
    return NULL;
}

/* Whether that address may ask. */
static inline bool admits(const Zone *zone, const Client *client)
{
    for (unsigned number = 0; number < zone->network_count; number++) {
        const uint8_t *network = zone->networks + (size_t)number * NETWORK_OCTETS;
        if (network[0] != client->version)
            continue;
        Client read = read_client(network[0], network[1], network + 2);
        if (covers(&read, client))
            return true;
    }
    return false;
}

#endif
