from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run, documents

CSV = "provider,model,input_usd_per_mtok,output_usd_per_mtok\nopenai,gpt-6-luna,0.2,1\nacme,m,0.30,\n"

LITELLM = json.dumps(
    {
        "sample_spec": {"litellm_provider": "…"},
        "gpt-6-luna": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 3e-07},
        "groq/llama": {"litellm_provider": "groq", "mode": "chat", "input_cost_per_token": 1e-07},
        "azure/gpt-6-luna": {"litellm_provider": "azure", "mode": "chat", "input_cost_per_token": 3e-07},
    }
)


def listed(run: Run, *arguments: str) -> list[dict[str, object]]:
    return documents(run("prices", "list", *arguments, "--json"))


def test_a_list_is_tried_imported_and_imported_again(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "ours.csv"
    file.write_text(CSV)
    tried = run("prices", "import", file, "--dry-run")
    assert "acme/m" in tried.stdout
    assert "2 prices would be added, 0 unchanged" in tried.stderr
    assert listed(run, "acme") == []
    (done,) = documents(run("prices", "import", file, "--json"))
    assert [(row["provider"], row["source"]) for row in done["added"]] == [
        ("acme", "ours.csv"),
        ("openai", "ours.csv"),
    ]
    assert (done["unchanged"], done["skipped"], done["dry_run"]) == (0, [], False)
    luna = next(row for row in listed(run, "openai/gpt-6-luna") if row["source"] == "ours.csv")
    assert (luna["input_usd_per_mtok"], luna["cache_read_usd_per_mtok"]) == (0.2, None)
    assert "0 prices added, 2 unchanged" in run("prices", "import", file).stderr


def test_the_book_as_csv_imports_from_stdin_without_a_change(run: Run) -> None:
    book = run("prices", "list", "--all", "--csv").stdout
    assert "local,*,-infinity," in book
    (done,) = documents(run("prices", "import", "-", "--json", stdin=book))
    assert (done["added"], done["unchanged"]) == ([], book.count("\n") - 1)


def test_a_price_holds_from_the_date_given(run: Run) -> None:
    run("prices", "import", "-", "--valid-from", "2030-01-01", stdin=CSV)
    assert listed(run, "acme") == []
    (row,) = listed(run, "acme", "--all")
    assert row["valid_from"] == "2030-01-01T00:00:00+00:00"


def test_of_a_vendor_neutral_list_only_providers_at_hand_are_taken(run: Run, tmp_path: Path) -> None:
    (done,) = documents(run("prices", "import", "-", "--json", stdin=LITELLM))
    assert [row["provider"] for row in done["added"]] == ["openai"]
    assert done["skipped"][0] == "sample_spec: describes the fields"
    assert done["skipped"][1].startswith("2 prices of providers neither configured nor in the book (")
    # Still one provider for the model's bare name.
    assert run("enqueue", "hello", "--model", "gpt-6-luna").exit_code == 0
    (tmp_path / "llmreq.toml").write_text(
        '[providers.groq]\napi = "openai"\nbase_url = "http://127.0.0.1:9/v1"\napi_key_env = "GROQ_KEY"\n'
    )
    (done,) = documents(run("prices", "import", "-", "--json", stdin=LITELLM))
    assert [row["provider"] for row in done["added"]] == ["groq"]
    (done,) = documents(run("prices", "import", "-", "--provider", "azure", "--json", stdin=LITELLM))
    assert [row["provider"] for row in done["added"]] == ["azure"]
    assert done["skipped"] == []


def test_what_a_list_leaves_out_is_said_but_not_at_length(run: Run) -> None:
    free = {f"m{number}": {"litellm_provider": "openai", "input_cost_per_token": 0} for number in range(30)}
    said = run("prices", "import", "-", stdin=json.dumps(free)).stderr
    assert "skipped: openai/m0: a price of 0 is taken as unknown (input)" in said
    assert said.count("skipped: openai/") == 20
    assert "skipped: and 10 more, which --json lists" in said


@pytest.mark.parametrize(
    ("content", "arguments", "says"),
    [
        ("hello", [], "stdin: no price list: write a CSV"),
        ("provider,model,price\n", [], "stdin: line 1: 'price' is no column of a price"),
        (
            "provider,model,input_usd_per_mtok\na,b,-1\n",
            [],
            "stdin: line 2: input_usd_per_mtok: a price must be 0 or more",
        ),
        (CSV, ["--provider", "groq"], "stdin has no price of groq, only of acme, openai"),
        (CSV, ["--valid-from", "soon"], "soon"),
        (
            CSV,
            ["--valid-from", "2025-01-01"],
            "1 of the prices have another version from the same moment in the book",
        ),
    ],
)
def test_a_wrong_list_is_one_clear_line(run: Run, content: str, arguments: list[str], says: str) -> None:
    result = run("prices", "import", "-", *arguments, stdin=content)
    assert result.exit_code in (1, 2)
    assert says in result.stderr
    assert listed(run, "acme", "--all") == []


def test_bytes_that_are_no_text_are_refused(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "prices.csv"
    file.write_bytes(b"provider,model\nopenai,\xff\n")
    assert "prices.csv is not UTF-8: invalid start byte at byte 22" in run("prices", "import", file).stderr


def test_csv_and_json_at_once_is_wrong_usage(run: Run) -> None:
    assert run("prices", "list", "--csv", "--json").exit_code == 2
