"""Zones: which names exist below an apex, and who is listed there now. Pure: no clock, no socket."""
