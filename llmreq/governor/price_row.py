"""One version of one price, and what a price list is once it is read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from llmreq.limits import LABEL_BYTES, MAX_SOURCE_BYTES, MAX_USD_DECIMALS, MAX_USD_PER_MTOK

BUCKETS = (
    "input_usd_per_mtok",
    "cache_read_usd_per_mtok",
    "cache_write_5m_usd_per_mtok",
    "cache_write_1h_usd_per_mtok",
    "output_usd_per_mtok",
)
"""The columns that hold dollars per million tokens; a token is in exactly one of them."""

COLUMNS = (
    *("provider", "model", "valid_from", "min_prompt_tokens", "service_tier", "batch"),
    *BUCKETS,
    "source",
)
"""The columns of `llm_prices` that a price list may name."""

TIERS = ("standard", "flex", "priority")

EVER = datetime.min.replace(tzinfo=UTC)
"""Stands for Postgres' `-infinity`, which no datetime can hold: in force since ever."""

_MAX_TOKENS = 2**63 - 1


@dataclass(frozen=True, slots=True)
class PriceRow:
    """A row of `llm_prices`: dollars per million tokens, None for unknown. Raises ValueError for what is no price.

    `valid_from` None is the moment of the import; a row holds for whole prompts of `min_prompt_tokens` on.
    """

    provider: str
    model: str
    valid_from: datetime | None = None
    min_prompt_tokens: int = 0
    service_tier: str = "standard"
    batch: bool = False
    input_usd_per_mtok: Decimal | None = None
    cache_read_usd_per_mtok: Decimal | None = None
    cache_write_5m_usd_per_mtok: Decimal | None = None
    cache_write_1h_usd_per_mtok: Decimal | None = None
    output_usd_per_mtok: Decimal | None = None
    source: str = ""

    def __post_init__(self) -> None:
        if not self.provider or not self.model or "/" in self.provider:
            raise ValueError(f"{self.lane!r} is no lane: a price needs a provider (without /) and a model")
        for text, most_bytes in (
            (self.provider, LABEL_BYTES["provider"]),
            (self.model, LABEL_BYTES["model"]),
            (self.source, MAX_SOURCE_BYTES),
        ):
            if len(text.encode("utf-8", "surrogatepass")) > most_bytes or not text.isprintable():
                raise ValueError(f"{text[:60]!r} is too long or holds characters that cannot be printed")
        if self.service_tier not in TIERS:
            raise ValueError(f"service_tier must be one of {', '.join(TIERS)}, not {self.service_tier!r}")
        if not 0 <= self.min_prompt_tokens <= _MAX_TOKENS:
            raise ValueError("min_prompt_tokens must be 0 or more, and below 2^63")
        for name, price in zip(BUCKETS, self.prices, strict=True):
            if price is not None:
                _check_dollars(name, price)

    @property
    def lane(self) -> str:
        """`provider/model`."""
        return f"{self.provider}/{self.model}"

    @property
    def prices(self) -> tuple[Decimal | None, ...]:
        """The dollars, in the order of BUCKETS."""
        return tuple(getattr(self, name) for name in BUCKETS)

    @property
    def key(self) -> tuple[str, str, datetime | None, int, str, bool]:
        """What no two rows of the price book share."""
        return (
            self.provider,
            self.model,
            self.valid_from,
            self.min_prompt_tokens,
            self.service_tier,
            self.batch,
        )

    @property
    def known(self) -> bool:
        """Whether at least one bucket has a price."""
        return any(price is not None for price in self.prices)


@dataclass(frozen=True, slots=True)
class PriceFile:
    """A price list as rows, and a line for everything in it that became none (each begins with what it is about).

    A partial list says nothing of the buckets it leaves out; in a whole one they are unknown.
    """

    rows: tuple[PriceRow, ...]
    skipped: tuple[str, ...] = ()
    partial: bool = False


def _check_dollars(name: str, price: Decimal) -> None:
    if not price.is_finite() or price < 0 or price > MAX_USD_PER_MTOK:
        raise ValueError(
            f"{name} must be from 0 to {MAX_USD_PER_MTOK} dollars per million tokens, not {price}"
        )
    exponent = price.as_tuple().exponent
    if isinstance(exponent, int) and -exponent > MAX_USD_DECIMALS:
        raise ValueError(f"{name} has more than {MAX_USD_DECIMALS} decimals")


def without_repeats(
    placed: Iterable[tuple[str, PriceRow]], *, strict: bool
) -> tuple[list[PriceRow], list[str]]:
    """Each version once, and a line for each repeat. `placed` holds where a row stands, and the row.

    Two prices for one version: ValueError when strict, else the first is kept.
    """
    first: dict[tuple[object, ...], tuple[str, PriceRow]] = {}
    repeats = []
    for where, row in placed:
        before, kept = first.setdefault(row.key, (where, row))
        if kept is row:
            continue
        if kept.prices != row.prices and strict:
            raise ValueError(f"{where}: {row.lane} has another price in {before}, from the same moment")
        same = "the same" if kept.prices == row.prices else "another"
        repeats.append(f"{row.lane}: {where} has {same} price as {before}, which is kept")
    return [row for _, row in first.values()], repeats


def unknown_long_prices(rows: Iterable[PriceRow]) -> list[PriceRow]:
    """Rows without a price for one model's tiers that name none for long prompts where the standard tier does.

    They keep the tier's short price from applying to long prompts.
    """
    rows = list(rows)
    there = {(row.service_tier, row.batch, row.min_prompt_tokens): row for row in rows}
    thresholds = sorted(
        tokens for tier, batch, tokens in there if tokens and (tier, batch) == ("standard", False)
    )
    return [
        PriceRow(row.provider, row.model, row.valid_from, tokens, tier, batch, source=row.source)
        for (tier, batch, start), row in there.items()
        for tokens in thresholds
        if start == 0 and (tier, batch, tokens) not in there
    ]
