"""Turns the newest figures into the table and the plot of docs/benchmarks.md."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"
BEGIN, END = "<!-- figures: written by bin/bench report -->", "<!-- end of figures -->"

Figures = dict[str, Any]
Row = tuple[str, str, str, Callable[[Figures], str], Callable[[Figures], float]]

# What is measured, in which run, the goal, the figure as text, and the figure as a share of the goal (1 is reached).
ROWS: list[Row] = [
    ("worker CPU per call ÷ a bare aiohttp loop", "overhead", "≤ 1.0", lambda f: f"{f['cpu_ratio']:.2f}", lambda f: 1 / f["cpu_ratio"]),
    ("calls/s of one process (2,560 possible)", "overhead", "≥ 2,400",
     lambda f: f"{f['calls_per_second']:,.0f} (bare loop {f['bare_calls_per_second']:,.0f})", lambda f: f["calls_per_second"] / 2400),
    ("rows/s through claim + finish ÷ a hand-written loop, batches of 50", "settle", "≥ 0.8",
     lambda f: f"{f['ratio_50']:.2f} ({f['rows_per_second_50']:,.0f}/s)", lambda f: f["ratio_50"] / 0.8),
    ("the same, batches of 200", "settle", "≥ 0.8",
     lambda f: f"{f['ratio_200']:.2f} ({f['rows_per_second_200']:,.0f}/s)", lambda f: f["ratio_200"] / 0.8),
    ("INSERT → provider, by polls, p50 / p95", "latency", "≤ 60 / 110 ms",
     lambda f: f"{f['poll_p50_ms']:.0f} / {f['poll_p95_ms']:.0f} ms", lambda f: min(60 / f["poll_p50_ms"], 110 / f["poll_p95_ms"])),
    ("INSERT → provider, by the doorbell, p50", "latency", "≤ 5 ms",
     lambda f: f"{f['doorbell_p50_ms']:.1f} ms", lambda f: 5 / f["doorbell_p50_ms"]),
    ("calls in flight in one process", "inflight", "10,000, memory flat",
     lambda f: f"{f['in_flight']:,} at {f['kb_per_call']:.0f} KB each", lambda f: f["in_flight"] / 10_000),
    ("buffers per claimed row: long backlog ÷ small queue", "backlog", "± 20 %", lambda f: f"{f['backlog_ratio']:.2f}",
     lambda f: 1.2 / max(1.2, f["backlog_ratio"])),
    ("… delayed rows", "backlog", "± 20 %", lambda f: f"{f['delayed_ratio']:.2f}", lambda f: 1.2 / max(1.2, f["delayed_ratio"])),
    ("… 10,000 tenants", "backlog", "± 20 %", lambda f: f"{f['tenants_ratio']:.2f}", lambda f: 1.2 / max(1.2, f["tenants_ratio"])),
    ("… a blocked lane with 90 % of the rows", "backlog", "± 20 %", lambda f: f"{f['blocked_ratio']:.2f}",
     lambda f: 1.2 / max(1.2, f["blocked_ratio"])),
    ("… an old snapshot after heavy churn", "backlog", "± 20 %", lambda f: f"{f['pinned_ratio']:.2f}",
     lambda f: 1.2 / max(1.2, f["pinned_ratio"])),
    ("draining under an old snapshot ÷ without (last 10,000)", "snapshot", "≥ 0.95",
     lambda f: f"{f['held_last_to_control_last']:.2f}", lambda f: f["held_last_to_control_last"] / 0.95),
    ("use of 6,000 requests/min, 8 workers", "limits", "≥ 98 %", lambda f: f"{f['requests_used']:.2%}",
     lambda f: f["requests_used"] / 0.98),
    ("use of 600,000 tokens/min, mixed sizes", "limits", "≥ 98 %", lambda f: f"{f['tokens_used']:.2%}",
     lambda f: f["tokens_used"] / 0.98),
    ("calls the provider refused", "limits", "< 0.1 %", lambda f: f"{f['refused']:.3%}", lambda f: 1.0 if f["refused"] < 0.001 else 0.5),
    ("idle worker, share of a core", "idle", "< 1 %", lambda f: f"{f['worker_share_of_core']:.2%}",
     lambda f: 0.01 / max(0.01, f["worker_share_of_core"])),
    ("idle poll in Postgres", "idle", "< 1 ms", lambda f: f"{f['poll_ms']:.2f} ms, {f['poll_buffers']:.0f} buffers",
     lambda f: 1 / max(1, f["poll_ms"])),
    ("p95 wait of small tenants behind 100,000 rows ÷ in an empty queue", "fairness", "≤ 3", lambda f: f"{f['wait_ratio']:.2f}",
     lambda f: 3 / max(3, f["wait_ratio"])),
    ("throughput beside a blocked lane ÷ without it", "fairness", "≥ 0.95", lambda f: f"{f['throughput_ratio']:.2f}",
     lambda f: f["throughput_ratio"] / 0.95),
    ("used of a $1 budget, 1,024 calls possible at a time", "budget", "≥ 95 %, never above",
     lambda f: f"{f['used_of_one_dollar']:.2%}, at most ${f['most_ever_spent']:.4f} in {f['samples']:,} looks",
     lambda f: 0.5 if f["most_ever_spent"] > 1 else f["used_of_one_dollar"] / 0.95),
    ("our bill − the provider's own, failures and cached tokens included", "bill", "$0",
     lambda f: f"${float(f['difference_usd']):g} of ${f['our_bill_usd']}", lambda f: 1.0 if float(f["difference_usd"]) == 0 else 0.5),
    ("llmreq token-usage over 5 million calls", "usage", "< 1 s", lambda f: f"{f['command_seconds']:.2f} s",
     lambda f: 1 / max(1, f["command_seconds"])),
    ("a document's finished pages called again after kill -9 half-way", "documents", "0",
     lambda f: f"{f['killed_of_them_called_again']} of {f['killed_finished_before_the_kill']}",
     lambda f: 1.0 if f["killed_of_them_called_again"] == 0 else 0.5),
    ("enqueue_many of 100,000 rows ÷ a raw COPY of the same bytes", "enqueue", "≥ 0.5",
     lambda f: f"{f['share_of_raw_copy']:.2f} ({f['rows_per_second']:,.0f}/s)", lambda f: f["share_of_raw_copy"] / 0.5),
]  # fmt: skip


def write_report(results: Path) -> None:
    """Replace what stands between the markers, and the plot."""
    newest: dict[str, dict[str, Any]] = {}
    for line in (results / "results.jsonl").read_text().splitlines():
        run = json.loads(line)
        newest[run["bench"]] = run
    page = DOCS / "benchmarks.md"
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{_table(newest)}\n{END}{after}")
    (DOCS / "benchmarks.svg").write_text(_plot(newest))


def _table(newest: dict[str, dict[str, Any]]) -> str:
    lines = ["| | goal | measured | |", "|---|---|---|---|"]
    for what, name, goal, text, share in ROWS:
        if name in newest:
            figures = newest[name]["figures"]
            reached = "reached" if share(figures) >= 0.9995 else f"**not reached ({share(figures):.0%})**"
            lines.append(f"| {what} | {goal} | {text(figures)} | {reached} |")
    about = next(iter(newest.values()))
    days = sorted({run["at"][:10] for run in newest.values()})
    lines.append("")
    lines.append(
        f"On {' and '.join(days)}: {about['cpu']}, {about['system']}, Python {about['python']}, PostgreSQL {about['postgres']}."
    )
    return "\n".join(lines)


def _plot(newest: dict[str, dict[str, Any]]) -> str:
    """Bars: the figure as a share of its goal; the line is the goal."""
    shown = [(row, newest[row[1]]["figures"]) for row in ROWS if row[1] in newest]
    height, left, width = 22, 430, 300
    parts = []
    for index, (row, figures) in enumerate(shown):
        share = min(1.5, row[4](figures))
        y = 30 + index * height
        colour = "#2e7d4f" if share >= 0.9995 else "#b8552f"
        parts.append(f'<text x="{left - 8}" y="{y + 12}" text-anchor="end">{_plain(row[0])}</text>')
        parts.append(
            f'<rect x="{left}" y="{y}" width="{share / 1.5 * width:.1f}" height="{height - 7}" fill="{colour}"/>'
        )
        parts.append(
            f'<text x="{left + share / 1.5 * width + 6:.1f}" y="{y + 12}">{_plain(row[3](figures))}</text>'
        )
    goal = left + width / 1.5
    bottom = 30 + len(shown) * height
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="980" height="{bottom + 12}" font-family="sans-serif" font-size="11">'
        f'<rect width="100%" height="100%" fill="white"/><text x="{goal}" y="16" text-anchor="middle">goal</text>'
        f'<line x1="{goal}" y1="22" x2="{goal}" y2="{bottom}" stroke="#888" stroke-dasharray="3 3"/>{"".join(parts)}</svg>\n'
    )


def _plain(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
