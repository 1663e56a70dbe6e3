"""The clock: made once by cli and handed to the loops; every other place takes `now` as an argument."""

from collections.abc import Callable

Clock = Callable[[], int]
"""Gives the present instant in whole UTC seconds since 1970."""
