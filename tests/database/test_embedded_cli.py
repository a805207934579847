"""`llmreq pg`, as a person runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from llmreq.cli.pg import psql_argv
from llmreq.settings import Settings


def _pg(home: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from llmreq.cli.pg import pg; pg()", *arguments],
        cwd=Path(__file__).parents[2],
        env={"PATH": os.environ["PATH"], "LLMREQ_DATA_DIR": str(home), **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def test_its_life_from_the_command_line(home: Path) -> None:
    down = _pg(home, "status", "--json")
    assert (down.returncode, json.loads(down.stdout)["running"]) == (1, False)

    started = _pg(home, "start")
    assert (started.returncode, started.stderr) == (0, "")
    assert _pg(home, "url").stdout == started.stdout

    up = json.loads(_pg(home, "status", "--json").stdout)
    assert (up["running"], up["url"]) == (True, started.stdout.strip())
    assert Path(up["data_folder"]).is_dir()
    assert "running      yes" in _pg(home, "status").stdout

    asked = _pg(home, "psql", "-Atc", "SELECT current_database() || current_user")
    assert (asked.stdout, asked.returncode) == ("llmreqpostgres\n", 0)

    assert _pg(home, "stop").stdout == "stopped\n"
    assert _pg(home, "stop").stdout == "it was not running\n"


def test_psql_goes_to_the_given_database_and_its_exit_code_comes_back(
    home: Path, empty_database: str
) -> None:
    asked = _pg(home, "psql", "-Atc", "SELECT current_database()", LLMREQ_DATABASE_URL=empty_database)
    assert f"/{asked.stdout.strip()}?" in empty_database
    assert _pg(home, "psql", "-c", "nonsense", LLMREQ_DATABASE_URL=empty_database).returncode == 1
    assert not (home / "postgres").exists()


def test_a_password_stands_on_no_command_line() -> None:
    argv, password = psql_argv(Settings(database_url="postgresql://me:p%40ss@h:1/d"))
    assert password == "p@ss"
    assert "p@ss" not in " ".join(argv)
    assert argv[1:] == ["user=me dbname=d host=h port=1"]
