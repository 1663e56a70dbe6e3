"""Servers: sockets around the pure answer."""
