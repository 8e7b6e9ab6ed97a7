"""Write results into docs/performance.md, between marker comments, and draw the plots beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from tests.bench import plots
from tests.bench.comparison import WITH_LINES, conditions
from tests.bench.results import Comparison, Cost, Costs, Curves
from tests.bench.servers import KINTO
from tests.support.services import ROOT

_DOCUMENT: Final = ROOT / "docs" / "performance.md"
_NAMES: Final = {"gunicorn": "gunicorn", "granian": "Granian", KINTO: "Kinto 26.5"}
_CONDITIONS: Final = {
    conditions(8): "With 8 connections, without log lines:",
    conditions(1): "With 1 connection:",
    conditions(32): "With 32 connections:",
    WITH_LINES: "With 8 connections and a log line for each request:",
}


def write(comparison: Comparison | None, curves: Curves | None) -> None:
    """Write the results that there are into the document and draw their plots."""
    text = _DOCUMENT.read_text(encoding="utf-8")
    if comparison is not None:
        image = _draw("performance", comparison_plot(comparison), "What requests cost, beside Kinto 26.5")
        text = put_between(text, "comparison", f"{image}\n\n{comparison_text(comparison)}")
    if curves is not None:
        image = _draw("growth", curves_plot(curves), "What requests cost while the data grows")
        text = put_between(text, "growth", f"{image}\n\n{curves_text(curves)}")
    _DOCUMENT.write_text(text, encoding="utf-8")


def put_between(text: str, name: str, content: str) -> str:
    """Replace what is between the two marker comments called *name*. Raises ValueError where they are missing."""
    begin, end = f"<!-- {name}: written by tests/bench -->\n", f"<!-- {name}: end -->"
    before, after = text.index(begin) + len(begin), text.index(end)
    return f"{text[:before]}\n{content}\n{text[after:]}"


def _draw(name: str, svg: str, title: str) -> str:
    """Write a plot into the folder of the document, and return the link to it."""
    (_DOCUMENT.parent / f"{name}.svg").write_text(svg, encoding="utf-8")
    return f"![{title}]({name}.svg)"


def comparison_text(comparison: Comparison) -> str:
    """Return the tables of a comparison, and its other figures."""
    parts = [f"{comparison.environment}; {comparison.records:,} records in the big list."]
    for key, costs in comparison.costs.items():
        if costs:
            parts += [_CONDITIONS[key], "\n".join(_rows(costs))]
    memory = ", ".join(f"{_NAMES[name]} {size / 1e6:.0f} MB" for name, size in comparison.memory_bytes.items())
    parts.append(f"Memory of two workers and their master after all of this (PSS): {memory}.")
    parts.append(f"Importing the application takes {comparison.import_seconds:.2f} s of processor time.")
    return "\n\n".join(parts) + "\n"


def _rows(costs: Costs) -> Iterator[str]:
    names = list(next(iter(costs.values())))
    reference = _reference(names)
    others = [name for name in names if name != reference]
    heads = [f"{_NAMES[reference]}, ms", *(f"{_NAMES[name]}, ms | ratio" for name in others)]
    yield f"| request | {' | '.join(heads)} |"
    yield "|---" * (2 + 2 * len(others)) + "|"
    for workload, each in costs.items():
        cells = [_cell(each[reference])]
        cells += [f"{_cell(each[name])} | {_ratio(each, name):.1f}" for name in others]
        yield f"| {workload} | {' | '.join(cells)} |"


def _reference(names: Sequence[str]) -> str:
    """Return the server that others are compared with."""
    return KINTO if KINTO in names else names[0]


def _ratio(costs: Mapping[str, Cost], name: str) -> float:
    """Return how many times as much the reference costs as a server."""
    return costs[_reference(list(costs))].total_ms / costs[name].total_ms


def _cell(cost: Cost) -> str:
    failed = f" ({cost.failed} of {cost.sent} failed)" if cost.failed else ""
    return f"{cost.application_ms:.2f} + {cost.database_ms:.2f}{failed}"


def comparison_plot(comparison: Comparison) -> str:
    """Draw the ratios of the comparison with 8 connections."""
    costs = comparison.costs[conditions(8)]
    names = list(next(iter(costs.values())))
    others = [name for name in names if name != _reference(names)] or names
    ratios = {workload: {_NAMES[name]: _ratio(each, name) for name in others} for workload, each in costs.items()}
    reference = _NAMES[_reference(names)]
    axis = f"processor time of {reference} divided by that of this service, application + PostgreSQL"
    return plots.bars(f"How many times as much a request costs under {reference}", axis, ratios)


def curves_text(curves: Curves) -> str:
    """Return one table for each subject that grows: ms of application + PostgreSQL by size."""
    parts = [f"{curves.environment}; gunicorn, 8 connections."]
    for subject, requests in curves.costs.items():
        sizes = sorted({size for costs in requests.values() for size in costs})
        rows = [f"| {subject} | {' | '.join(f'{size:,}' for size in sizes)} |", "|---" * (1 + len(sizes)) + "|"]
        for request, costs in requests.items():
            cells = (_cell(costs[size]) if size in costs else "" for size in sizes)
            rows.append(f"| {request} | {' | '.join(cells)} |")
        parts.append("\n".join(rows))
    return "\n\n".join(parts) + "\n"


def curves_plot(curves: Curves) -> str:
    """Draw one panel for each subject that grows."""
    panels = {
        subject: {
            request: {float(size): cost.total_ms for size, cost in costs.items()} for request, costs in requests.items()
        }
        for subject, requests in curves.costs.items()
    }
    return plots.curves("What a request costs while the data grows", "ms of processor time", panels)
