"use strict";
// The Evals page. Every text of a record reaches the page as text, never as HTML.
(() => {
  const asked = new URLSearchParams(location.search);
  const $ = (id) => document.getElementById(id);
  const outer = (() => { try { return window.parent === window ? null : window.parent; } catch { return null; } })();
  const airflowRoot = location.pathname.replace(/\/arize-evals\/.*$/, "");
  const MOST_PLOTS = 6;
  const plots = [];
  let shown = [];

  // Theme: Airflow's own, also when it changes. ------------------------------------------------------------
  function isDark() {
    try {
      const theme = outer && outer.document.documentElement;
      if (theme && (theme.classList.contains("dark") || theme.classList.contains("light"))) return theme.classList.contains("dark");
    } catch { /* another origin */ }
    const chosen = localStorage.getItem("theme");
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  }
  function applyTheme() {
    const dark = isDark();
    if (document.documentElement.classList.contains("dark") === dark && applyTheme.done) return;
    applyTheme.done = true;
    document.documentElement.classList.toggle("dark", dark);
    takeBackground();
    render();
  }
  function takeBackground() {
    try {
      const background = outer && getComputedStyle(outer.document.body).backgroundColor;
      if (background && background.startsWith("rgb(")) document.documentElement.style.setProperty("--bg", background);
    } catch { /* another origin */ }
  }
  try { if (outer) new MutationObserver(applyTheme).observe(outer.document.documentElement, { attributes: true, attributeFilter: ["class"] }); } catch { /* another origin */ }
  window.addEventListener("storage", applyTheme);

  // Small helpers -------------------------------------------------------------------------------------------
  function make(tag, text, attributes = {}) {
    const node = document.createElement(tag);
    if (text !== undefined && text !== null) node.textContent = String(text);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    return node;
  }
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const percent = (share) => (100 * share).toFixed(1) + " %";
  const figure = (number) => number === null || number === undefined ? "–" : Number(number).toPrecision(4).replace(/\.?0+$/, "");
  const time = (text) => { const at = new Date(text); return isNaN(at) ? String(text) : at.toISOString().slice(0, 16).replace("T", " "); };
  const between = (one, write) => one.low === null || one.low === undefined ? "" : ` (${write(one.low)} to ${write(one.high)})`;
  const part = encodeURIComponent;
  const VERDICTS = { held: "held", broken: "broken", undecided: "undecided" };
  const place = (one) => `${airflowRoot}/dags/${part(one.dag_id)}/runs/${part(one.run_id)}/tasks/${part(one.task_id)}${one.map_index >= 0 ? `/mapped/${one.map_index}` : ""}`;

  // The frame permits neither pop-ups nor top navigation of its own: the page around it opens the link.
  function link(text, address, elsewhere) {
    const node = make("a", text, { href: address, rel: "noopener noreferrer" });
    node.addEventListener("click", (event) => {
      if (!outer) return;
      event.preventDefault();
      const real = outer.document.createElement("a");
      real.href = address;
      real.rel = "noopener noreferrer";
      if (elsewhere) real.target = "_blank";
      outer.document.body.append(real);
      real.click();
      real.remove();
    });
    return node;
  }

  // Data ----------------------------------------------------------------------------------------------------
  async function load() {
    say("Loading…");
    $("main").replaceChildren();
    const dag = $("dag").value;
    const query = new URLSearchParams({ days: $("days").value });
    if (dag) query.set("dag_id", dag);
    try {
      const answer = await fetch(`api/${dag ? "history" : "overview"}?${query}`, { headers: { Accept: "application/json" } });
      if (answer.status === 401) return say("Log in to Airflow to see this page.", true);
      if (answer.status === 403) return say("You may not read the XComs of this DAG. An administrator can permit it.", true);
      if (!answer.ok) return say(`Airflow answered ${answer.status}. Reload the page, and look at the API server's log if it happens again.`, true);
      const found = await answer.json();
      shown = found.records;
      load.cut = found.is_cut;
    } catch {
      return say("Airflow does not answer. Reload the page.", true);
    }
    if (!dag) for (const id of [...new Set(shown.map((one) => one.dag_id))]) offer(id);
    render();
  }
  function offer(id) {
    if (![...$("dag").options].some((option) => option.value === id)) $("dag").append(make("option", id, { value: id }));
  }
  function say(text, isError = false) {
    $("message").textContent = text;
    $("message").classList.toggle("error", isError);
  }

  // Records become one history for each evaluator of a task. ------------------------------------------------
  function histories() {
    const verdicts = new Map();
    for (const one of shown) if (one.kind === "verdict") {
      const of = `${one.dag_id}\n${one.run_id}`;
      verdicts.set(of, [...(verdicts.get(of) || []), one]);
    }
    const found = new Map();
    for (const one of shown) {
      if (one.kind !== "results") continue;
      for (const [name, evaluator] of Object.entries(one.value.evaluators)) {
        const key = `${one.dag_id}\n${one.task_id}\n${name}`;
        if (!found.has(key)) found.set(key, { dag_id: one.dag_id, task_id: one.task_id, name, windows: [] });
        const gates = (verdicts.get(`${one.dag_id}\n${one.run_id}`) || []).map((gate) => ({ gate, rules: gate.value.rules.filter((rule) => rule.evaluator === name) })).filter((one) => one.rules.length);
        found.get(key).windows.push({ ...one, evaluator, gates, verdict: worst(gates) });
      }
    }
    const wanted = $("evaluator").value.trim().toLowerCase();
    return [...found.values()]
      .filter((one) => !wanted || one.name.toLowerCase().includes(wanted))
      .map((one) => ({ ...one, windows: one.windows.sort((a, b) => a.at < b.at ? -1 : 1) }))
      .sort((a, b) => `${a.dag_id}\n${a.name}` < `${b.dag_id}\n${b.name}` ? -1 : 1);
  }
  function worst(gates) {
    const outcomes = gates.flatMap((one) => one.rules.map((rule) => rule.outcome));
    return ["broken", "undecided", "held"].find((outcome) => outcomes.includes(outcome)) || null;
  }

  // Views ---------------------------------------------------------------------------------------------------
  function render() {
    for (const plot of plots.splice(0)) plot.destroy();
    const main = $("main");
    main.replaceChildren();
    if (asked.get("run_id") && $("dag").value === asked.get("dag_id")) return instance(main);
    let found = histories();
    if (asked.get("task_id") && $("dag").value === asked.get("dag_id")) {
      const here = found.filter((one) => one.task_id === asked.get("task_id"));
      const gates = found.filter((one) => one.windows.some((window) => window.gates.some((gate) => gate.gate.task_id === asked.get("task_id"))));
      found = here.length ? here : gates;
    }
    $("title").textContent = $("dag").value ? `Evals of ${$("dag").value}` : "Evals";
    if (!found.length) {
      return say(asked.get("task_id") && $("dag").value === asked.get("dag_id")
        ? "This task has no evals to show. EvalResultsOperator and EvalGateOperator leave them when they succeed."
        : "No evals in this time. They appear here when a task with EvalResultsOperator has succeeded.");
    }
    say(load.cut ? "There is more than fits here: choose a DAG or a shorter time." : "");
    if ($("dag").value) for (const one of found) main.append(history(one));
    else main.append(overview(found));
  }

  function overview(found) {
    const rows = found.map((one) => {
      const last = one.windows[one.windows.length - 1];
      const dag = make("button", one.dag_id, { class: "link", type: "button" });
      dag.addEventListener("click", () => { $("dag").value = one.dag_id; load(); });
      return [dag, one.name, time(last.at), trend(one), labels(last), score(last), last.evaluator.evaluated, verdict(last.verdict)];
    });
    return table("The newest window of each evaluator", ["DAG", "Evaluator", "Newest (UTC)", "Trend", "Labels", "Mean score", "Judged", "Gate"], rows);
  }
  // A line of the newest windows: the mean score, else the share of the label that is most frequent now.
  function trend(one) {
    const last = one.windows[one.windows.length - 1].evaluator, label = Object.keys(last.shares)[0];
    const values = one.windows.map((window) => last.score ? window.evaluator.score && window.evaluator.score.mean : label && (window.evaluator.shares[label] ? window.evaluator.shares[label].share : 0)).filter((value) => typeof value === "number");
    if (values.length < 2) return "–";
    const low = Math.min(...values), high = Math.max(...values), flat = high === low;
    const points = values.map((value, index) => `${(96 * index / (values.length - 1) + 2).toFixed(1)},${(flat ? 10 : 18 - 16 * (value - low) / (high - low)).toFixed(1)}`).join(" ");
    const space = "http://www.w3.org/2000/svg", picture = document.createElementNS(space, "svg"), line = document.createElementNS(space, "polyline");
    picture.setAttribute("viewBox", "0 0 100 20"); picture.setAttribute("class", "trend"); picture.setAttribute("role", "img");
    picture.setAttribute("aria-label", `from ${figure(values[0])} to ${figure(values[values.length - 1])}`);
    line.setAttribute("points", points);
    picture.append(line);
    return picture;
  }
  const labels = (window) => Object.entries(window.evaluator.shares).map(([label, one]) => `${label} ${percent(one.share)}`).slice(0, 4).join(", ") || "–";
  const score = (window) => window.evaluator.score ? figure(window.evaluator.score.mean) : "–";
  const verdict = (outcome) => make("span", outcome || "–", outcome in VERDICTS ? { class: VERDICTS[outcome] } : {});

  function history(one) {
    const section = make("section", null, { "aria-label": `Evaluator ${one.name}` });
    const last = one.windows[one.windows.length - 1];
    section.append(make("h2", one.name));
    section.append(make("p", `Task ${one.task_id}, ${one.windows.length} window${one.windows.length === 1 ? "" : "s"}; the newest judged ${last.evaluator.evaluated} of ${figure(last.value.expected ?? (last.evaluator.without === null ? null : last.evaluator.evaluated + last.evaluator.without))}${last.value.complete === false ? ", not all there yet" : ""}.`, { class: "facts" }));
    const chosen = make("p", "Choose a point for its links.", { class: "chosen facts" });
    const grid = make("div", null, { class: "plots", "aria-hidden": "true" });
    section.append(grid, chosen);
    const times = one.windows.map((window) => Date.parse(window.value.end || window.at) / 1000);
    const totals = {};
    for (const window of one.windows) for (const [label, share] of Object.entries(window.evaluator.shares)) totals[label] = (totals[label] || 0) + share.count;
    const top = Object.keys(totals).sort((a, b) => totals[b] - totals[a]).slice(0, MOST_PLOTS);
    requestAnimationFrame(() => {
      if (one.windows.some((window) => window.evaluator.score)) small(grid, "Mean score", one, times, (window) => window.evaluator.score, figure, chosen);
      for (const label of top) small(grid, `Share of ${label}`, one, times, (window) => share(window, label), percent, chosen);
      small(grid, "Judged", one, times, (window) => ({ mean: window.evaluator.evaluated, low: null, high: null }), figure, chosen);
    });
    const rows = [...one.windows].reverse().map((window) => [
      time(window.value.start || window.at), time(window.value.end || window.at),
      window.evaluator.evaluated, window.value.skipped ?? "–", window.value.errors ?? "–",
      Object.entries(window.evaluator.shares).map(([label, it]) => `${label} ${percent(it.share)}${between(it, percent)}`).join(", ") || "–",
      window.evaluator.score ? figure(window.evaluator.score.mean) + between(window.evaluator.score, figure) : "–",
      verdict(window.verdict), window.evaluator.judge || "–", links(window),
    ]);
    const details = make("details");
    details.append(make("summary", "The same numbers as a table"), table(`Windows of ${one.name}`, ["From", "To (UTC)", "Judged", "Skipped", "Errors", "Labels (interval)", "Mean score (interval)", "Gate", "Judge", "Links"], rows));
    section.append(details);
    return section;
  }
  function share(window, label) {
    const one = window.evaluator.shares[label];
    if (one) return { mean: one.share, low: one.low, high: one.high };
    return Object.keys(window.evaluator.shares).length ? { mean: 0, low: null, high: null } : null;
  }
  function links(window) {
    const cell = make("span");
    cell.append(link("task", place(window)));
    if (window.value.spans_url) cell.append(" ", link("spans", window.value.spans_url, true));
    for (const one of window.gates) cell.append(" ", link("gate", place(one.gate)));
    return cell;
  }

  // One small plot: a line with its interval, the gate's verdicts, and where the judge changed. ----------------
  function small(grid, title, one, times, pick, write, chosen) {
    const holder = make("div", null, { class: "plot" });
    holder.append(make("h3", title));
    grid.append(holder);
    const points = one.windows.map(pick);
    const value = points.map((point) => point ? point.mean : null);
    const low = points.map((point) => point && point.low !== null && point.low !== undefined ? point.low : null);
    const high = points.map((point) => point && point.high !== null && point.high !== undefined ? point.high : null);
    const tip = make("div", null, { class: "tip", hidden: "" });
    const line = colour("--accent"), band = colour("--band"), fg = colour("--muted"), grey = colour("--line");
    const axis = { stroke: fg, grid: { stroke: grey, width: 1 }, ticks: { stroke: grey }, font: "11px system-ui" };
    const plot = new uPlot({
      width: Math.max(300, holder.clientWidth), height: 170, legend: { show: false }, cursor: { points: { size: 7 }, drag: { x: false, y: false } },
      scales: { x: { time: true } }, tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1e3), "Etc/UTC"),
      series: [{}, { stroke: "transparent", points: { show: false } }, { stroke: "transparent", points: { show: false } }, { stroke: line, width: 1.5, points: { show: times.length < 120, size: 5, stroke: line, fill: line } }],
      bands: [{ series: [2, 1], fill: band }],
      axes: [{ ...axis, values: days }, { ...axis, size: 60, values: (_, ticks) => ticks.map((tick) => write(tick)) }],
      hooks: {
        draw: [(self) => marks(self, one.windows, times)],
        setCursor: [(self) => hover(self, holder, tip, one.windows, points, write)],
      },
    }, [times, low, high, value], holder);
    plots.push(plot);
    plot.over.append(tip);
    plot.over.addEventListener("click", () => {
      const window = one.windows[plot.cursor.idx];
      if (window) chosen.replaceChildren(make("span", time(window.value.end || window.at)), links(window));
    });
  }
  // Days, and hours where the plot is shorter than that: as everywhere on this page, and never 9/26.
  function days(self, ticks, _, __, step) {
    const write = (tick) => new Date(tick * 1000).toISOString();
    return ticks.map((tick) => step < 86400 ? write(tick).slice(11, 16) : write(tick).slice(5, 10));
  }
  function marks(self, windows, times) {
    const { ctx, bbox } = self;
    ctx.save();
    windows.forEach((window, index) => {
      const x = self.valToPos(times[index], "x", true);
      if (window.verdict && window.verdict !== "held") {
        ctx.fillStyle = colour(window.verdict === "broken" ? "--broken" : "--undecided");
        const size = 5 * devicePixelRatio, bottom = bbox.top + bbox.height;
        ctx.beginPath(); ctx.moveTo(x, bottom - 2 * size); ctx.lineTo(x + size, bottom); ctx.lineTo(x - size, bottom); ctx.fill();
      }
      if (index && window.evaluator.judge !== windows[index - 1].evaluator.judge) {
        ctx.strokeStyle = colour("--muted"); ctx.setLineDash([4, 4]);
        ctx.beginPath(); ctx.moveTo(x, bbox.top); ctx.lineTo(x, bbox.top + bbox.height); ctx.stroke();
      }
    });
    ctx.restore();
  }
  function hover(self, holder, tip, windows, points, write) {
    const index = self.cursor.idx, point = index === null || index === undefined ? null : points[index];
    tip.hidden = !point || self.cursor.left < 0;
    if (tip.hidden) return;
    const window = windows[index], before = index ? windows[index - 1].evaluator.judge : window.evaluator.judge;
    tip.textContent = [
      time(window.value.end || window.at), write(point.mean) + between(point, write), `${window.evaluator.evaluated} judged`,
      window.verdict ? `gate: ${window.verdict}` : "", window.evaluator.judge !== before ? "the judge changed here" : "",
      window.value.complete === false ? "not all evaluations were there" : "",
    ].filter(Boolean).join("\n");
    const right = self.cursor.left > holder.clientWidth / 2;
    tip.style.left = right ? "" : `${self.cursor.left + 12}px`;
    tip.style.right = right ? `${self.over.clientWidth - self.cursor.left + 12}px` : "";
    tip.style.top = "4px";
  }

  // One task instance: the verdict of a gate, or the numbers of a window. -----------------------------------
  function instance(main) {
    const wantedIndex = Number.parseInt(asked.get("map_index") ?? "-1", 10);
    const here = shown.filter((one) => one.run_id === asked.get("run_id") && one.task_id === asked.get("task_id") && (Number.isNaN(wantedIndex) || wantedIndex < 0 || one.map_index === wantedIndex));
    $("title").textContent = "Evals of this task instance";
    if (!here.length) return say("This task instance has no evals to show. EvalResultsOperator and EvalGateOperator leave them when they end.");
    say("");
    for (const one of here) {
      const section = make("section");
      if (one.kind === "verdict") {
        section.append(make("h2", one.value.passed === null ? "Verdict" : one.value.passed ? "The gate passed" : "The gate did not pass"));
        section.append(table("The rules of the gate", ["Evaluator", "Measure", "Rule", "Measured", "Outcome", "Note"], one.value.rules.map((rule) => [rule.evaluator, rule.measure, rule.rule, figure(rule.measured), verdict(rule.outcome), rule.note || ""])));
      } else {
        section.append(make("h2", `Window ${time(one.value.start)} to ${time(one.value.end)} (UTC)`));
        section.append(table("Evaluators", ["Evaluator", "Judged", "Labels (interval)", "Mean score (interval)"], Object.entries(one.value.evaluators).map(([name, found]) => [
          name, found.evaluated, Object.entries(found.shares).map(([label, it]) => `${label} ${percent(it.share)}${between(it, percent)}`).join(", ") || "–",
          found.score ? figure(found.score.mean) + between(found.score, figure) : "–",
        ])));
        if (one.value.spans_url) section.append(link("Spans in Arize", one.value.spans_url, true));
      }
      main.append(section);
    }
  }

  function table(caption, head, rows) {
    const holder = make("div", null, { class: "scroll", tabindex: "0", role: "region", "aria-label": caption });
    const node = make("table"), header = make("tr");
    for (const text of head) header.append(make("th", text, { scope: "col" }));
    const body = make("tbody");
    for (const row of rows) {
      const line = make("tr");
      for (const cell of row) {
        const field = make("td");
        if (cell instanceof Node) field.append(cell);
        else { field.textContent = String(cell ?? "–"); if (String(cell).length > 40) field.className = "text"; }
        line.append(field);
      }
      body.append(line);
    }
    const top = make("thead");
    top.append(header);
    node.append(top, body);
    holder.append(node);
    return holder;
  }

  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("dag").addEventListener("change", load);
  $("days").addEventListener("change", load);
  $("evaluator").addEventListener("input", render);
  if (asked.get("dag_id")) { offer(asked.get("dag_id")); $("dag").value = asked.get("dag_id"); }
  document.documentElement.classList.toggle("dark", isDark());
  takeBackground();
  applyTheme.done = true;
  load();
})();
