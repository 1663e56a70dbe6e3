"""Log lines in, events out. Pure: no clock, no file, no database."""
