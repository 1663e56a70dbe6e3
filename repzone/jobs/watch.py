"""A log's name in; a wait that ends as soon as its file or its folder changes, out (inotify(7)).

Where inotify cannot tell (a network file system, no watches left) the time that one waits at most is all there is.
"""

from __future__ import annotations

import ctypes
import os
import select
from math import inf
from pathlib import Path
from types import TracebackType

_libc = ctypes.CDLL(None, use_errno=True)

_MODIFY, _MOVED_TO, _CREATE = 0x2, 0x80, 0x100  # <sys/inotify.h>


class Stop:
    """A wish to end that wakes everybody who waits, whichever thread or signal handler has it."""

    def __init__(self) -> None:
        """Make one that nobody has yet."""
        self._descriptor = os.eventfd(0, os.EFD_CLOEXEC)
        self._is_set = False

    def fileno(self) -> int:
        """Give what is readable once it is set."""
        return self._descriptor

    def set(self) -> None:
        """Wake everybody, now and later."""
        self._is_set = True
        os.eventfd_write(self._descriptor, 1)

    def is_set(self) -> bool:
        """Tell whether it is time to end."""
        return self._is_set

    def wait(self, seconds: float, *descriptors: int) -> bool:
        """Wait until it is set, or one of the descriptors is readable, or the time is over; tell whether one was."""
        waiting = select.poll()
        for descriptor in (self._descriptor, *descriptors):
            waiting.register(descriptor, select.POLLIN)
        ready = waiting.poll(None if seconds == inf else max(seconds, 0) * 1000)
        return any(descriptor != self._descriptor for descriptor, _ in ready)


class Watch:
    """Watches a log by its name, through rotation. Use it in a `with`."""

    def __init__(self, path: Path) -> None:
        """Take the log's name; it need not exist."""
        self._path = path
        self._descriptor: int = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)

    def __enter__(self) -> Watch:
        """Give the watch itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Watch no longer."""
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def arm(self) -> None:
        """Watch the file that has the name now, and the folder; to be called before the file is read.

        Files that had the name before are still watched: their writer may not know yet.
        """
        if self._descriptor >= 0:
            _libc.inotify_add_watch(self._descriptor, os.fsencode(self._path.parent), _CREATE | _MOVED_TO)
            _libc.inotify_add_watch(self._descriptor, os.fsencode(self._path), _MODIFY)

    def wait(self, stop: Stop, seconds: float) -> None:
        """Wait until something has changed since `arm`, or the time is over, or it is time to end."""
        if self._descriptor < 0:
            stop.wait(seconds)
        elif stop.wait(seconds, self._descriptor):
            os.read(self._descriptor, 65_536)  # what changed the file itself will tell
