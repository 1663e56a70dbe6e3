"""A database in, PostgreSQL's own programs run on it out: pg_dump, pg_restore, psql, of the server's version.

A password never stands on a command line, where `ps` would show it.
"""

import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import sqlalchemy as sa
from psycopg.conninfo import make_conninfo

from repzone.errors import RepzoneError
from repzone.store.binaries import candidates, last_line
from repzone.store.engine import answering

_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")
ASIDE = "repzone_before_restore"


def dump(engine: sa.Engine, bin_dir: Path | None, file: Path | None) -> None:
    """Write everything to a file, which is there whole or not at all; None is standard output.

    It is pg_dump's custom format. RepzoneError carries its own last words, or says what to install.
    """
    options = ["--format=custom", "--no-owner", "--no-privileges"]
    if file is None:
        _run(engine, bin_dir, "pg_dump", options)
        return
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)  # mode 0600: who mails whom
    except OSError as error:
        raise RepzoneError(f"{file}: cannot be written: {error.strerror}") from None
    os.close(descriptor)
    try:
        _run(engine, bin_dir, "pg_dump", [*options, f"--file={name}"])
        os.replace(name, file)
    except OSError as error:
        raise RepzoneError(f"{file}: cannot be written: {error.strerror}") from None
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name)


def restore(engine: sa.Engine, bin_dir: Path | None, file: Path, *, replace: bool) -> None:
    """Read a dump into a database that has no tables; with `replace` into one that has, which then are gone.

    RepzoneError when it has tables, or when others use it; what was there is there again when the dump is no good.
    """
    if not file.is_file():
        raise RepzoneError(f"{file}: there is no such file")
    recover(engine)
    with answering(), engine.connect() as connection:
        _be_alone(connection)
        tables = int(connection.scalar(_TABLES) or 0)
    if tables and not replace:
        raise RepzoneError(f"the database is not empty, it has {tables} tables: --yes replaces them")
    options = ["--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction", str(file)]
    if not tables:
        _run(engine, bin_dir, "pg_restore", options)
        return
    _do(engine, f"ALTER SCHEMA public RENAME TO {ASIDE}", "CREATE SCHEMA public")
    try:
        _run(engine, bin_dir, "pg_restore", options)
    except BaseException:
        _do(engine, "DROP SCHEMA public CASCADE", f"ALTER SCHEMA {ASIDE} RENAME TO public")
        raise
    _do(engine, f"DROP SCHEMA {ASIDE} CASCADE")


def recover(engine: sa.Engine) -> None:
    """Bring back the tables that a restore which was killed has put aside.

    RepzoneError when there are others by now: of the dump, or made anew.
    """
    with answering(), engine.connect() as connection:
        if connection.scalar(_ASIDE) is None:
            return
        _be_alone(connection)
        tables = int(connection.scalar(_TABLES) or 0)
    if tables:
        raise RepzoneError(
            f"a restore was killed: the schema public has tables, and {ASIDE} those from before it; "
            f"to keep the former: repzone db shell -- -c 'DROP SCHEMA {ASIDE} CASCADE'"
        )
    _do(engine, "DROP SCHEMA public CASCADE", f"ALTER SCHEMA {ASIDE} RENAME TO public")


def _be_alone(connection: sa.Connection) -> None:
    others = int(connection.scalar(_OTHERS) or 0)
    if others:
        raise RepzoneError(f"{others} others use the database: stop them first (repzone run, serve, ingest)")


def shell(engine: sa.Engine, bin_dir: Path | None, arguments: Sequence[str]) -> int:
    """Let the operator talk to the database by psql; give its exit code."""
    command, environment = _command(engine, bin_dir, "psql")
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is psql's, which sets its own handler
    try:
        return subprocess.call([*command, *arguments], env=environment)
    finally:
        signal.signal(signal.SIGINT, before)


def _do(engine: sa.Engine, *statements: str) -> None:
    """Do statements in one transaction; RepzoneError when this role must not."""
    try:
        with answering(), engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
    except sa.exc.ProgrammingError as error:
        raise RepzoneError(f"the database refuses: {str(error.orig).partition(chr(10))[0]}") from None


def _run(engine: sa.Engine, bin_dir: Path | None, name: str, options: Sequence[str]) -> None:
    command, environment = _command(engine, bin_dir, name)
    done = subprocess.run(
        [*command, *options], env=environment, stderr=subprocess.PIPE, text=True, errors="replace", check=False
    )
    if done.returncode:
        raise RepzoneError(last_line(done.stderr) or f"{name}: exit code {done.returncode}")


def _command(engine: sa.Engine, bin_dir: Path | None, name: str) -> tuple[list[str], dict[str, str]]:
    """Give how to run a program on this database: its command so far, and its environment."""
    with answering(), engine.connect() as connection:
        number = connection.exec_driver_sql("SELECT current_setting('server_version_num')::int").scalar_one()
    parts = engine.url.translate_connect_args(username="user", database="dbname")
    password = parts.pop("password", None)
    environment = {**os.environ, **({"PGPASSWORD": password} if password else {})}
    database = make_conninfo("", **{**parts, **engine.url.query, "application_name": name})
    return [str(find_program(name, bin_dir, number // 10000)), f"--dbname={database}"], environment


def find_program(name: str, bin_dir: Path | None, major: int) -> Path:
    """Find a program of a major version, where the server's are searched for (`binaries`); else say what to install."""
    for folder in [bin_dir] if bin_dir else candidates((name,)):
        program = folder / name
        with suppress(OSError, subprocess.SubprocessError):
            said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30, check=False)
            match = _VERSION.search(said.stdout)
            if match and int(match[1]) == major:
                return program
    where = f"{bin_dir} has no" if bin_dir else "there is no"
    raise RepzoneError(
        f"{where} {name} of the server's version {major}: apt-get install postgresql-client-{major}, "
        "or set postgres_bin_dir to a folder that has it"
    )


_OTHERS = sa.text("""
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'""")

_ASIDE = sa.text(f"SELECT to_regnamespace('{ASIDE}')")

_TABLES = sa.text("""
SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm') AND relnamespace = 'public'::regnamespace""")
