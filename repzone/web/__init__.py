"""The postmaster page and the console; not built yet."""
