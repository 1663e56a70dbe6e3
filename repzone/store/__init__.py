"""PostgreSQL: the only room that writes SQL."""
