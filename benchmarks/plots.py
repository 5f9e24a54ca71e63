"""Draw the page's plots from what the measurements found: ``python -m benchmarks.plots``."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl

mpl.use("agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter

from benchmarks.environments import FIGURES, PAGE
from benchmarks.figures import MEGA, Spread, footprint, grown, number, read, spread, waits

IMAGES = PAGE.parent / "images" / "performance"
# Told apart by those who see red and green alike, too.
COLOURS = {"ours": "#0b5fa5", "peer": "#d9822b", "yardstick": "#d9822b", "bare": "#8a8a8a", "gql": "#86b6dd"}
NAMES = {
    "ours": "this provider",
    "peer": "arize-ax-airflow-provider",
    "yardstick": "one request per run and poll",
}
mpl.rcParams |= {
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "legend.frameon": False,
}
THOUSANDS = FuncFormatter(lambda value, _: f"{value:,.0f}" if value == int(value) else f"{value:g}")


def save(figure: Any, name: str) -> None:
    """Write a plot; the same figures make the same file."""
    figure.savefig(
        IMAGES / f"{name}.png",
        dpi=120,
        metadata={"Software": None},
        bbox_inches="tight",
        pad_inches=0.15,
        pil_kwargs={"optimize": True},
    )
    plt.close(figure)


def bars(axes: Any, rows: list[tuple[str, str, Spread]], *, unit: str) -> None:
    """Draw a bar for each row, with a line from its smallest to its largest value.

    :param rows: label, colour, and values.
    """
    rows.reverse()
    for place, (_, colour, found) in enumerate(rows):
        axes.barh(place, found.median, color=COLOURS[colour], height=0.62)
        if found.low < found.high:
            axes.plot([found.low, found.high], [place, place], color="#222222", linewidth=1.4)
        axes.annotate(
            number(found.median),
            (max(found.high, found.median), place),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},
        )
    axes.set_yticks(range(len(rows)), [label for label, _, _ in rows])
    axes.set_xlabel(unit)
    axes.locator_params(axis="x", nbins=4)
    axes.xaxis.set_major_formatter(THOUSANDS)
    axes.margins(x=0.16)
    axes.set_ylim(-0.6, len(rows) - 0.4)


def first_call(parsed: dict[str, Any], called: dict[str, Any]) -> None:
    """Draw what parsing and a first call cost beyond Airflow."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11.5, 2.1), layout="constrained")
    for axes, samples, field, scale, title, unit in (
        (left, parsed, "import_seconds", 1e3, "Importing the operators", "milliseconds"),
        (middle, called, "call_seconds", 1e3, "First call, import included", "milliseconds"),
        (right, called, "call_memory", 1 / MEGA, "Memory of the first call", "megabytes"),
    ):
        rows = [
            (
                NAMES[side] if axes is left else "",
                side,
                Spread.of(value * scale for value in spread(found, field).values),
            )
            for side, found in samples["data"]["samples"].items()
        ]
        bars(axes, sorted(rows, key=lambda row: row[1]), unit=unit)
        axes.set_title(title)
    save(figure, "first_call")


def warm_call(measured: dict[str, Any]) -> None:
    """Draw warm calls as multiples of bare requests."""
    figure, plots = plt.subplots(1, 2, figsize=(11.5, 2.6), layout="constrained")
    for axes, (server, sides) in zip(plots, measured["data"]["samples"].items(), strict=True):
        rows = [
            (
                f"{kind}, {NAMES[side]}",
                side,
                spread(samples, kind).over(spread(samples, f"bare {kind}")),
            )
            for kind in ("read", "start")
            for side, samples in sorted(sides.items())
        ]
        bars(axes, rows, unit="times bare requests (dashed: 1)")
        if axes is not plots[0]:
            axes.set_yticklabels([])
        axes.axvline(1, color="#222222", linestyle="--", linewidth=1)
        axes.set_title("At the emulator" if server == "emulator" else "At a server that costs nothing")
    save(figure, "warm_call")


def waiting(measured: dict[str, Any]) -> None:
    """Draw what waiting costs with and without the limit."""
    rows = measured["data"]["rows"]
    count = rows[0]["waits"]
    figure, plots = plt.subplots(1, 3, figsize=(11.5, 2.7), layout="constrained")
    for axes, title, unit, field in (
        (plots[0], f"Requests for {count:,} waits", "requests", "requests"),
        (plots[1], "CPU of the waiting process", "seconds", "cpu_seconds"),
        (plots[2], "Refused (429)", "requests", "refused"),
    ):
        drawn = [
            (
                f"{NAMES[row['kind']]},\n{'limited' if row['limited'] else 'no limit'}"
                if axes is plots[0]
                else "",
                row["kind"],
                Spread.of([row[field]]),
            )
            for row in rows
        ]
        bars(axes, drawn, unit=unit)
        axes.set_title(title)
    save(figure, "waiting")


def growth(measured: dict[str, Any]) -> None:
    """Draw how requests, memory and event loop delay grow."""
    rows = measured["data"]["rows"]
    figure, plots = plt.subplots(1, 3, figsize=(11.5, 3.4), layout="constrained")
    for axes, title, value, log in (
        (plots[0], "Requests", lambda row: row["requests"], True),
        (plots[1], "Memory added, megabytes", lambda row: max(grown(row) / MEGA, 0.1), True),
        (plots[2], "Event loop delay, ms, 99th percentile", lambda row: row["loop_delay_p99"] * 1e3, False),
    ):
        for kind, marker in (("ours", "o"), ("yardstick", "s")):
            found = waits(rows, kind)
            axes.plot(
                [row["waits"] for row in found],
                [value(row) for row in found],
                marker=marker,
                color=COLOURS[kind],
                linewidth=2,
                label=NAMES[kind],
            )
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(THOUSANDS)
        axes.set_xlabel("waits")
        if log:
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(THOUSANDS)
        else:
            axes.set_ylim(bottom=0)
        axes.set_title(title)
        axes.grid(alpha=0.25)
    plots[1].legend(loc="lower right", fontsize=9.5)
    save(figure, "growth")


def size(measured: dict[str, Any]) -> None:
    """Draw what an installation adds."""
    data = measured["data"]
    installed = footprint(data, "installed")
    own = data["added"]["ours"]["packages"][data["own"]]["installed"] / MEGA
    figure, axes = plt.subplots(figsize=(9.5, 1.9), layout="constrained")
    bars(
        axes,
        [
            (NAMES["peer"], "peer", Spread.of([installed["peer"]])),
            (f"{NAMES['ours']}, with gql", "gql", Spread.of([installed["ours"]])),
            (f"{NAMES['ours']} itself", "ours", Spread.of([own])),
        ],
        unit="megabytes added to an environment with Airflow",
    )
    save(figure, "footprint")


def results(measured: dict[str, Any]) -> None:
    """Draw the rate and the memory of reading results."""
    rows = [row for row in measured["data"]["rows"] if row["server"] == "replay"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.2), layout="constrained")
    for axes, title, value in (
        (left, "Spans a second", lambda row: row["spans"] / row["seconds"]),
        (right, "Memory added, megabytes", lambda row: grown(row) / MEGA),
    ):
        for how, colour, name in (
            ("operator", "ours", "EvalResultsOperator"),
            ("requests", "bare", "bare requests"),
        ):
            counts = sorted({row["spans"] for row in rows})
            found = [
                spread([row for row in rows if (row["how"], row["spans"]) == (how, count)], value)
                for count in counts
            ]
            axes.plot(
                counts,
                [one.median for one in found],
                marker="o",
                color=COLOURS[colour],
                linewidth=2,
                label=name,
            )
            axes.fill_between(
                counts,
                [one.low for one in found],
                [one.high for one in found],
                color=COLOURS[colour],
                alpha=0.18,
                linewidth=0,
            )
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(THOUSANDS)
        axes.yaxis.set_major_formatter(THOUSANDS)
        axes.set_xlabel("spans")
        axes.set_ylim(0, 1.15 * max(value(row) for row in rows))
        axes.set_title(title)
        axes.grid(alpha=0.25)
    right.legend(loc="lower right", fontsize=9.5)
    save(figure, "results")


def main() -> None:
    """Draw what there is."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    found = {
        name: read(FIGURES, name)
        for name in ("parse", "first_call", "warm_call", "waiting", "growth", "footprint", "results")
    }
    if found["parse"] and found["first_call"]:
        first_call(found["parse"], found["first_call"])
    drawn = {
        "warm_call": warm_call,
        "waiting": waiting,
        "growth": growth,
        "footprint": size,
        "results": results,
    }
    for name, draw in drawn.items():
        measured = found[name]
        if measured:
            draw(measured)


if __name__ == "__main__":
    main()
