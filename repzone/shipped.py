"""Name of a folder that ships with repzone in (`migrations`, `zones`, `demo`), its path out.

In an installed wheel they lie inside the package, in a checkout beside it.
"""

from pathlib import Path

from repzone.errors import RepzoneError

_PACKAGE = Path(__file__).parent
_CHECKOUT = {"migrations": "migrations", "zones": "zones", "demo": "ops/demo"}


def folder(name: str) -> Path:
    """Give the folder; RepzoneError when the installation is incomplete."""
    for path in (_PACKAGE / "_data" / name, _PACKAGE.parent / _CHECKOUT[name]):
        if path.is_dir():
            return path
    raise RepzoneError(f"{_PACKAGE}: the installation is incomplete, it lacks {name}/; install repzone again")


def newest_revision(scripts: Path | None = None) -> str:
    """Give the revision that the migrations, ours or those in a folder, bring the tables to: no need of Alembic."""
    files = ((scripts or folder("migrations")) / "versions").glob("[0-9]*.py")
    return max(file.name.partition("_")[0] for file in files)  # they are numbered, 0001 first
