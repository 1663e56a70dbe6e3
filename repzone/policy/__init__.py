"""Policy: what an offence weighs, when a listing begins and how long it lasts. Pure: no clock, no database."""
