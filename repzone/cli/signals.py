"""A signal that ends a process in, the same cleaning up as at Ctrl-C out."""

import signal


def end_as_interrupted() -> None:
    """Have SIGTERM and SIGHUP (a closed terminal) end the command as Ctrl-C does: with what it has to put back."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt
