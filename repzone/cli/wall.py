"""The one place that reads the wall clock: commands hand `clock` to whatever runs for longer, and `clock()` else."""

import time


def clock() -> int:
    """Give the present instant in whole UTC seconds; the Clock that every loop gets."""
    return int(time.time())  # noqa: TID251 - this is the Clock
