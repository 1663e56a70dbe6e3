/* Octets from the network in, a `Query` out, or whose it is: a name, a type and an OPT that the core knows.
 *
 * Lengths are checked before anything is read behind them; there are no pointers in what is understood here. What is
 * rare or wrong is handed over, so that there is one place which knows how to say no (repzone/wire/query.py).
 */

#ifndef REPZONE_QUERY_H
#define REPZONE_QUERY_H

#include "address.h"

enum {
    HEADER_OCTETS = 12,
    NAME_MOST = 255,
    LABEL_MOST = 63,
    LABELS_MOST = 127,
    OPTIONS_MOST = 64,
    OPT_OCTETS = 11, /* root, type, size, extended rcode and flags, length */
    QR = 0x8000,
    OPCODE = 0x7800,
    RD = 0x0100,
    DO = 0x8000,
    TYPE_A = 1,
    TYPE_SOA = 6,
    TYPE_TXT = 16,
    TYPE_AAAA = 28,
    TYPE_OPT = 41,
    TYPE_NXNAME = 128, /* from here to ANY: types that are no data */
    TYPE_ANY = 255,
    CLASS_IN = 1,
};

typedef enum { ANSWERED, SILENT, HANDED_OVER } Verdict;

typedef struct {
    uint16_t id, flags, type;
    uint16_t edns_size;
    bool edns, dnssec_ok;
    uint8_t label_count;                  /* without the root */
    uint16_t name_size, question_size;    /* on the wire; the question begins behind the header */
    uint8_t label_starts[LABELS_MOST + 1]; /* in `name` */
    uint8_t name[NAME_MOST + 1];          /* lower-case, as on the wire */
} Query;

static inline uint8_t lower(uint8_t octet)
{
    return octet >= 'A' && octet <= 'Z' ? octet | 0x20 : octet;
}

/* Read the name in the question; false when it does not end within the packet and the limits. */
static inline bool read_name(const uint8_t *at, size_t left, Query *query)
{
    size_t offset = 0;
    query->label_count = 0;
    while (offset < left && offset < NAME_MOST) {
        unsigned length = at[offset];
        query->name[offset] = (uint8_t)length;
        if (length == 0) {
            query->name_size = (uint16_t)(offset + 1);
            return true;
        }
        if (length > LABEL_MOST || offset + 1 + length >= left || offset + 1 + length >= NAME_MOST)
            return false;
        query->label_starts[query->label_count++] = (uint8_t)offset;
        for (unsigned octet = 1; octet <= length; octet++)
            query->name[offset + octet] = lower(at[offset + octet]);
        offset += 1 + length;
    }
    return false;
}

/* Whether the options fill the data of an OPT exactly (RFC 6891 §6.1.2). */
static inline bool options_fit(const uint8_t *at, size_t left)
{
    for (unsigned number = 0; number < OPTIONS_MOST && left >= 4; number++) {
        size_t length = 4u + get16(at + 2);
        if (length > left)
            return false;
        at += length;
        left -= length;
    }
    return left == 0;
}

/* Read what is left of the packet as one OPT of version 0. */
static inline bool read_opt(const uint8_t *at, size_t left, Query *query)
{
    if (left < OPT_OCTETS || at[0] != 0 || get16(at + 1) != TYPE_OPT || at[6] != 0)
        return false;
    if (left - OPT_OCTETS != get16(at + 9) || !options_fit(at + OPT_OCTETS, left - OPT_OCTETS))
        return false;
    query->edns = true;
    query->edns_size = get16(at + 3);
    query->dnssec_ok = get16(at + 7) & DO;
    return true;
}

/* Read a packet; SILENT is for answers and for what has no header. */
static inline Verdict read_query(const uint8_t *packet, size_t size, Query *query)
{
    if (size < HEADER_OCTETS)
        return SILENT;
    query->id = get16(packet);
    query->flags = get16(packet + 2);
    if (query->flags & QR)
        return SILENT;
    uint16_t additional = get16(packet + 10);
    if (query->flags & OPCODE || get16(packet + 4) != 1 || get32(packet + 6) != 0 || additional > 1)
        return HANDED_OVER;
    const uint8_t *question = packet + HEADER_OCTETS;
    size_t left = size - HEADER_OCTETS;
    if (!read_name(question, left, query) || left - query->name_size < 4)
        return HANDED_OVER;
    query->type = get16(question + query->name_size);
    query->question_size = (uint16_t)(query->name_size + 4);
    if (get16(question + query->name_size + 2) != CLASS_IN)
        return HANDED_OVER;
    if (query->type == TYPE_OPT || (query->type >= TYPE_NXNAME && query->type <= TYPE_ANY))
        return HANDED_OVER;
    query->edns = false;
    left -= query->question_size;
    if (additional ? !read_opt(question + query->question_size, left, query) : left != 0)
        return HANDED_OVER;
    return ANSWERED;
}

#endif
