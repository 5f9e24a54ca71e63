"""Write the page from what the measurements found, and from nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.figures import MEGA, Spread, footprint, grown, number, per_wait, read, spread, waits

IMAGES = "images/performance"
OURS, PEER = "This provider", "The peer"

PARSE_MILLISECONDS, FIRST_CALL, WARM_READ, WARM_START = 30, 0.5, 1.5, 2.0
FEWER_REQUESTS, LESS_CPU = 50, 20
WAIT_BYTES, LOOP_MILLISECONDS = 10_000, 50
SMALLER, PEER_MEGABYTES = 50, 341


def table(head: Iterable[str], *rows: Iterable[str]) -> str:
    """Return a table of Markdown."""
    first, *others = ([str(cell) for cell in row] for row in (head, *rows))
    lines = [first, ["---"] + ["---:"] * (len(first) - 1), *others]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def image(name: str, text: str) -> str:
    """Return a plot."""
    return f"![{text}]({IMAGES}/{name}.png)"


def how(measured: dict[str, Any]) -> str:
    """Return how figures came about."""
    versions = ", ".join(f"{name} {version}" for name, version in measured["versions"].items())
    return f"`{measured['command']}`, {measured['date']}. {measured['machine']}; {versions}."


def verdict(target: str, found: str, *, met: bool, limit: str = "") -> str:
    """Return whether a target is met."""
    said = "met" if met else "not met"
    return f"**Target:** {target}. **Measured:** {found}: **{said}**." + (
        f" {limit}" if limit and not met else ""
    )


def parse(measured: dict[str, Any]) -> str:
    """Return what parsing costs."""
    samples = measured["data"]["samples"]
    ours, peer = samples["ours"], samples.get("peer")
    rows = []
    for what, field in (
        ("importing operators and sensor", "import_seconds"),
        ("the same, CPU time", "import_cpu_seconds"),
        ("then making three operators", "operators_seconds"),
        ("`airflow.sdk` before it", "airflow_seconds"),
    ):
        row = [what, spread(ours, field).shown(" ms", 1e3)]
        if peer:
            row += [
                spread(peer, field).shown(" ms", 1e3),
                spread(ours, field).over(spread(peer, field)).shown(),
            ]
        rows.append(row)
    besides = sorted({name for one in ours for name in one["loaded_besides"]})
    airflow = sorted({name for one in ours for name in one["loaded_by_airflow"]})
    found = spread(ours, "import_seconds")
    within = found.median * 1e3 <= PARSE_MILLISECONDS and not besides
    told = f"{number(found.median * 1e3)} ms, of the heavy packages none loaded"
    if peer:
        ratio = found.over(spread(peer, "import_seconds"))
        within = within and ratio.median <= 1
        told += f", {number(ratio.median)} of the peer's time"
    return "\n\n".join(
        [
            "## Parsing",
            "Every parsing of a DAG's file imports its operators. A fresh process imports "
            "`airflow.sdk`, then the three operator modules and the sensor module, then makes the "
            "operators that create, run and wait. The peer's are imported and made in the same way, by "
            "turns.",
            table(["", OURS, *([PEER, "ratio of pairs"] if peer else [])], *rows),
            "Read it by the first row: that is what a DAG's file pays beyond Airflow itself. Median, "
            "with the smallest and the largest in brackets; so in all tables.",
            "Neither gql, graphql, requests nor what the emulator needs is loaded when a DAG is parsed."
            + (f" {', '.join(airflow)} is there because Airflow itself loads it." if airflow else ""),
            verdict(
                f"at most {PARSE_MILLISECONDS} ms and no more than the peer, none of the heavy packages",
                told,
                met=within,
            ),
            how(measured),
        ]
    )


def first_call(measured: dict[str, Any]) -> str:
    """Return what a first call costs."""
    samples = measured["data"]["samples"]
    ours, peer = samples["ours"], samples.get("peer")
    rows = []
    for what, field, unit, scale in (
        ("import and call, beyond Airflow", "call_seconds", " ms", 1e3),
        ("the same, CPU time", "call_cpu_seconds", " ms", 1e3),
        ("memory it adds", "call_memory", " MB", 1 / MEGA),
        ("the whole process", "process_seconds", " s", 1.0),
    ):
        row = [what, spread(ours, field).shown(unit, scale)]
        if peer:
            row += [
                spread(peer, field).shown(unit, scale),
                spread(ours, field).over(spread(peer, field)).shown(),
            ]
        rows.append(row)
    parts = [
        "## The first call of a task",
        "Each task runs in a process of its own, and so pays for the import of what it calls. A fresh "
        "process loads Airflow, then imports the hook, looks its connection up, and reads a run's "
        "status from the emulator; by turns with the peer's hook.",
        image("first_call", "Time and memory of parsing and of a first call, beyond Airflow"),
        table(["", OURS, *([PEER, "ratio of pairs"] if peer else [])], *rows),
        "Read it by the first row. Airflow starts a task in a process that has Airflow loaded already; "
        "in a wholly fresh one, Airflow's own import is most of the time, and the ratio of the last row "
        "counts.",
    ]
    if peer:
        ratio = spread(ours, "call_seconds").over(spread(peer, "call_seconds"))
        parts.append(
            verdict(
                "at most half of the peer's time",
                f"{number(ratio.median)} of it",
                met=ratio.median <= FIRST_CALL,
            )
        )
    return "\n\n".join([*parts, how(measured)])


def warm_call(measured: dict[str, Any]) -> str:
    """Return what a call costs on an open session."""
    data = measured["data"]
    rows, found = [], {}
    for server, sides in data["samples"].items():
        for side, samples in sorted(sides.items()):
            for kind in ("read", "start"):
                ratio = spread(samples, kind).over(spread(samples, f"bare {kind}"))
                found[server, side, kind] = ratio
                rows.append(
                    [
                        f"{OURS if side == 'ours' else PEER}, {kind}, {server}",
                        spread(samples, kind).shown(" ms", 1e3),
                        spread(samples, f"bare {kind}").shown(" ms", 1e3),
                        ratio.shown(),
                    ]
                )
    read_ratio, start_ratio = (found["emulator", "ours", kind].median for kind in ("read", "start"))
    replayed = [found["replay", "ours", kind].median for kind in ("read", "start")]
    return "\n\n".join(
        [
            "## A warm call",
            f"Reading a run and starting one through the hook, {data['calls']} times each on a session "
            "that is open, by turns with bare `requests` that send the same over a session of their "
            "own. The emulator answers; then a server that repeats the emulator's answers byte by byte "
            "and does nothing else, so that nothing hides what the client costs.",
            image("warm_call", "Warm calls as a multiple of bare requests"),
            table(["", "through the hook", "bare requests", "ratio"], *rows),
            "Read the ratio: 1 is what `requests` takes by itself. The hook can take less, since it "
            "looks once for the proxies of the environment, which `requests` looks for with every call; "
            "checking and reading the answer, and for a start validating the input and writing the "
            "mutation, are in it. The peer's SDK uses urllib3 without `requests`: once its imports are "
            "paid for, its reads are the fastest. It starts a run over REST, and reads the task first.",
            verdict(
                f"at most {WARM_READ} times bare requests for a read, {number(WARM_START)} times for a start",
                f"{number(read_ratio)} and {number(start_ratio)} times at the emulator; "
                f"{number(replayed[0])} and {number(replayed[1])} times where the server costs nothing",
                met=read_ratio <= WARM_READ and start_ratio <= WARM_START,
            ),
            how(measured),
        ]
    )


def _waiting_row(row: dict[str, Any]) -> list[str]:
    late = (
        "none noticed"
        if row["late_median"] is None
        else f"{number(row['late_median'])} s, {number(row['late_p99'])} s"
    )
    return [
        f"{row['requests']:,}",
        f"{row['refused']:,}",
        number(row["cpu_seconds"]),
        number(row["memory_peak"] / MEGA),
        late,
        f"{row['not_noticed']:,}",
    ]


def waiting(measured: dict[str, Any]) -> str:
    """Return what waiting for many runs costs."""
    data = measured["data"]
    sizes, rows = data["sizes"], data["rows"]
    named = {(row["kind"], row["limited"]): row for row in rows}
    limited, free = named["ours", True], named["ours", False]
    yardstick = named["yardstick", False]
    count = free["waits"]
    fewer, less = yardstick["requests"] / free["requests"], yardstick["cpu_seconds"] / free["cpu_seconds"]
    refused = named["yardstick", True]
    fewer_limited = refused["requests"] / limited["requests"]
    less_limited = refused["cpu_seconds"] / limited["cpu_seconds"]
    shown = [
        [
            f"{OURS if row['kind'] == 'ours' else 'one request per run and poll'}, "
            f"{'limit of ' + str(sizes['limit']) + ' a minute' if row['limited'] else 'no limit'}",
            *_waiting_row(row),
        ]
        for row in rows
    ]
    sensors = [
        [
            OURS if side == "ours" else PEER,
            str(len(found)),
            spread(found, "requests").shown(),
            spread(found, "cpu_seconds").shown(" s"),
            spread(found, "memory").shown(" MB", 1 / MEGA),
            spread(found, "late").shown(" s"),
        ]
        for side, found in data["sensors"].items()
    ]
    shortest, longest = (number(value) for value in sizes["run_seconds"])
    head = [
        "",
        "requests",
        "refused (429)",
        "CPU seconds",
        "peak memory, MB",
        "noticed after (median, 99th percentile)",
        "not noticed",
    ]
    parts = [
        "## Waiting for many runs",
        f"{count:,} runs on {free['tasks']} tasks end between {shortest} and {longest} s, and one "
        "process waits for all of them on one event loop, as a triggerer does, with a `poll_interval` "
        f"of {number(sizes['poll_interval'])} s. Side by side with it, a plain asynchronous trigger "
        "(`benchmarks/yardstick.py`; it works as those of dbt Cloud and Databricks do) waits for as "
        "many at an emulator of its own. First the emulators enforce the documented limit of "
        f"{sizes['limit']} requests a minute, then none.",
        image("waiting", "Requests, CPU and delay of waiting for many runs"),
        table(head, *shown),
        "Read the rows with no limit for the cost, and those with it for what happens on Arize. This "
        "provider writes what changes into each task's log, the plain trigger writes nothing; what the "
        "measurement itself takes is measured alone, and taken off both. A wait "
        f"that is not noticed was still going after {number(sizes['most_seconds'])} s. With the limit, "
        "this provider keeps to its default of 60 requests a minute, which is a little less than ten "
        "tasks take at this interval: all intervals stretch alike. Without it, its connection permits "
        "600.",
        verdict(
            f"at least {FEWER_REQUESTS} times fewer requests and {LESS_CPU} times less CPU than one "
            "request per run and poll, no refusals, each end noticed within one interval",
            f"{number(fewer)} times fewer requests, {number(less)} times less CPU "
            f"({number(fewer_limited)} and {number(less_limited)} times with the limit), "
            f"{limited['refused'] + free['refused']} refusals, the latest after "
            f"{number(free['late_most'])} s ({number(limited['late_most'])} s with the limit)",
            met=fewer >= FEWER_REQUESTS
            and less >= LESS_CPU
            and not limited["refused"]
            and free["late_most"] <= sizes["poll_interval"],
            limit=_cpu_limit(free, yardstick) if less < LESS_CPU else "",
        ),
        "### By sensors, a process each",
        "A sensor that does not defer holds a process for as long as it waits; the peer's has no other "
        "way. Each is forked from a process that has Airflow loaded, as tasks are, and what it takes "
        "beyond that is counted. For one wait:",
        table(["", "measured", "requests", "CPU", "memory of its own", "noticed after"], *sensors),
    ]
    if "peer" in data["sensors"]:
        peer = data["sensors"]["peer"]
        cpu = spread(peer, "cpu_seconds").median / (free["cpu_seconds"] / count)
        memory = spread(peer, "memory").median / max(1.0, grown(free) / count)
        parts.append(
            "Against a wait of this provider in the triggerer, each wait by the peer's sensor takes "
            f"{number(cpu)} times the CPU and {number(memory)} times the memory. So many processes as "
            f"for {count:,} waits were not started; the figures are of one."
        )
    return "\n\n".join([*parts, how(measured)])


def _cpu_limit(ours: dict[str, Any], yardstick: dict[str, Any]) -> str:
    each, request = (row["cpu_seconds"] / row["requests"] * 1e3 for row in (ours, yardstick))
    return (
        f"The limit: a page of a hundred runs takes {number(each)} ms of CPU, a run read alone "
        f"{number(request)} ms. What a page takes beyond one request is reading its runs and waking "
        "their waits, which every run takes, however it is asked for."
    )


def growth(measured: dict[str, Any]) -> str:
    """Return how the cost of waiting grows."""
    data = measured["data"]
    ours, yardstick = waits(data["rows"], "ours"), waits(data["rows"], "yardstick")
    largest = ours[-1]
    each = per_wait(ours)
    shown = [
        [
            f"{row['waits']:,}",
            str(row["tasks"]),
            f"{row['requests']:,}",
            number(row["requests"] / row["tasks"]),
            next(
                (f"{other['requests']:,}" for other in yardstick if other["waits"] == row["waits"]), "not run"
            ),
            number(row["cpu_seconds"]),
            number(grown(row) / MEGA),
            number(row["loop_delay_p99"] * 1e3),
            f"{number(row['late_median'])} s, {number(row['late_p99'])} s",
        ]
        for row in ours
        if row["late_median"] is not None
    ]
    delay = largest["loop_delay_p99"] * 1e3
    return "\n\n".join(
        [
            "## How it grows",
            f"The same with ever more waits, {data['sizes']['runs_per_task']} runs a task, at an "
            f"emulator that enforces {data['sizes']['limit']} requests a minute. One request for each "
            "run and poll is measured without a limit; for the largest number it would take more "
            "requests than the emulator can answer.",
            image("growth", "Requests, memory and event loop delay by the number of waits"),
            table(
                [
                    "waits",
                    "tasks",
                    "requests",
                    "requests a task",
                    "one per run and poll",
                    "CPU seconds",
                    "memory added, MB",
                    "event loop delay, 99th percentile, ms",
                    "noticed after (median, 99th percentile)",
                ],
                *shown,
            ),
            "Read the requests beside the tasks: a page of a task's list shows a hundred of its runs. "
            "Where a minute's requests do not suffice for all tasks, all intervals stretch alike, and "
            "the ends are noticed later; that is the documented limit, not the process.",
            verdict(
                f"requests grow with the tasks; under {WAIT_BYTES / 1000:g} KB a wait and under "
                f"{LOOP_MILLISECONDS} ms of event loop delay (99th percentile) at {largest['waits']:,} "
                "waits",
                f"{number(each / 1000)} KB for each further wait, {number(delay)} ms",
                met=each < WAIT_BYTES and delay < LOOP_MILLISECONDS,
            ),
            how(measured),
        ]
    )


def size(measured: dict[str, Any]) -> str:
    """Return what an installation adds."""
    data = measured["data"]
    installed, source = footprint(data, "installed"), footprint(data, "source")
    own = data["added"]["ours"]["packages"][data["own"]]["installed"] / MEGA
    named = sorted(
        ((name, sizes["installed"] / MEGA) for name, sizes in data["added"]["ours"]["packages"].items()),
        key=lambda one: -one[1],
    )
    ratio = installed["peer"] / installed["ours"]
    rows = [
        [
            what,
            f"{number(found['ours'])} MB",
            f"{number(found['peer'])} MB",
            f"1/{number(found['peer'] / found['ours'])}",
        ]
        for what, found in (("as pip leaves it, with bytecode", installed), ("without bytecode", source))
    ]
    rows.append(
        ["packages", *(str(len(data["added"][side]["new"])) for side in ("ours", "peer")), ""],
    )
    others = installed["ours"] - own
    return "\n\n".join(
        [
            "## What it adds to an environment",
            "Three environments with the same Airflow: alone, with this provider's wheel, and with the peer.",
            image("footprint", "Megabytes added to an environment with Airflow"),
            table(["", OURS, PEER, "ratio"], *rows),
            f"This provider itself is {number(own)} MB, the emulator and its sample included. The rest "
            "is gql and what it needs: "
            + ", ".join(f"{name} {number(megabytes)} MB" for name, megabytes in named if name != data["own"])
            + ".",
            verdict(
                f"at most a fiftieth of the peer's {PEER_MEGABYTES} MB "
                f"({number(PEER_MEGABYTES / SMALLER)} MB), this wheel included",
                f"{number(installed['ours'])} MB, 1/{number(ratio)}",
                met=installed["ours"] <= PEER_MEGABYTES / SMALLER,
                limit=f"gql and its dependencies alone are {number(others)} MB; without them it would be "
                f"1/{number(installed['peer'] / own)}.",
            ),
            how(measured),
        ]
    )


def results(measured: dict[str, Any]) -> str:
    """Return what reading results costs."""
    rows = measured["data"]["rows"]

    def of(server: str, how_read: str, spans: int) -> list[dict[str, Any]]:
        return [row for row in rows if (row["server"], row["how"], row["spans"]) == (server, how_read, spans)]

    cases = sorted({(row["server"], row["spans"]) for row in rows})
    shown = []
    for server, spans in cases:
        ours, bare = of(server, "operator", spans), of(server, "requests", spans)
        rate = spread(ours, lambda row: row["spans"] / row["seconds"])
        shown.append(
            [
                f"{server}, {spans:,} spans",
                rate.shown(),
                spread(bare, lambda row: row["spans"] / row["seconds"]).shown(),
                spread(ours, lambda row: row["cpu_seconds"] / row["seconds"]).shown(" %", 100),
                spread(ours, grown).shown(" MB", 1 / MEGA),
            ]
        )
    replayed = sorted({spans for server, spans in cases if server == "replay"})
    small, large = (
        Spread.of(grown(row) for row in of("replay", "operator", spans))
        for spans in (replayed[0], replayed[-1])
    )
    [emulated] = [spans for server, spans in cases if server == "emulator"]
    busy = spread(
        of("emulator", "operator", emulated), lambda row: row["cpu_seconds"] / row["seconds"]
    ).median
    counted = spread(
        of("replay", "operator", replayed[-1]), lambda row: row["statistics_cpu_seconds"] / row["cpu_seconds"]
    )
    return "\n\n".join(
        [
            "## Reading results",
            "`EvalResultsOperator` reads a run's evaluated spans, 500 a page, and counts labels and "
            "scores. The emulator serves them; then a server that repeats a page of the emulator's as "
            "often as it takes, and does nothing else.",
            image("results", "Spans a second and memory by the number of spans"),
            table(
                [
                    "",
                    "spans a second",
                    "bare requests, spans a second",
                    "CPU of this process",
                    "memory added",
                ],
                *shown,
            ),
            "Read the CPU of this process: where it is small, the server is what is waited for. The "
            "replay shows how fast the operator is when no server holds it up; bare `requests` read the "
            "same pages and count nothing.",
            verdict(
                "bounded by the server, memory flat",
                f"{number(busy * 100)} % of the time is this process's own at the emulator; "
                f"{number(large.median / MEGA)} MB are added by {replayed[-1]:,} spans, "
                f"{number(small.median / MEGA)} MB by {replayed[0]:,}",
                met=busy < 0.5 and large.median - small.median < 10 * MEGA,
            ),
            "A gate with `confidence` needs means, variances and intervals. Timed alone, "
            f"over as many evaluations, they are {counted.shown(' %', 100)} of the CPU of reading "
            f"{replayed[-1]:,} spans.",
            verdict(
                "below 5 % of the CPU",
                f"{number(counted.median * 100)} %",
                met=counted.median < 0.05,
            ),
            how(measured),
        ]
    )


SECTIONS: dict[str, Callable[[dict[str, Any]], str]] = {
    "parse": parse,
    "first_call": first_call,
    "warm_call": warm_call,
    "waiting": waiting,
    "growth": growth,
    "footprint": size,
    "results": results,
}


# What the introduction sums up.
SUMMARISED = frozenset({"waiting", "first_call", "footprint"})


def introduction(found: dict[str, dict[str, Any]]) -> str:
    """Return the figures that count, as ratios."""
    lines = ["# Performance"]
    if found.keys() >= SUMMARISED and "peer" in found["first_call"]["data"]["samples"]:
        rows = {(row["kind"], row["limited"]): row for row in found["waiting"]["data"]["rows"]}
        ours, yardstick = rows["ours", False], rows["yardstick", False]
        first = found["first_call"]["data"]["samples"]
        sooner = spread(first["peer"], "call_seconds").over(spread(first["ours"], "call_seconds"))
        installed = footprint(found["footprint"]["data"], "installed")
        lines.append(
            f"Waiting for {ours['waits']:,} runs takes "
            f"{number(yardstick['requests'] / ours['requests'])} times fewer requests and "
            f"{number(yardstick['cpu_seconds'] / ours['cpu_seconds'])} times less CPU than asking for "
            "each run at each poll, as most providers' triggers do. A task's first call is "
            f"{number(sooner.median)} times as fast as with `arize-ax-airflow-provider`. The "
            f"installation adds 1/{number(installed['peer'] / installed['ours'])} of the megabytes."
        )
    lines.append(
        "All figures are of one machine and come from `make bench`, which makes its own environments "
        "and takes under 20 minutes on two cores. What is compared was measured by turns or side by "
        "side, so the ratios hold where the times do not. The peer is `arize-ax-airflow-provider`, its "
        "own operators, hook and sensor, on the same Airflow; its connection leads to the same emulator "
        "by its host and `api_scheme`."
    )
    return "\n\n".join(lines)


def write(found_in: Path, into: Path) -> None:
    """Write the page. A section whose figures are not known stays as it is on the page.

    :param found_in: the folder of what the measurements found.
    :param into: the folder of the page.
    """
    page = into / "performance.md"
    found = {name: measured for name in SECTIONS if (measured := read(found_in, name)) is not None}
    before = sections(page.read_text()) if page.exists() else {}
    written = before | {name: SECTIONS[name](measured) for name, measured in found.items()}
    if found.keys() >= SUMMARISED or "" not in written:
        written[""] = introduction(found)
    page.write_text("\n\n".join(written[name] for name in ("", *SECTIONS) if name in written) + "\n")


def sections(page: str) -> dict[str, str]:
    """Return the sections of a page by the measurement that each is of, its introduction by no name."""
    introduced, *others = re.split(r"^(?=## )", page, flags=re.MULTILINE)
    measured = re.compile(r"`make bench ONLY=(\w+)`")
    named = {name[1]: text.strip() for text in others if (name := measured.search(text))}
    return {"": introduced.strip()} | named
