// The Evals page: filters, views and tables. Texts of records are inserted as text, never as HTML.
import { asked, dagRunPage, follow, link, midnight, readFilters, taskInstance, time, timeZone, writeFilters } from "./airflow.js";
import { clear, corners, draw } from "./plots.js";
import { FAILED, INCONCLUSIVE, OUTCOMES, PASSED, STALE, amount, between, byShare, calibrated, count, demanded, histories, incidents, measured, percent, range, recurring, score, versionOf } from "./windows.js";

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const DAY = 86_400_000;
const MAX_DAYS = 366;
// The DAG, task or task instance of the tab; undefined on the page of the navigation.
const ownDag = asked.get("dag_id"), task = asked.get("task_id"), dagRun = asked.get("run_id");
const mapIndex = Number.parseInt(asked.get("map_index"), 10);
let shown = {};
let problem = null;

// Small helpers -----------------------------------------------------------------------------------------------

function make(tag, text, attributes = {}, ...children) {
  const node = document.createElement(tag);
  if (text !== undefined && text !== null) node.textContent = String(text);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function drawn(tag, attributes, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function say(text, isError = false) {
  $("message").textContent = text;
  $("message").classList.toggle("error", isError);
}

// Data --------------------------------------------------------------------------------------------------------

// Return the URL of the data that the filters select; null while a date is missing or wrong.
function source() {
  const dag = $("dag").value;
  const query = new URLSearchParams();
  if (dag) query.set("dag_id", dag);
  if (dagRun) {
    query.set("run_id", dagRun);
    if (mapIndex >= 0) query.set("map_index", mapIndex);
    return `api/run?${query}`;
  }
  if ($("days").value) {
    query.set("days", $("days").value);
  } else {
    const from = Date.parse($("from").value), end = Date.parse($("to").value) + DAY;
    const days = (end - from) / DAY;
    if (isNaN(days)) return null;
    if (days < 1 || days > MAX_DAYS) {
      problem = `From must be before To, and at most ${MAX_DAYS} days.`;
      return null;
    }
    query.set("days", (midnight(end) - midnight(from)) / DAY);
    query.set("until", new Date(midnight(end)).toISOString());
  }
  return `api/${dag ? "history" : "overview"}?${query}`;
}

let asking = 0;
async function load() {
  problem = null;
  const address = source();
  if (address === null) return render();
  const mine = (asking += 1);
  say("Loading…");
  let found = {};
  try {
    const response = await fetch(address, { headers: { Accept: "application/json" } });
    if (response.ok) found = await response.json();
    else problem = MESSAGES[response.status] || `Airflow returned HTTP ${response.status}. If it happens again, check the log of the API server.`;
  } catch {
    problem = "No response from Airflow. Reload the page.";
  }
  if (mine !== asking) return; // a newer request was sent
  shown = found;
  if (shown.evaluators && shown.records) histories(shown);
  if (!$("dag").value) for (const id of new Set((shown.evaluators || []).map((one) => one.dag_id))) offer(id);
  render();
}
const MESSAGES = {
  401: "Log in to Airflow to see this page.",
  403: "You have no permission to read the XComs of this DAG. Ask an administrator.",
};

function offer(id) {
  if (![...$("dag").options].some((option) => option.value === id)) $("dag").append(make("option", id, { value: id }));
}

// Views -------------------------------------------------------------------------------------------------------

const stateOf = (one) => one.status.state || "none";

function render() {
  clear();
  const main = $("main"), dag = $("dag").value;
  main.replaceChildren();
  $("zone").textContent = `Times are in ${timeZone()}, as in the rest of Airflow. Intervals have a confidence of 95 %.`;
  $("zone").hidden = true;
  $("title").textContent = dagRun ? "Evals of this task instance" : task ? `Evals of ${task}` : dag ? `Evals of ${dag}` : "Evals";
  if (problem) return say(problem, true);
  if (dagRun) return instance(main);
  const all = ofTask(shown.evaluators || []);
  $("evaluators").replaceChildren(...[...new Set(all.map(nameOf))].map((name) => make("option", null, { value: name })));
  const wanted = $("evaluator").value.trim().toLowerCase();
  const named = all.filter((one) => nameOf(one).toLowerCase().includes(wanted));
  countStates(named);
  const found = named.filter((one) => !$("status").value || stateOf(one) === $("status").value);
  if ($("sort").value === "newest") found.sort((a, b) => Date.parse(endOf(b)) - Date.parse(endOf(a)));
  if (!found.length) return say(nothing(all.length, named.length));
  say([
    shown.is_cut ? "Not all records are shown. Select a DAG or a shorter time." : "",
    shown.omitted_evaluators ? `${shown.omitted_evaluators} more evaluators of a task are not shown.` : "",
  ].filter(Boolean).join(" "));
  $("zone").hidden = false;
  if (!dag) return main.append(overview(found));
  if (shown.spending && !task) main.append(spending(shown.spending));
  main.append(legend(found));
  for (const one of found) main.append(history(one));
}

const nameOf = (one) => one.name ?? one.task_id;
const endOf = ({ newest, status: { at } }) => (newest ? newest.end || newest.at : at);

// Show how many evaluators have each status, in the filter and above the evaluators.
function countStates(found) {
  const counts = new Map(STATES.map(([state]) => [state, found.filter((one) => stateOf(one) === state).length]));
  for (const option of $("status").options) {
    const [, name] = STATES.find(([state]) => state === option.value) || [];
    if (name) option.textContent = `${name} (${counts.get(option.value)})`;
  }
  const parts = STATES.filter(([state]) => counts.get(state));
  $("counts").replaceChildren(...parts.map(([state, name]) =>
    make("span", null, { class: `badge ${state}` }, ...(state === "none" ? [] : [mark(state)]), `${counts.get(state)} ${name.toLowerCase()}`)));
}
const STATES = [[FAILED, "Failed"], [STALE, "Stale"], [INCONCLUSIVE, "Inconclusive"], [PASSED, "Passed"], ["none", "No gate"]];

// The evals of a task; for a gate, those that it checks.
function ofTask(found) {
  if (!task) return found;
  const own = found.filter((one) => one.task_id === task);
  if (own.length) return own;
  return found.filter((one) => one.windows.some((window) => window.gates.some((gate) => gate.task_id === task)));
}

function nothing(others, named) {
  if (named) return "No evaluator has this status.";
  if (others) return "No evaluator matches this name.";
  const when = $("days").value ? `in the ${$("days").selectedOptions[0].textContent.toLowerCase()}` : "in this time";
  if (task) return `This task has no evals ${when}. Only finished tasks with EvalResultsOperator or EvalGateOperator have evals.`;
  return `No evals ${when}. They appear here when a task with EvalResultsOperator has finished.`;
}

function overview(found) {
  const haveTasks = new Set(found.map((one) => JSON.stringify([one.dag_id, one.name]))).size < found.length;
  const rows = found.map((one) => {
    const { newest } = one;
    const dag = make("button", one.dag_id, { class: "link", type: "button" });
    dag.addEventListener("click", () => show(one.dag_id));
    const name = haveTasks && one.name !== null ? `${one.name} (${one.task_id})` : nameOf(one);
    const subject = make("span", null, { class: "subject" }, make("span", name, { class: "name", title: name }), dag);
    if (!newest) return [status(one), subject, statusLinks(one), "–", "–", "–", "–", "–"];
    const others = newest.other_labels ? `, ${newest.other_labels} more` : "";
    const labels = byShare(newest.shares).map(([label, it]) => `${label} ${percent(it.share)}`).join(", ") + others;
    return [
      status(one), subject, make("span", null, { class: "links" }, links(one.dag_id, newest), statusLinks(one)), trend(one.trend),
      newest.score ? make("span", null, { class: "stack" }, make("span", score(newest.score.mean)), make("span", between(newest.score, score), { class: "muted" })) : "–",
      labels ? make("span", labels, { class: "clamped", title: labels }) : "–", number(count(newest.evaluated)), period(newest),
    ];
  });
  return table(
    "The newest window of each evaluator",
    ["Status", "Evaluator, DAG", "Links", "Trend", "Mean score", "Labels", "Evaluated", "Window"], rows,
  );
}

const period = (window) => make("span", null, { class: "stack" },
  make("span", time(window.start || window.at)), make("span", `to ${time(window.end || window.at)}`));

// The trend of the newest windows: the mean score, else the share of the most frequent label.
function trend(one) {
  if (!one || one.values.length < 2) return "–";
  const { values } = one, write = one.what === "mean score" ? score : percent;
  const low = Math.min(...values), room = Math.max(...values) - low;
  const points = values.map((value, place) => {
    const down = room ? 18 - (16 * (value - low)) / room : 10;
    return `${((96 * place) / (values.length - 1) + 2).toFixed(1)},${down.toFixed(1)}`;
  });
  const name = `${one.what} of the newest ${values.length} windows, from ${write(values[0])} to ${write(values.at(-1))}`;
  return drawn("svg", { viewBox: "0 0 100 20", class: "trend", role: "img", "aria-label": name }, drawn("polyline", { points: points.join(" ") }));
}

// What the runs used together, and their budgets.
function spending(it) {
  const cost = it.runs_with_cost ? `; estimated cost ${range(it.cost, amount)}${it.runs_with_cost < it.runs ? ` (${it.runs_with_cost} runs)` : ""}` : "";
  const node = make("section", null, { "aria-label": "Evaluations and cost" }, make("p", `${count(it.evaluations)} evaluations in ${count(it.runs)} runs${cost}.`));
  for (const each of it.budgets) {
    const reserved = each.in_flight ? `; unfinished runs may use ${count(each.in_flight)} more` : "";
    node.append(make("p", `Budget of the ${each.scope} ${each.of ?? ""} per ${each.per}: ${count(each.used)} of ${count(each.max_evaluations)} evaluations (${percent(each.used / (each.max_evaluations || 1))}) used since ${time(each.since)}${reserved}.`));
  }
  return node;
}

function history(one) {
  const last = one.newest;
  const count_ = `${one.windows.length} window${one.windows.length === 1 ? "" : "s"} of ${one.task_id}`;
  const heading = make("div", null, { class: "heading" }, make("h2", nameOf(one), { title: nameOf(one) }), status(one),
    make("span", last ? `${count_}; the newest is ${time(last.start || last.at)} to ${time(last.end || last.at)}` : "no results", { class: "muted" }), statusLinks(one));
  const section = make("section", null, { "aria-label": `Evaluator ${nameOf(one)}` }, heading);
  if (!last) return section;
  const facts = make("dl", null, { class: "facts" });
  const fact = (name, text) => facts.append(make("div", null, {}, make("dt", name, { class: "clamped", title: name }), make("dd", text)));
  // People may not have labelled the newest window yet.
  const checked = one.windows.filter((window) => window.human_labels).at(-1);
  const when = checked && checked !== last ? `, ${time(checked.start || checked.at)}` : "";
  for (const [label, it] of byShare(last.shares).slice(0, 3)) {
    fact(label, percent(it.share) + between(it, percent));
    const people = checked && calibrated(checked, label);
    if (people) fact(`${label}, calibrated${when}`, percent(people.mean) + between(people, percent));
  }
  if (checked) fact(`Human labels${when}`, count(checked.human_labels.labelled));
  if (last.score) fact("Mean score", score(last.score.mean) + between(last.score, score));
  fact("Evaluated", count(last.evaluated) + (last.complete === false ? ", incomplete" : ""));
  fact("Skipped", count(last.skipped));
  fact("Errors", count(last.errors));
  if (last.run) {
    fact("Evaluations of the run", count(last.run.evaluations) + (last.run.capped ? ", capped" : ""));
    fact("Estimated tokens, in and out", tokens(last.run));
    fact("Estimated cost of the run", range(last.run.cost, amount));
  }
  const chosen = make("p", "Click a window in a plot for its links, or select it with the arrow keys.", { class: "chosen", role: "status" });
  const choose = (window) => chosen.replaceChildren(
    `${time(window.start || window.at)} to ${time(window.end || window.at)}: `, badge(window.outcome), " ", make("span", null, { class: "links" }, links(one.dag_id, window)),
    ...problems(window).map((text) => make("span", text, { class: "problem" })));
  choose(last);
  const grid = make("div", null, { class: "plots", role: "group", tabindex: "0", "aria-label": `Plots of ${nameOf(one)}: select a window with the left and right arrow keys` });
  draw(grid, one, choose);
  section.append(facts, incidentList(one), chosen, grid, ...(checked ? [agreement(nameOf(one), checked)] : []), windowsTable(one));
  return section;
}

const tokens = (run) => `${range(run.input_tokens, amount)}, ${range(run.output_tokens, amount)}`;

// The newest incidents of rules with a history of windows.
function incidentList(one) {
  const start = (window) => time(window.start || window.at);
  const items = incidents(one).reverse().slice(0, MAX_INCIDENTS).map(({ rule, since, alarm, last, recovery }) => {
    const end = recovery === null ? `failing since ${time(since)}` : `failed from ${time(since)}, recovered ${start(one.windows[recovery])}`;
    return make("li", `${rule.segment ? `${rule.measure}, ${rule.segment}` : rule.measure} ${demanded(rule)}: ${end} (alarm ${start(one.windows[alarm])})`);
  });
  return items.length ? make("ul", null, { class: "incidents", "aria-label": `Incidents of ${nameOf(one)}` }, ...items) : "";
}
const MAX_INCIDENTS = 5;

// How often people gave each label, by the label of the evaluator.
function agreement(name, window) {
  const { table: found, annotation, labelled, agreement: agreed, is_random: isRandom, sample_problem: why } = window.human_labels;
  const columns = [...new Set(found.flatMap((row) => row.human_labels.map(([label]) => label)))];
  const text = `People gave ${count(labelled)} labels in ${annotation || "an annotation config"} for the window of ${time(window.start || window.at)}. Agreement: ${percent(agreed.value)}${between(agreed, percent)}. `
    + (isRandom ? "The spans are a random sample." : why ? `The spans are not a random sample: ${why}.` : "It is unknown whether the spans are a random sample.");
  const rows = found.map((row) => [row.label, ...columns.map((label) => number(count(new Map(row.human_labels).get(label) || 0)))]);
  return make("details", null, {}, make("summary", "Agreement with people"), make("p", text),
    table(`Labels of ${name} and of people`, ["Evaluator", ...columns.map((label) => `People: ${label}`)], rows));
}

function calibratedLines(window) {
  const lines = byShare(window.shares).map(([label]) => [label, calibrated(window, label)]).filter(([, it]) => it).map(([label, it]) => `${label} ${percent(it.mean)}${between(it, percent)}`);
  return lines.length ? make("span", lines.join("\n"), { class: "lines" }) : "–";
}

// The rules that did not pass.
const problems = (window) => window.rules.filter((rule) => rule.outcome !== PASSED)
  .map((rule) => [`${rule.measure} ${measured(rule)}, rule ${demanded(rule)}: ${rule.outcome}`, rule.note].filter(Boolean).join("; "));

function windowsTable(one) {
  const details = make("details", null, {}, make("summary", "The same numbers as a table"));
  const haveRuns = one.windows.some((window) => window.run), haveLabels = one.windows.some((window) => window.human_labels);
  const columns = [
    ["From", (window) => time(window.start || window.at)], ["To", (window) => time(window.end || window.at)], ["Gate", (window) => badge(window.outcome)],
    ["Links", (window) => make("span", null, { class: "links" }, links(one.dag_id, window))], ["Labels (interval)", labelLines],
    ...(haveLabels ? [["Calibrated (interval)", calibratedLines], ["Human labels", ({ human_labels: it }) => number(count(it && it.labelled))]] : []),
    ["Mean score (interval)", (window) => (window.score ? score(window.score.mean) + between(window.score, score) : "–")],
    ...recurring(one).map(({ rule, states }) => [`Evidence against ${rule.measure} ${demanded(rule)}`, (window) => { const it = states[one.windows.indexOf(window)]; return number(it ? `${amount(it.evidence)} of ${amount(it.evidence_needed)}` : "–"); }]),
    ["Evaluated", (window) => number(`${count(window.evaluated)}${window.complete === false ? " (incomplete)" : ""}`)],
    ["Skipped", (window) => number(count(window.skipped))], ["Errors", (window) => number(count(window.errors))],
    ...(haveRuns ? [["Estimated tokens, in and out", ({ run }) => (run ? tokens(run) : "–")], ["Estimated cost", ({ run }) => range(run && run.cost, amount)]] : []),
    ["Evaluator version", (window) => `${versionOf(window)}${window.is_new_version ? " (changed)" : ""}`],
  ];
  const fill = () => details.append(table(
    `Windows of ${nameOf(one)}`, columns.map(([head]) => head), [...one.windows].reverse().map((window) => columns.map(([, cell]) => cell(window))),
  ));
  details.addEventListener("toggle", fill, { once: true });
  return details;
}

function labelLines({ shares }) {
  const lines = byShare(shares).map(([label, it]) => `${label} ${percent(it.share)}${between(it, percent)}`);
  return lines.length ? make("span", lines.join("\n"), { class: "lines" }) : "–";
}

function links(dag, window) {
  const cell = document.createDocumentFragment();
  const isGate = window.gates.some((gate) => gate.task_id === window.task_id);
  if (!isGate) cell.append(link("results", taskInstance(dag, window)));
  for (const gate of window.gates) cell.append(link("gate", taskInstance(dag, gate)));
  if (window.spans_url) cell.append(link("spans in Arize", window.spans_url, { inNewTab: true }));
  return cell;
}

const number = (text) => make("span", text, { class: "number" });

// Status: a shape, a colour and a word, and why it is stale. -----------------------------------------------------------

function mark(state) {
  const points = corners(state, 7, 7, 5).map((corner) => corner.join(",")).join(" ");
  return drawn("svg", { viewBox: "0 0 14 14", class: `mark ${state}`, "aria-hidden": "true" }, drawn("polygon", { points }));
}

function badge(state) {
  return state ? make("span", null, { class: `badge ${state}` }, mark(state), state) : make("span", "no gate", { class: "muted" });
}

function status(one) {
  const { newest, status: { state, why, at } } = one;
  const since = one.failing_since && newest ? (Date.parse(one.failing_since) < Date.parse(newest.start) ? `failing since ${time(one.failing_since)}` : "failing in this window") : "";
  if (state !== STALE) return since ? make("span", null, { class: "status" }, badge(state), make("span", since, { class: "muted" })) : badge(state);
  const last = since ? `; ${since}` : one.outcome ? `; last verdict: ${one.outcome}` : "";
  return make("span", null, { class: "status" }, badge(state), make("span", WHY[why](time(at)) + last, { class: "muted" }));
}
const WHY = {
  failed: (at) => `the run of ${at} failed`,
  skipped: (at) => `skipped in the run of ${at}`,
  no_results: (at) => `no results in the run of ${at}`,
  removed: (at) => `not part of the run of ${at}`,
  paused: (at) => `the DAG is paused; a run was due ${at}`,
  overdue: (at) => `a run was due ${at}`,
};

function statusLinks(one) {
  const { run_id: run } = one.status;
  return run ? link("DAG run", dagRunPage(one.dag_id, run)) : "";
}

function legend(found) {
  const sign = (...children) => drawn("svg", { viewBox: "0 0 24 14", class: "sign", "aria-hidden": "true" }, ...children);
  const entry = (picture, text) => make("li", null, {}, picture, text);
  return make("ul", null, { class: "legend", "aria-label": "Legend" },
    entry(sign(drawn("rect", { class: "band", x: 0, y: 1, width: 24, height: 12 }), drawn("line", { class: "line", x1: 0, x2: 24, y1: 7, y2: 7 })), "measured, with its interval"),
    entry(sign(drawn("line", { class: "bound", x1: 0, x2: 24, y1: 7, y2: 7 })), "the gate's bound"),
    entry(mark(PASSED), "passed"), entry(mark(INCONCLUSIVE), "inconclusive"), entry(mark(FAILED), "failed"), entry(mark(STALE), "stale: no verdict of the newest run"),
    entry(sign(drawn("line", { class: "version", x1: 12, x2: 12, y1: 0, y2: 14 })), "evaluator version changed"),
    ...(found.some((one) => one.windows.some((window) => window.human_labels)) ? [entry(sign(drawn("line", { class: "people", x1: 12, x2: 12, y1: 0, y2: 14 }), drawn("rect", { class: "people", x: 9, y: 4, width: 6, height: 6 })), "calibrated by human labels, with its interval")] : []),
    ...(found.some((one) => incidents(one).length) ? [entry(sign(drawn("rect", { class: "incident", x: 0, y: 0, width: 24, height: 14 }), drawn("line", { class: "alarm", x1: 12, x2: 12, y1: 0, y2: 14 })), "incident, and the window of its alarm")] : []),
    entry(sign(drawn("circle", { class: "part", cx: 12, cy: 7, r: 4 })), "incomplete results"),
    entry(sign(...[["counted", 0], ["skipped", 8], ["errors", 16]].map(([name, x]) => drawn("rect", { class: name, x, y: 1, width: 7, height: 12 }))), "evaluated, skipped, errors"));
}

// One task instance: the verdict of a gate, or the numbers of a window. ------------------------------------------

function instance(main) {
  const here = (shown.records || []).filter((one) => one.task_id === task && (one.map_index === mapIndex || !(mapIndex >= 0)));
  const cut = shown.is_cut ? "Not all records of this DAG run are shown." : "";
  if (!here.length) return say(cut || "This task instance has no evals. Only finished tasks with EvalResultsOperator or EvalGateOperator have evals.");
  say(cut);
  $("zone").hidden = false;
  for (const one of here) main.append(one.kind === "verdict" ? verdict(one) : results(one));
}

function verdict(one) {
  const { value } = one, outcomes = value.rules.map((rule) => rule.outcome);
  const outcome = OUTCOMES.includes(value.outcome) ? value.outcome : OUTCOMES.find((each) => outcomes.includes(each));
  const title = value.passed ? "The gate passed" : value.passed === false && value.approved !== true ? "The gate did not pass" : "The gate's verdict";
  const section = make("section", null, { "aria-label": title }, make("div", null, { class: "heading" }, make("h2", title), badge(outcome)));
  if (value.approved !== null) section.append(make("p", `${value.approved ? "Approved" : "Not approved"} by ${value.responded_by || "a person"}.`));
  if (value.start) section.append(make("p", `Spans from ${time(value.start)} to ${time(value.end)}.${value.false_alarms_per_year ? ` False alarms per year of all rules together: at most ${value.false_alarms_per_year}.` : value.confidence ? ` Rules are checked with intervals of ${Number((100 * value.confidence).toPrecision(4))} % confidence.` : " Rules are checked against the measured values."}`, { class: "muted" }));
  section.append(table(
    "The rules of the gate",
    ["Evaluator", "Measure", "Rule", "Measured (interval)", "Evaluations", "Outcome", "Note"],
    value.rules.map((rule) => [
      rule.evaluator === "*" ? "all" : rule.evaluator, rule.segment ? `${rule.measure}, ${rule.segment}` : rule.measure, demanded(rule),
      measured(rule), number(count(rule.evaluations)), OUTCOMES.includes(rule.outcome) ? badge(rule.outcome) : "–",
      [rule.note, rule.evaluations_needed ? `about ${count(rule.evaluations_needed)} evaluations needed` : ""].filter(Boolean).join("; ") || "–",
    ]),
  ));
  const checked = shown.records.find((other) => other.kind === "results" && other.value.run_id === value.run_id && other.value.start === value.start);
  if (checked) section.append(make("p", null, { class: "links" }, links(ownDag, { ...checked, gates: [], spans_url: checked.value.spans_url })));
  return section;
}

function results(one) {
  const { value } = one, haveLabels = Object.values(value.evaluators).some((found) => found.human_labels);
  const section = make("section", null, { "aria-label": "Results" }, make("div", null, { class: "heading" }, make("h2", `Spans from ${time(value.start)} to ${time(value.end)}`)));
  section.append(make("p", [
    value.expected === null ? "" : `The run evaluated ${count(value.expected)}`, value.skipped === null ? "" : `skipped ${count(value.skipped)}`,
    value.errors === null ? "" : `failed on ${count(value.errors)}`,
  ].filter(Boolean).join(", ") + (value.complete === false ? ". Not all evaluations could be read." : value.complete ? ". All evaluations were read." : "."), { class: "muted" }));
  section.append(table(
    "Evaluators", ["Evaluator", "Labels (interval)", ...(haveLabels ? ["Calibrated (interval)"] : []), "Mean score (interval)", "Evaluated", "Not evaluated", "Evaluator version"],
    Object.entries(value.evaluators).map(([name, found]) => [
      name, labelLines(found), ...(haveLabels ? [calibratedLines(found)] : []), found.score ? score(found.score.mean) + between(found.score, score) : "–",
      number(count(found.evaluated)), number(count(found.not_evaluated)), versionOf(found),
    ]),
  ));
  for (const [name, found] of Object.entries(value.evaluators)) if (found.human_labels) section.append(agreement(name, { ...value, ...found }));
  if (value.spans_url) section.append(make("p", null, {}, link("Spans in Arize", value.spans_url, { inNewTab: true })));
  return section;
}

function table(caption, head, rows) {
  const body = make("tbody", null, {}, ...rows.map((row) => make("tr", null, {}, ...row.map((cell) => {
    const field = make("td", null, {}, cell instanceof Node ? cell : String(cell ?? "–"));
    if (field.textContent.length > 28 && !field.querySelector(".links, .stack, .subject")) field.className = "text";
    if (cell instanceof Element && cell.classList.contains("number")) field.className = "number";
    return field;
  }))));
  const columns = make("tr", null, {}, ...head.map((text) => make("th", text, { scope: "col" })));
  return make("div", null, { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    make("table", null, {}, make("caption", caption, { class: "unseen" }), make("thead", null, {}, columns), body));
}

// Filters -----------------------------------------------------------------------------------------------------

const FILTERS = ["dag", "evaluator", "status", "sort", "days", "from", "to"];
const DEFAULTS = Object.fromEntries(FILTERS.map((name) => [name, $(name).value]));

// Set the filters to those of the URL; a tab's DAG is fixed.
function restore() {
  const filters = { ...DEFAULTS, ...readFilters() };
  if (filters.from && filters.to) filters.days = "";
  if (ownDag) filters.dag = ownDag;
  if (filters.dag) offer(filters.dag);
  for (const name of FILTERS) $(name).value = filters[name];
  $("dates").hidden = Boolean($("days").value);
}

function keep(options) {
  const filters = Object.fromEntries(FILTERS.map((name) => [name, $(name).value === DEFAULTS[name] ? "" : $(name).value]));
  if ($("dates").hidden) filters.from = filters.to = "";
  if (ownDag) filters.dag = "";
  writeFilters(filters, options);
}

function show(dag) {
  offer(dag);
  $("dag").value = dag;
  keep({ isNewEntry: true });
  load();
}
window.addEventListener("popstate", () => {
  restore();
  load();
});

$("filters").addEventListener("submit", (event) => event.preventDefault());
$("dag").addEventListener("change", () => show($("dag").value));
$("days").addEventListener("change", () => {
  $("dates").hidden = Boolean($("days").value);
});
for (const id of ["days", "from", "to"]) $(id).addEventListener("change", () => { keep(); load(); });
for (const id of ["evaluator", "status", "sort"]) $(id).addEventListener("input", () => { keep(); render(); });
$("dag-filter").hidden = Boolean(ownDag);
// A tab of a task instance is about one time.
$("filters").hidden = Boolean(dagRun);
restore();
follow(() => ($("dates").hidden ? render() : load())); // a day starts at another time in another time zone
load();
