"""A price list meets the book: versions are added where they differ, and none is ever edited."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmreq.errors import InvalidRequestError
from llmreq.governor.price_files import PriceFile, PriceRow, from_csv, write_csv
from llmreq.governor.prices import import_prices, list_prices, price_rows
from tests.worker.fleet import until

JANUARY = datetime(2027, 1, 1, tzinfo=UTC)
ROW = PriceRow(
    "acme", "m", JANUARY, input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(2), source="list"
)
DEARER = replace(ROW, input_usd_per_mtok=Decimal(3))
Book = psycopg.Connection[Any]


@pytest.fixture
def book(database: str) -> Iterator[Book]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def add(book: Book, *rows: PriceRow, dry_run: bool = False) -> tuple[list[PriceRow], int]:
    imported = import_prices(book, PriceFile(rows), dry_run=dry_run)
    return list(imported.added), imported.unchanged


def acme(book: Book) -> list[PriceRow]:
    return price_rows(list_prices(book, "acme", all_versions=True))


def later(row: PriceRow, days: int) -> PriceRow:
    return replace(row, valid_from=JANUARY + timedelta(days=days))


def test_the_whole_book_listed_and_imported_again_changes_nothing(book: Book) -> None:
    listed = price_rows(list_prices(book, all_versions=True))
    again = from_csv(write_csv(listed), name="book.csv", valid_from=None)
    assert list(again.rows) == listed
    assert import_prices(book, again, dry_run=False).unchanged == len(listed)


def test_a_listed_book_fills_an_empty_one(book: Book) -> None:
    listed = tuple(price_rows(list_prices(book, all_versions=True)))
    in_force = price_rows(list_prices(book))
    book.execute("TRUNCATE llm_prices CASCADE")
    import_prices(book, PriceFile(listed), dry_run=False)
    # A version that repeats the one before it says nothing new and is left out.
    assert set(price_rows(list_prices(book, all_versions=True))) <= set(listed)
    assert [(row.key[0:2], row.prices) for row in price_rows(list_prices(book))] == [
        (row.key[0:2], row.prices) for row in in_force
    ]
    assert import_prices(book, PriceFile(listed), dry_run=False).unchanged == len(listed)


@pytest.mark.parametrize(
    ("given", "added"),
    [
        ([later(ROW, 5)], []),
        ([replace(later(ROW, 5), source="another")], []),
        ([later(DEARER, 5)], [later(DEARER, 5)]),
        ([later(DEARER, -5)], [later(DEARER, -5)]),
        ([later(replace(ROW, output_usd_per_mtok=None), 5)], [later(replace(ROW, output_usd_per_mtok=None), 5)]),
        ([later(DEARER, 5), later(DEARER, 9)], [later(DEARER, 5)]),
        ([later(DEARER, 5), later(ROW, 9)], [later(DEARER, 5), later(ROW, 9)]),
        ([later(ROW, 9), later(DEARER, 5)], [later(DEARER, 5), later(ROW, 9)]),
        ([replace(ROW, batch=True)], [replace(ROW, batch=True)]),
        ([replace(ROW, service_tier="flex")], [replace(ROW, service_tier="flex")]),
        ([replace(ROW, min_prompt_tokens=200_001)], [replace(ROW, min_prompt_tokens=200_001)]),
        ([replace(ROW, provider="other")], [replace(ROW, provider="other")]),
        ([], []),
    ],
)  # fmt: skip
def test_a_version_is_added_where_it_differs_from_the_one_in_force(
    book: Book, given: list[PriceRow], added: list[PriceRow]
) -> None:
    add(book, ROW)
    assert add(book, *given, dry_run=True) == (added, len(given) - len(added))
    assert acme(book) == [ROW]
    assert add(book, *given) == (added, len(given) - len(added))
    assert add(book, *given) == ([], len(given))
    assert ROW in acme(book)


@pytest.mark.parametrize(
    ("given", "added", "remarks"),
    [
        # Says nothing new: what it leaves out is no news.
        (replace(ROW, output_usd_per_mtok=None), False, []),
        (replace(ROW, input_usd_per_mtok=None, output_usd_per_mtok=None), False, []),
        (replace(ROW, cache_read_usd_per_mtok=Decimal("0.1")), True, []),
        (DEARER, True, []),
        # A changed price: what else was known may have changed with it.
        (
            replace(DEARER, output_usd_per_mtok=None),
            True,
            ["acme/m (standard, from 0 tokens): not in the list, so no longer known: output"],
        ),
        (replace(ROW, model="new", output_usd_per_mtok=None), True, []),
        (replace(ROW, model="new", input_usd_per_mtok=None, output_usd_per_mtok=None), True, []),
    ],
)
def test_what_a_partial_list_leaves_out_is_no_news(
    book: Book, given: PriceRow, added: bool, remarks: list[str]
) -> None:
    add(book, ROW)
    imported = import_prices(book, PriceFile((later(given, 5),), partial=True), dry_run=False)
    assert imported.added == ((later(given, 5),) if added else ())
    assert list(imported.skipped) == remarks


def test_a_price_from_the_same_moment_is_never_edited_and_nothing_else_is_added(book: Book) -> None:
    add(book, ROW)
    with pytest.raises(
        InvalidRequestError, match=r"1 of the prices .* acme/m from 2027-01-01 .* later valid_from"
    ):
        add(book, DEARER, replace(ROW, model="new"))
    assert acme(book) == [ROW]


def test_a_price_without_a_date_holds_from_the_moment_of_the_import_by_the_database_s_clock(
    book: Book,
) -> None:
    book.execute("SELECT set_config('llmreq.now', '2027-03-01 12:00:00+00', false)")
    undated = [replace(ROW, valid_from=None, min_prompt_tokens=tokens) for tokens in range(50)]
    added, _ = add(book, *undated)
    assert {row.valid_from for row in added} == {datetime(2027, 3, 1, 12, tzinfo=UTC)}
    assert add(book, *undated) == ([], 50)


def test_undated_prices_of_one_list_begin_at_one_moment(book: Book) -> None:
    added, _ = add(book, *(replace(ROW, valid_from=None, min_prompt_tokens=tokens) for tokens in range(200)))
    assert len({row.valid_from for row in added}) == 1


def test_the_second_of_two_imports_at_once_is_told_to_come_again(book: Book, database: str) -> None:
    with ThreadPoolExecutor(1) as pool, psycopg.connect(database) as first:
        first.execute("SELECT 1")  # its transaction begins here, and the import only joins it
        add(first, ROW)
        second = pool.submit(add, book, DEARER)
        until("a lock", lambda: first.execute("SELECT FROM pg_locks WHERE NOT granted").fetchall())
        first.commit()
        with pytest.raises(InvalidRequestError, match="changed at the same moment: import once more"):
            second.result()
    assert acme(book) == [ROW]


_VERSIONS = st.lists(
    st.builds(
        lambda day, price, model: replace(later(ROW, day), model=model, input_usd_per_mtok=price),
        st.integers(0, 5),
        st.none() | st.sampled_from([Decimal(1), Decimal("1.50")]),
        st.sampled_from("ab"),
    ),
    unique_by=lambda row: row.key,
    max_size=8,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(there=_VERSIONS, given_rows=_VERSIONS)
def test_after_an_import_every_price_of_the_list_is_in_force_at_its_moment(
    book: Book, there: list[PriceRow], given_rows: list[PriceRow]
) -> None:
    with book.transaction(force_rollback=True):
        add(book, *there)
        before = acme(book)
        fixed = {row.key: row.prices for row in before}
        conflict = any(fixed.get(row.key, row.prices) != row.prices for row in given_rows)
        if conflict:
            with pytest.raises(InvalidRequestError), book.transaction():
                add(book, *given_rows)
            assert acme(book) == before
            return
        add(book, *given_rows)
        after = acme(book)
        assert set(before) <= set(after)
        for row in given_rows:
            assert row.valid_from is not None
            in_force = max(
                (each for each in after if each.model == row.model and each.valid_from <= row.valid_from),
                key=lambda each: each.valid_from,
            )
            assert in_force.prices == row.prices
