"""The exceptions that repzone raises on purpose, and the exit code each one means.

    RepzoneError                 1   something the operator can mend; the message is one line
    ├── ConfigError             78   a configuration, zone or policy file: names file, key, what was wanted
    ├── UsageError               2   a command line that cannot be meant
    └── UnavailableError         3   the database or a server cannot be reached
        └── EmbeddedError        3   the private PostgreSQL cannot be started

Anything else that surfaces is our own bug.
"""


class RepzoneError(Exception):
    """An error whose message is one line for the operator: what, where, and the way out."""

    exit_code = 1


class ConfigError(RepzoneError):
    """A value in a file or in the environment that cannot be used."""

    exit_code = 78

    def __init__(self, where: str, key: str, wanted: str, line: int | None = None) -> None:
        """Name the file (or variable), the dotted key ("" for the whole file), the value wanted, the key's line."""
        self.where, self.key, self.wanted, self.line = where, key, wanted, line
        super().__init__(": ".join([where, *([f"line {line}"] if line else []), *([key] if key else []), wanted]))


class UsageError(RepzoneError):
    """A command line that cannot be meant."""

    exit_code = 2


class UnavailableError(RepzoneError):
    """The database or a server does not answer."""

    exit_code = 3


class EmbeddedError(UnavailableError):
    """The private PostgreSQL cannot be started, or its folder cannot be used."""
