"""The stage for every test of the console."""

from tests.web.console.stage import stage

__all__ = ["stage"]
