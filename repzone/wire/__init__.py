"""DNS messages: octets in, octets out. The only room that knows dnslib."""
