"""What a service has to say in, told to systemd where it listens (sd_notify(3)); nowhere else."""

import asyncio
import os
import socket
import time
from collections.abc import Callable


def notify(*states: str) -> None:
    """Tell states such as `READY=1` to whoever started us with NOTIFY_SOCKET; one that does not listen is no error."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(f"\0{address[1:]}" if address.startswith("@") else address)
            sock.send("\n".join(states).encode())
        except OSError:
            return  # it is gone, and nobody waits for us


def watchdog_interval() -> float | None:
    """Give the seconds within which systemd wants a sign of life (sd_watchdog_enabled(3)); None: it wants none."""
    microseconds, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", str(os.getpid()))
    if not microseconds.isdecimal() or int(microseconds) == 0 or pid != str(os.getpid()):
        return None
    return int(microseconds) / 1_000_000


async def keep_alive(alive: Callable[[], bool]) -> None:
    """Give signs of life, twice as often as systemd wants them, as long as the loop turns and `alive` says so."""
    interval = watchdog_interval()
    while interval is not None:
        if alive():
            notify("WATCHDOG=1")
        await asyncio.sleep(interval / 2)


def reloading() -> None:
    """Tell that the configuration is read again, and since when; `READY=1` is to follow (Type=notify-reload)."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
