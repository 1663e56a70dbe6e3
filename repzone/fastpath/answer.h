/* A packet, who sent it and a `View` in, the reply out - or silence, or that the general path must answer. */

#ifndef REPZONE_ANSWER_H
#define REPZONE_ANSWER_H

#include "reply.h"

static inline bool is_listing_type(const Query *query)
{
    return query->type == TYPE_A || query->type == TYPE_TXT;
}

/* A name that is listed with one code, and a text that tells of no listing. */
static inline void put_listed(Reply *reply, const Asked *asked, unsigned code, Octets template, uint32_t ttl)
{
    if (asked->query.type == TYPE_A) {
        put_address(reply, code, ttl);
        count_records(reply, 1, 1);
    } else {
        Text text = begin_text(reply, ttl);
        add_template(&text, template, &asked->client, NULL, 0);
        end_text(reply, &text);
    }
}

static inline uint32_t left_ttl(const Zone *zone, uint32_t ends, uint32_t now)
{
    uint32_t left = ends - now - 1; /* of the second that is now a part has passed */
    return left < zone->ttl ? left : zone->ttl;
}

static inline void put_hits(Reply *reply, const View *view, const Asked *asked, const Hits *hits)
{
    uint32_t ttl = left_ttl(asked->zone, hits->first_end, view->now);
    if (asked->query.type == TYPE_A) {
        put_codes(reply, hits->codes, ttl);
        return;
    }
    Octets template = asked->zone->texts[tag_category(hits->last.tag)];
    Text text = begin_text(reply, ttl);
    add_template(&text, template, &asked->client, &hits->last, view->now);
    add_others(&text, hits->count - 1);
    end_text(reply, &text);
}

/* Answer for an address that something is known of; false: nothing is. */
static inline bool put_known(Reply *reply, const View *view, const Asked *asked, const uint8_t *packet)
{
    Hits hits;
    Entry exempt;
    const Zone *zone = asked->zone;
    bool known = zone->allow ? find_allowed(view, &asked->client, &exempt)
                             : find_hits(view, zone, &asked->client, &hits);
    if (zone->paused || !known)
        return false;
    if (!is_listing_type(&asked->query)) {
        put_negative(reply, view, asked, packet, NOERROR);
        return true;
    }
    begin_reply(reply, &asked->query, packet, NOERROR);
    if (zone->allow) {
        uint32_t ttl = exempt.ends == FOREVER ? zone->ttl : left_ttl(zone, exempt.ends, view->now);
        put_listed(reply, asked, LISTED_CODE, zone->texts[0], ttl);
    } else {
        put_hits(reply, view, asked, &hits);
    }
    return true;
}

/* Answer for 127.0.0.N, which are listed or not in every state (RFC 5782 §5); false: this is none of them. */
static inline bool put_test(Reply *reply, const View *view, const Asked *asked, const uint8_t *packet)
{
    const TestEntry *test = find_test(asked->zone, &asked->client);
    bool never = asked->client.version == V4 && asked->client.words[0] == NEVER;
    if (!test && !never)
        return false;
    if (!test || !is_listing_type(&asked->query)) {
        put_negative(reply, view, asked, packet, test ? NOERROR : NXDOMAIN);
        return true;
    }
    begin_reply(reply, &asked->query, packet, NOERROR);
    put_listed(reply, asked, test->code, test->text, asked->zone->ttl);
    return true;
}

static inline void put_apex(Reply *reply, const View *view, const Asked *asked, const uint8_t *packet)
{
    begin_reply(reply, &asked->query, packet, NOERROR);
    put_soa(reply, view, asked->zone, HEADER_OCTETS, asked->zone->ttl);
    count_records(reply, 1, 1);
}

/* Answer for a name below the apex; HANDED_OVER where that needs data and there is none. */
static inline Verdict answer_below(Reply *reply, const View *view, const Asked *asked, const uint8_t *packet)
{
    bool address = asked->naming == NAMES_ADDRESS;
    if (address && put_test(reply, view, asked, packet))
        return ANSWERED;
    if (!view->fresh)
        return HANDED_OVER;
    if (!address || !put_known(reply, view, asked, packet)) {
        bool exists = address ? asked->hollow
                              : asked->naming == NAMES_PART || leads_to_zone(view->zones, &asked->query);
        put_negative(reply, view, asked, packet, exists ? NOERROR : NXDOMAIN);
    }
    if (view->stale)
        reply->error = reply->rcode == NXDOMAIN ? STALE_NXDOMAIN : STALE_ANSWER;
    return ANSWERED;
}

static inline uint8_t counted_type(unsigned type)
{
    switch (type) {
    case TYPE_A:
        return COUNTED_A;
    case TYPE_TXT:
        return COUNTED_TXT;
    case TYPE_SOA:
        return COUNTED_SOA;
    case TYPE_AAAA:
        return COUNTED_AAAA;
    default:
        return COUNTED_OTHER;
    }
}

/* Read a packet of that client, and have on its way what the answer will need. */
static inline Verdict prepare(const View *view, const Client *client, const uint8_t *packet, size_t size, Asked *asked)
{
    Verdict verdict = read_query(packet, size, &asked->query);
    if (verdict != ANSWERED)
        return verdict;
    asked->zone = view->zones ? find_zone(view->zones, &asked->query, &asked->front) : NULL;
    if (!asked->zone || !admits(asked->zone, client))
        return HANDED_OVER;
    if (asked->front == 0)
        return asked->query.type == TYPE_SOA ? ANSWERED : HANDED_OVER;
    if (has_own_label(asked->zone, &asked->query, asked->front))
        return HANDED_OVER;
    asked->naming = read_labels(asked);
    if (asked->naming == NAMES_ADDRESS)
        fetch_ahead(view, &asked->client);
    return ANSWERED;
}

/* Write the reply to a packet that was prepared; `reply->octets` has room for REPLY_MOST. */
static inline Verdict complete(const View *view, const Asked *asked, const uint8_t *packet, Reply *reply)
{
    reply->zone = asked->zone->number;
    reply->type = counted_type(asked->query.type);
    if (asked->front == 0)
        put_apex(reply, view, asked, packet);
    else if (answer_below(reply, view, asked, packet) == HANDED_OVER)
        return HANDED_OVER;
    end_reply(reply, &asked->query);
    return ANSWERED;
}

/* Answer one packet. */
static inline Verdict answer(const View *view, const Client *client, const uint8_t *packet, size_t size, Reply *reply)
{
    Asked asked;
    Verdict verdict = prepare(view, client, packet, size, &asked);
    return verdict == ANSWERED ? complete(view, &asked, packet, reply) : verdict;
}

#endif
