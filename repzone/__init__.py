"""repzone: mail logs in, a private DNS block list out."""

__version__ = "0.1.0"
