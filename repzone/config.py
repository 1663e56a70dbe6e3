"""`repzone.toml` and the environment in, one frozen `Settings` out.

The file is `--config`, else `repzone.toml` in `/etc/repzone`, else here; a variable `REPZONE_KEY` beats its key.
Paths in the file are relative to it, paths in the environment to the working folder.
"""

import os
import re
import socket
import tomllib
from datetime import UTC, tzinfo
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from repzone.errors import ConfigError
from repzone.model import Client
from repzone.toml import Duration, Section, config_error, faulty

NAME = "repzone.toml"
SYSTEM = Path("/etc/repzone") / NAME
ENVIRONMENT = "REPZONE_"
EMBEDDED = "embedded"

TEMPLATE = """\
# repzone's configuration. Paths are relative to this file. A variable REPZONE_KEY in the environment beats a key.

# "embedded" is a private PostgreSQL under state_dir; any postgresql:// URL of version 15 to 18 serves as well.
database_url = "embedded"
state_dir = "state"

# What `repzone ingest` reads when it is not told otherwise.
logs = ["/var/log/mail.log"]
# spamtrap_mx = ["mx1.example.net"]    # as they name themselves in Received; for `repzone ingest --format spamtrap`
# timezone = "Europe/Paris"    # of log lines whose stamp names none; the machine's own unless said

# A greylisted letter that has not come again after so long is an offence of its client.
greylist_wait = "24h"
# hash_key_file = "hash.key"     # what mail addresses are hashed with; every host needs the same. Else: in the database

# Your own networks: never listed, and they may ask the zones. Loopback and private space never are listed anyway.
own_networks = []              # for example ["192.0.2.0/24", "2001:db8:1::/48"]

policy_file = "policy.toml"
zones_dir = "zones"

# Older events are dropped, day by day; listings stay longer, with their evidence, changes, hits and what you did. What
# the policy can still need is kept in any case.
event_retention = "30d"
listing_retention = "400d"

dns_listen = ["127.0.0.1:5300"]
max_stale = "24h"              # data older than this is answered with SERVFAIL
web_listen = ["127.0.0.1:8053"]  # the page for blocked senders; put it behind the web server that has your certificate
trusted_proxies = ["127.0.0.1", "::1"]  # only these may say in X-Forwarded-For who asks
public_detail = "counts"       # what the page tells of a listing: "status" (its end), "reasons", "counts" (numbers too)
# console_listen = ["127.0.0.1:8054"]    # the operator's console; needs one of the two that follow
# console_token_file = "console.token"   # with the token that lets in: `openssl rand -hex 24`
# console_user_header = "X-Remote-User"  # set by a trusted proxy that knows who it is, and by it alone
# metrics_listen = ["127.0.0.1:9531"]  # for monitors, by HTTP: /metrics (Prometheus), /healthz, /readyz
# query_log = 0.01                     # this share of the hits is logged; 1.0 is all of them

# Tables come last. Who you are, on the page for blocked senders.
[operator]
name = "example.net"
# contact = "postmaster@example.net"   # for mistakes; a mail address, or the https:// URL of a form
# abuse = "abuse@example.net"          # for those who get unwanted mail from you
# language = "en"                      # for readers who want neither English nor French
# logo = "logo.svg"                    # svg, png or webp, 200 kB at most
# colour = "#0b5394"                   # of links on light ground
# colour_dark = "#8fbcf2"              # and on dark ground
# [operator.paragraphs]                # more of your own words, by language
# en = ["Our mailboxes are filtered by …"]
# fr = ["Nos boîtes sont filtrées par …"]
"""


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def parse_listen(text: str) -> tuple[str, int]:
    """Read `127.0.0.1:5300` or `[::1]:5300` as address and port; ValueError otherwise."""
    host, _, port = text.rpartition(":")
    address = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        if ip_address(address).version == 6 and address == host:
            raise ValueError
        number = int(port)
        if not 0 <= number <= 65535:
            raise ValueError
    except ValueError:
        raise ValueError(f"{text!r} is no address and port; write for example 127.0.0.1:5300 or [::1]:5300") from None
    return address, number


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


def _networks(value: object) -> object:
    words = _split(value)
    return [_network(word) for word in words] if isinstance(words, list) else words


def _network(text: object) -> object:
    if not isinstance(text, str):
        return text
    try:
        return Client.from_text(text)
    except ValueError as error:
        raise ValueError(f"{error}; write for example 192.0.2.0/24") from None


Networks = Annotated[tuple[Client, ...], NoDecode, BeforeValidator(_networks)]
MAX_LOGO = 200_000
LOGOS = {".svg": "image/svg+xml", ".png": "image/png", ".webp": "image/webp"}
GROUNDS = {"colour": "#faf9f6", "colour_dark": "#14171a"}
"""The ground that each of the operator's colours stands on."""


def contrast(one: str, other: str) -> float:
    """Give the contrast of two colours `#rrggbb`, 1 to 21 (WCAG 2.2, relative luminance)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    channels = [octet / 255 for octet in bytes.fromhex(colour[1:])]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _way_to_write(text: str) -> str:
    if not re.fullmatch(r"https://[!-~]+|[A-Za-z0-9._+=-]{1,63}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", text):
        raise ValueError(f"{text!r} is no mail address and no https:// URL")
    return text


Way = Annotated[str, AfterValidator(_way_to_write)]
Words100 = Annotated[str, Field(min_length=1, max_length=100)]


class Operator(Section):
    """Who runs the mail servers, as the page for blocked senders tells it."""

    name: Words100 | None = None
    contact: Way | None = None
    abuse: Way | None = None
    language: Literal["en", "fr"] = "en"
    logo: Path | None = None
    colour: str = "#0b5394"
    colour_dark: str = "#8fbcf2"
    paragraphs: dict[Literal["en", "fr"], tuple[Annotated[str, Field(min_length=1, max_length=2000)], ...]] = Field(
        default_factory=dict
    )

    @field_validator("colour", "colour_dark")
    @classmethod
    def _legible(cls, colour: str, info: ValidationInfo) -> str:
        if not re.fullmatch("#[0-9a-fA-F]{6}", colour):
            raise ValueError("write a colour as #rrggbb")
        ground = GROUNDS[str(info.field_name)]
        if contrast(colour, ground) < 4.5:
            raise ValueError(f"{colour} on {ground} cannot be read by everybody: a contrast of 4.5 is needed")
        return colour

    @field_validator("logo")
    @classmethod
    def _know_logo(cls, logo: Path | None) -> Path | None:
        if logo is None:
            return None
        if logo.suffix not in LOGOS:
            raise ValueError(f"{logo}: a logo is {', '.join(LOGOS)}")
        try:
            size = logo.stat().st_size
        except OSError as error:
            raise ValueError(f"{logo}: cannot be read: {error.strerror}") from None
        if size > MAX_LOGO:
            raise ValueError(f"{logo}: has {size:,} octets, at most {MAX_LOGO:,}")
        return logo


PATHS = ("state_dir", "policy_file", "zones_dir", "postgres_bin_dir", "hash_key_file", "console_token_file")


class Settings(BaseSettings):
    """Every key, with its type, default and bounds."""

    model_config = SettingsConfigDict(env_prefix=ENVIRONMENT, frozen=True, extra="forbid", validate_default=False)

    database_url: str = EMBEDDED
    postgres_bin_dir: Path | None = None
    state_dir: Path = Path("state")
    logs: Words = ()
    host: str = Field(default_factory=socket.gethostname, min_length=1)
    timezone: str | None = None
    own_networks: Networks = ()
    policy_file: Path | None = None
    zones_dir: Path | None = None
    dns_listen: Words = Field(default=("127.0.0.1:5300",), min_length=1)
    web_listen: Words = ("127.0.0.1:8053",)
    trusted_proxies: Networks = (Client.from_text("127.0.0.1"), Client.from_text("::1"))
    public_detail: Literal["status", "reasons", "counts"] = "counts"
    operator: Operator = Operator()
    console_listen: Words = ()
    console_token: SecretStr | None = None
    console_token_file: Path | None = None
    console_user_header: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}$")] | None = None
    metrics_listen: Words = ()
    query_log: Annotated[float, Field(ge=0, le=1)] = 0.0
    spamtrap_mx: Words = ()
    greylist_wait: Annotated[Duration, Field(ge=3600, le=30 * 86400)] = 86400
    hash_key_file: Path | None = None
    max_stale: Annotated[Duration, Field(ge=60)] = 86400
    event_retention: Annotated[Duration, Field(ge=86400, le=3660 * 86400)] = 30 * 86400
    listing_retention: Annotated[Duration, Field(ge=86400, le=3660 * 86400)] = 400 * 86400

    _file: Path | None = PrivateAttr(default=None)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment beat what `load` read from the file."""
        return env_settings, init_settings

    @field_validator("database_url")
    @classmethod
    def _know_url(cls, url: str) -> str:
        if url != EMBEDDED and not url.startswith(("postgresql://", "postgresql+psycopg://")):
            raise ValueError('write "embedded" or postgresql://user@host/name')
        return url

    @field_validator("timezone")
    @classmethod
    def _know_timezone(cls, name: str | None) -> str | None:
        try:
            return name and str(ZoneInfo(name))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"{name!r} is no time zone; write for example Europe/Paris") from None

    @field_validator("dns_listen", "web_listen", "console_listen", "metrics_listen")
    @classmethod
    def _know_addresses(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        for word in words:
            parse_listen(word)
        return words

    @field_validator("spamtrap_mx")
    @classmethod
    def _know_hosts(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        for word in words:
            if not re.fullmatch(r"[\w-]+(\.[\w-]+)*\.?", word, re.ASCII):
                raise ValueError(f"{word!r} is no host name; write for example mx1.example.net")
        return words

    @property
    def file(self) -> Path | None:
        """The file that these came from; None when there was none."""
        return self._file

    @property
    def log_timezone(self) -> tzinfo:
        """The time zone of log lines whose stamp names none."""
        if self.timezone:
            return ZoneInfo(self.timezone)
        return _local_timezone()


def _local_timezone() -> tzinfo:
    """Give the machine's time zone with its rules, not only today's offset (`/etc/localtime`, else UTC)."""
    name = os.environ.get("TZ", "").lstrip(":")
    try:
        if name:
            return ZoneInfo(name)
        with Path("/etc/localtime").open("rb") as file:
            return ZoneInfo.from_file(file, "localtime")
    except (OSError, ValueError, ZoneInfoNotFoundError):
        return UTC


def load(path: Path | None = None, prefix: str = ENVIRONMENT) -> Settings:
    """Read the configuration; ConfigError names the file and line (or the variable), the key and the value wanted.

    `prefix` begins the names of the variables that beat the file.
    """
    file = path or next((there for there in (SYSTEM, Path(NAME)) if there.is_file()), None)
    text = read_text(file) if file else ""
    values = _read(text, file) if file else {}
    try:
        settings = Settings(_env_prefix=prefix, **values)  # type: ignore[call-arg]
    except ValidationError as error:
        _, key = faulty(error)
        variable = prefix + str(key[0]).upper()
        if variable in os.environ:
            raise config_error(error, f"${variable}") from None
        raise config_error(error, str(file), text) from None
    settings._file = file
    return settings


def _read(text: str, file: Path) -> dict[str, Any]:
    values = _parse(text, str(file))
    for key in PATHS:
        if isinstance(values.get(key), str):
            values[key] = file.parent / values[key]
    operator = values.get("operator")
    if isinstance(operator, dict) and isinstance(operator.get("logo"), str):
        operator["logo"] = file.parent / operator["logo"]
    if isinstance(values.get("logs"), list):
        values["logs"] = [str(file.parent / str(log)) for log in values["logs"]]
    return values


def _parse(text: str, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(source, "", f"not valid TOML: {error}") from None


def read_text(file: Path) -> str:
    """Read a configuration file; ConfigError says why it cannot be read."""
    try:
        return file.read_text("utf-8")
    except OSError as error:
        raise ConfigError(str(file), "", f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(str(file), "", "is not UTF-8 text") from None


def load_hash_key(settings: Settings) -> bytes | None:
    """Give the key in `hash_key_file`, 16 to 64 octets without the end of its line; None when none is configured."""
    if settings.hash_key_file is None:
        return None
    source = str(settings.hash_key_file)
    try:
        key = settings.hash_key_file.read_bytes().rstrip(b"\r\n")
    except OSError as error:
        raise ConfigError(source, "", f"cannot be read: {error.strerror}") from None
    if not 16 <= len(key) <= 64:
        raise ConfigError(source, "", f"a key has 16 to 64 octets, and this has {len(key)}: `openssl rand -hex 32`")
    return key


MIN_TOKEN = 24
"""Characters of a token that nobody guesses."""


def load_console_token(settings: Settings) -> str | None:
    """Give the token that lets into the console; None when none is configured.

    ConfigError when it can be guessed, or when the console is to listen and nothing says who may come in.
    """
    token, source, key = None, str(settings.file or ENVIRONMENT), "console_token"
    if settings.console_token is not None:
        token = settings.console_token.get_secret_value()
    elif settings.console_token_file is not None:
        token, source, key = read_text(settings.console_token_file).strip(), str(settings.console_token_file), ""
    if token is not None and (len(token) < MIN_TOKEN or not (token.isascii() and token.isprintable())):
        raise ConfigError(source, key, f"a token is at least {MIN_TOKEN} ASCII characters: `openssl rand -hex 24`")
    if settings.console_listen and token is None and not (settings.console_user_header and settings.trusted_proxies):
        raise ConfigError(
            source, "console_listen", "needs console_token_file, or console_user_header and trusted_proxies"
        )
    return token
