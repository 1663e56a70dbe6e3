"""Zones, policies and settings of tests in, what pages are made of out."""

from __future__ import annotations

from pathlib import Path

from repzone.config import Settings, load
from repzone.web.site import Site, build

ZONE = """\
apex = "bl.example.net"
nameservers = ["ns1.example.net"]
url = "https://postmaster.example.net/?ip={client}"
"""
SPAM = """\
apex = "spam.bl.example.net"
nameservers = ["ns1.example.net"]
categories = ["spam", "virus"]
"""
ALLOW = """\
apex = "wl.example.net"
kind = "allow"
nameservers = ["ns1.example.net"]
"""


def settings(folder: Path, more: str = "", zones: tuple[str, ...] = (ZONE, ALLOW)) -> Settings:
    """Write a configuration into a folder and read it; `more` comes behind its first keys."""
    (folder / "zones").mkdir(exist_ok=True)
    for number, zone in enumerate(zones):
        (folder / "zones" / f"{number}.toml").write_text(zone)
    file = folder / "repzone.toml"
    file.write_text(f'state_dir = "state"\nzones_dir = "zones"\n{more}')
    return load(file)


def site(folder: Path, more: str = "", zones: tuple[str, ...] = (ZONE, ALLOW)) -> Site:
    """Give what pages are made of."""
    return build(settings(folder, more, zones))
