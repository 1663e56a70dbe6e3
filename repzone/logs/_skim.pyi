from collections.abc import Callable, Mapping
from typing import Any

from repzone.model import Client, Event, Hit, Traffic, Wait

class Table:
    def __new__(
        cls, kind: int, limit: int, made: type[Any] | None, fields: Callable[[Any], tuple[Any, ...]] | None, /
    ) -> Table:
        """Kinds: 0 sessions, 1 messages, 2 instants of removed messages, 3 Message-IDs, 4 attempts."""

    def get(self, key: str, otherwise: Any = None, /) -> Any: ...
    def pop(self, key: str, otherwise: Any, /) -> Any: ...
    def keep(self, key: str, value: Any, /) -> None: ...
    def first(self) -> str | None: ...
    def drop_before(self, at: int, /) -> None: ...
    def rows(self) -> list[list[Any]]: ...
    def __contains__(self, key: object, /) -> bool: ...
    def __len__(self) -> int: ...

class Skimmer:
    def __new__(
        cls,
        key: bytes,
        tables: tuple[Table, Table, Table, Table, Table],
        owed: Mapping[str, Any],
        instants: Mapping[tuple[str, str], int | None],
        tags: dict[str, tuple[str, str, Any]],
        judge: Callable[[str, str, str, str], tuple[str, str] | None],
        about: Callable[[str], tuple[Client | None, bool]],
        told: tuple[type[Event], type[Wait], type[Traffic]],
        /,
    ) -> Skimmer:
        """`judge` takes stage, code, DSN and text of a refusal by smtpd; it gives reason and detail, None where more
        than these counts. `about` gives an address, and whether it is reserved. `tags` has what `HOST PROGRAM` means.
        """

    def skim(
        self,
        block: bytes,
        number: int,
        read: Callable[[str, int], tuple[Event | Hit | Traffic | Wait, ...]],
        read_tagged: Callable[[int, tuple[str, str, Any], str, str, int], tuple[Event | Hit | Traffic | Wait, ...]],
        /,
    ) -> tuple[list[Event | Hit | Traffic | Wait], int, int]:
        """Take lines, of which the first has that number; give what they complete, how many they are, how many were
        skipped. `read` takes a line and its number; `read_tagged` instant, tag, process, message and number.
        """
