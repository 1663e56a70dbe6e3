"""The compiled core for the common query; not built yet: every query takes the general path."""
