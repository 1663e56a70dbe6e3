/* A query and records in, the octets of the reply out: header, question as it came, compressed names, OPT.
 *
 * The octets are those of repzone/wire/encode.py.
 */

#ifndef REPZONE_REPLY_H
#define REPZONE_REPLY_H

#include "lookup.h"
#include "text.h"

enum {
    UDP_PAYLOAD = 1232,
    UDP_PLAIN = 512,
    AA = 0x0400,
    TC = 0x0200,
    NOERROR = 0,
    SERVFAIL = 2,
    NXDOMAIN = 3,
    LISTED_CODE = 2, /* 127.0.0.2, what an allow zone answers */
    OPTION_ERROR = 15,
    ERROR_OCTETS = 6,
    STALE_ANSWER = 3,
    STALE_NXDOMAIN = 19,
    REPLY_MOST = 1024, /* header, question, the longest SOA and the OPT are 830 */
};

/* What replies are counted by. */
enum { COUNTED_A, COUNTED_TXT, COUNTED_SOA, COUNTED_AAAA, COUNTED_OTHER, COUNTED_TYPES };

/* A reply that is being written, and what it is counted as. */
typedef struct {
    uint8_t *octets;
    size_t size;
    uint16_t zone;
    uint8_t type, rcode;
    uint8_t error; /* an Extended DNS Error, RFC 8914 */
} Reply;

static inline void put8(Reply *reply, uint8_t value)
{
    reply->octets[reply->size++] = value;
}

static inline void put16(Reply *reply, uint32_t value)
{
    put8(reply, (uint8_t)(value >> 8));
    put8(reply, (uint8_t)value);
}

static inline void put_word(Reply *reply, uint32_t value)
{
    put32(reply->octets + reply->size, value);
    reply->size += 4;
}

static inline void put_octets(Reply *reply, const uint8_t *octets, size_t size)
{
    memcpy(reply->octets + reply->size, octets, size);
    reply->size += size;
}

static inline void put_pointer(Reply *reply, size_t offset)
{
    put16(reply, 0xC000 | (uint32_t)offset);
}

static inline void begin_reply(Reply *reply, const Query *query, const uint8_t *packet, unsigned rcode)
{
    reply->size = 0;
    reply->rcode = (uint8_t)rcode;
    reply->error = 0;
    put16(reply, query->id);
    put16(reply, QR | AA | (query->flags & RD) | rcode);
    put16(reply, 1);
    put16(reply, 0);
    put16(reply, 0);
    put16(reply, query->edns ? 1 : 0);
    put_octets(reply, packet + HEADER_OCTETS, query->question_size);
}

/* Section 1 is the answer, 2 authority. */
static inline void count_records(Reply *reply, unsigned section, unsigned count)
{
    reply->octets[4 + 2 * section + 1] = (uint8_t)count;
}

/* Write what stands before the data of a record; the place of the data's length is where it ends. */
static inline void put_record(Reply *reply, size_t owner, unsigned type, uint32_t ttl)
{
    put_pointer(reply, owner);
    put16(reply, type);
    put16(reply, CLASS_IN);
    put_word(reply, ttl);
    put16(reply, 0);
}

/* Write the length of the data that began there. */
static inline void end_record(Reply *reply, size_t data)
{
    size_t size = reply->size - data;
    reply->octets[data - 2] = (uint8_t)(size >> 8);
    reply->octets[data - 1] = (uint8_t)size;
}

/* Write a name of the SOA, see zone.h. */
static inline void put_name(Reply *reply, Octets name, size_t apex, size_t primary)
{
    for (unsigned place = 0; place < name.size;) {
        uint8_t length = name.octets[place];
        if (length >= PRIMARY) {
            if (place + 1 < name.size)
                put_pointer(reply, (length == APEX ? apex : primary) + name.octets[place + 1]);
            return;
        }
        unsigned size = 1u + length;
        if (size > name.size - place)
            return;
        put_octets(reply, name.octets + place, size);
        place += size;
    }
}

static inline void put_soa(Reply *reply, const View *view, const Zone *zone, size_t apex, uint32_t ttl)
{
    put_record(reply, apex, TYPE_SOA, ttl);
    size_t data = reply->size;
    put_name(reply, zone->primary, apex, data);
    put_name(reply, zone->contact, apex, data);
    put_word(reply, view->serial);
    for (unsigned number = 0; number < SOA_TIMES; number++)
        put_word(reply, zone->times[number]);
    end_record(reply, data);
}

/* The offset of the apex in the message. */
static inline size_t apex_offset(const Asked *asked)
{
    return HEADER_OCTETS + asked->query.name_size - asked->zone->apex.size;
}

/* There is no such name, or nothing of that type: the SOA tells how long that may be believed (RFC 2308 §5). */
static inline void put_negative(Reply *reply, const View *view, const Asked *asked, const uint8_t *packet,
                                unsigned rcode)
{
    begin_reply(reply, &asked->query, packet, rcode);
    put_soa(reply, view, asked->zone, apex_offset(asked), asked->zone->negative_ttl);
    count_records(reply, 2, 1);
}

static inline void put_address(Reply *reply, unsigned code, uint32_t ttl)
{
    put_record(reply, HEADER_OCTETS, TYPE_A, ttl);
    put_word(reply, LOOPBACK_NET | code);
    end_record(reply, reply->size - 4);
}

static inline void put_codes(Reply *reply, const uint64_t codes[4], uint32_t ttl)
{
    unsigned count = 0;
    for (unsigned part = 0; part < 4; part++)
        for (uint64_t left = codes[part]; left; left &= left - 1, count++)
            put_address(reply, 64 * part + (unsigned)__builtin_ctzll(left), ttl);
    count_records(reply, 1, count);
}

/* Begin a TXT record; its string is to be written into what is given. */
static inline Text begin_text(Reply *reply, uint32_t ttl)
{
    put_record(reply, HEADER_OCTETS, TYPE_TXT, ttl);
    Text text = {reply->octets + reply->size + 1, 0};
    return text;
}

static inline void end_text(Reply *reply, const Text *text)
{
    size_t data = reply->size;
    put8(reply, (uint8_t)text->size);
    reply->size += text->size;
    end_record(reply, data);
    count_records(reply, 1, 1);
}

/* Write our OPT (version 0, DO as it came: RFC 3225 §3), or TC and no records when the client takes less than that. */
static inline void end_reply(Reply *reply, const Query *query)
{
    unsigned options = reply->error ? ERROR_OCTETS : 0;
    unsigned taken = query->edns_size < UDP_PLAIN ? UDP_PLAIN : query->edns_size;
    unsigned limit = !query->edns ? UDP_PLAIN : taken < UDP_PAYLOAD ? taken : UDP_PAYLOAD;
    if (reply->size + (query->edns ? OPT_OCTETS + options : 0) > limit) {
        reply->octets[2] |= TC >> 8;
        memset(reply->octets + 6, 0, 4);
        reply->size = HEADER_OCTETS + query->question_size;
    }
    if (!query->edns)
        return;
    put8(reply, 0);
    put16(reply, TYPE_OPT);
    put16(reply, UDP_PAYLOAD);
    put_word(reply, query->dnssec_ok ? DO : 0);
    put16(reply, options);
    if (reply->error) {
        put16(reply, OPTION_ERROR);
        put16(reply, 2);
        put16(reply, reply->error);
    }
}

/* Write SERVFAIL for a packet that nobody has time for, as `wire.fail` does; it has a header and is no answer. */
static inline void put_failure(const uint8_t *packet, Reply *reply)
{
    memset(reply->octets, 0, HEADER_OCTETS);
    memcpy(reply->octets, packet, 2);
    reply->octets[2] = 0x80 | (packet[2] & 0x79);
    reply->octets[3] = SERVFAIL;
    reply->size = HEADER_OCTETS;
}

#endif
