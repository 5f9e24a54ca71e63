// The Evals page: filters, views and tables. Texts of records are inserted as text, never as HTML.
import { asked, follow, link, taskInstance, time, timeZone } from "./airflow.js";
import { clear, corners, draw } from "./plots.js";
import { FAILED, INCONCLUSIVE, PASSED, between, figure, histories, outcomeOf, percent } from "./windows.js";

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const DAY = 86_400_000;
const MAX_DAYS = 366;
// The task or task instance of the tab; null on the page of the navigation.
const task = asked.get("task_id"), dagRun = asked.get("run_id");
let shown = { records: [], is_cut: false };
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

// Return the URL of the records that the filters select; null while a date is missing or wrong.
function source() {
  const dag = $("dag").value;
  const query = new URLSearchParams();
  if (dag) query.set("dag_id", dag);
  if (dagRun) {
    query.set("run_id", dagRun);
  } else if ($("days").value) {
    query.set("days", $("days").value);
  } else {
    const from = Date.parse($("from").value), to = Date.parse($("to").value);
    const days = Math.round((to - from) / DAY) + 1;
    if (isNaN(days)) return null;
    if (days < 1 || days > MAX_DAYS) {
      problem = `From must be before To, and at most ${MAX_DAYS} days.`;
      return null;
    }
    query.set("days", days);
    query.set("until", new Date(to + DAY).toISOString());
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
  let found = { records: [], is_cut: false };
  try {
    const response = await fetch(address, { headers: { Accept: "application/json" } });
    if (response.ok) found = await response.json();
    else problem = MESSAGES[response.status] || `Airflow returned HTTP ${response.status}. If it happens again, check the log of the API server.`;
  } catch {
    problem = "No response from Airflow. Reload the page.";
  }
  if (mine !== asking) return; // a newer request was sent
  shown = found;
  if (!$("dag").value) for (const id of new Set(shown.records.map((one) => one.dag_id))) offer(id);
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

function render() {
  clear();
  const main = $("main"), dag = $("dag").value;
  main.replaceChildren();
  $("zone").textContent = `Times are in ${timeZone()}, as in the rest of Airflow. Intervals have a confidence of 95 %.`;
  $("zone").hidden = true;
  $("title").textContent = dagRun ? "Evals of this task instance" : task ? `Evals of ${task}` : dag ? `Evals of ${dag}` : "Evals";
  if (problem) return say(problem, true);
  if (dagRun) return instance(main);
  const all = ofTask(histories(shown.records));
  $("evaluators").replaceChildren(...[...new Set(all.map((one) => one.name))].map((name) => make("option", null, { value: name })));
  const wanted = $("evaluator").value.trim().toLowerCase();
  const found = all.filter((one) => one.name.toLowerCase().includes(wanted));
  if (!found.length) return say(nothing(all.length > 0));
  say(shown.is_cut ? "Not all records are shown. Select a DAG or a shorter time." : "");
  $("zone").hidden = false;
  if (!dag) return main.append(overview(found));
  main.append(legend());
  for (const one of found) main.append(history(one));
}

// The evals of a task; for a gate, those that it checks.
function ofTask(found) {
  if (!task) return found;
  const own = found.filter((one) => one.task_id === task);
  if (own.length) return own;
  return found.filter((one) => one.windows.some((window) => window.gates.some((gate) => gate.task_id === task)));
}

function nothing(haveOthers) {
  if (haveOthers) return "No evaluator matches this name.";
  const when = $("days").value ? `in the ${$("days").selectedOptions[0].textContent.toLowerCase()}` : "in this time";
  if (task) return `This task has no evals ${when}. Only finished tasks with EvalResultsOperator or EvalGateOperator have evals.`;
  return `No evals ${when}. They appear here when a task with EvalResultsOperator has finished.`;
}

function overview(found) {
  const haveTasks = new Set(found.map((one) => JSON.stringify([one.dag_id, one.name]))).size < found.length;
  const rows = found.map((one) => {
    const last = one.windows.at(-1);
    const dag = make("button", one.dag_id, { class: "link", type: "button" });
    dag.addEventListener("click", () => show(one.dag_id));
    return [
      dag, haveTasks ? `${one.name} (${one.task_id})` : one.name, badge(last.outcome), trend(one),
      last.evaluator.score ? figure(last.evaluator.score.mean) + between(last.evaluator.score, figure) : "–",
      labels(last, 4, false), number(last.evaluator.evaluated), time(last.value.end || last.at), links(last),
    ];
  });
  return table(
    "The newest window of each evaluator",
    ["DAG", "Evaluator", "Gate", "Trend", "Mean score (interval)", "Labels", "Evaluated", "End of window", "Links"], rows,
  );
}

// The trend of the newest windows: the mean score, else the share of the most frequent label.
function trend(one) {
  const last = one.windows.at(-1).evaluator, label = Object.keys(last.shares)[0];
  const values = one.windows.slice(-12).map(({ evaluator }) => {
    if (last.score) return evaluator.score && evaluator.score.mean;
    return label === undefined ? null : Object.hasOwn(evaluator.shares, label) ? evaluator.shares[label].share : 0;
  }).filter((value) => typeof value === "number");
  if (values.length < 2) return "–";
  const low = Math.min(...values), room = Math.max(...values) - low;
  const points = values.map((value, place) => {
    const down = room ? 18 - (16 * (value - low)) / room : 10;
    return `${((96 * place) / (values.length - 1) + 2).toFixed(1)},${down.toFixed(1)}`;
  });
  const what = last.score ? "mean score" : label;
  const name = `${what} of the newest ${values.length} windows, from ${figure(values[0])} to ${figure(values.at(-1))}`;
  return drawn("svg", { viewBox: "0 0 100 20", class: "trend", role: "img", "aria-label": name }, drawn("polyline", { points: points.join(" ") }));
}

function history(one) {
  const last = one.windows.at(-1), { evaluator, value } = last;
  const facts = make("dl", null, { class: "facts" });
  const fact = (name, text) => facts.append(make("div", null, {}, make("dt", name), make("dd", text)));
  for (const [label, it] of Object.entries(evaluator.shares).slice(0, 3)) fact(label, percent(it.share) + between(it, percent));
  if (evaluator.score) fact("Mean score", figure(evaluator.score.mean) + between(evaluator.score, figure));
  fact("Evaluated", figure(evaluator.evaluated) + (value.complete === false ? ", incomplete" : ""));
  fact("Skipped", figure(value.skipped));
  fact("Errors", figure(value.errors));
  const chosen = make("p", "Click a window in a plot for its links.", { class: "chosen", role: "status" });
  const grid = make("div", null, { class: "plots", "aria-hidden": "true" });
  const count = `${one.windows.length} window${one.windows.length === 1 ? "" : "s"}`;
  const heading = make("div", null, { class: "heading" }, make("h2", one.name), badge(last.outcome),
    make("span", `${count} of ${one.task_id}; the newest ends ${time(value.end || last.at)}`, { class: "muted" }));
  requestAnimationFrame(() => {
    if (grid.isConnected) draw(grid, one, (window) => chosen.replaceChildren(`${time(window.value.start)} to ${time(window.value.end || window.at)}: `, links(window)));
  });
  return make("section", null, { "aria-label": `Evaluator ${one.name}` }, heading, facts, grid, chosen, windowsTable(one));
}

function windowsTable(one) {
  const details = make("details", null, {}, make("summary", "The same numbers as a table"));
  const fill = () => details.append(table(
    `Windows of ${one.name}`,
    ["From", "To", "Gate", "Labels (interval)", "Mean score (interval)", "Evaluated", "Skipped", "Errors", "Evaluator version", "Links"],
    [...one.windows].reverse().map((window) => {
      const { evaluator, value } = window;
      return [
        time(value.start || window.at), time(value.end || window.at), badge(window.outcome), labels(window, Infinity, true),
        evaluator.score ? figure(evaluator.score.mean) + between(evaluator.score, figure) : "–",
        number(`${figure(evaluator.evaluated)}${value.complete === false ? " (incomplete)" : ""}`), number(figure(value.skipped)), number(figure(value.errors)),
        `${evaluator.evaluator_version || "–"}${window.newVersion ? " (changed)" : ""}`, links(window),
      ];
    }),
  ));
  details.addEventListener("toggle", fill, { once: true });
  return details;
}

function labels(window, most, withIntervals) {
  const all = Object.entries(window.evaluator.shares);
  const lines = all.slice(0, most).map(([label, it]) => `${label} ${percent(it.share)}${withIntervals ? between(it, percent) : ""}`);
  if (all.length > most) lines.push(`${all.length - most} more`);
  return lines.length ? make("span", lines.join(withIntervals ? "\n" : ", "), { class: "lines" }) : "–";
}

function links(window) {
  const cell = make("span", null, { class: "links" }, link("results", taskInstance(window)));
  for (const gate of window.gates) cell.append(link("gate", taskInstance(gate)));
  if (window.value.spans_url) cell.append(link("spans in Arize", window.value.spans_url, { inNewTab: true }));
  return cell;
}

const number = (text) => make("span", text, { class: "number" });

// Verdicts: a shape, a colour and a word. ---------------------------------------------------------------------------

function mark(outcome) {
  const points = corners(outcome, 7, 7, 5).map((corner) => corner.join(",")).join(" ");
  return drawn("svg", { viewBox: "0 0 14 14", class: `mark ${outcome}`, "aria-hidden": "true" }, drawn("polygon", { points }));
}

function badge(outcome) {
  return outcome ? make("span", null, { class: `badge ${outcome}` }, mark(outcome), outcome) : make("span", "–", { class: "muted" });
}

function legend() {
  const sign = (...children) => drawn("svg", { viewBox: "0 0 24 14", class: "sign", "aria-hidden": "true" }, ...children);
  const entry = (picture, text) => make("li", null, {}, picture, text);
  return make("ul", null, { class: "legend", "aria-label": "Legend" },
    entry(sign(drawn("rect", { class: "band", x: 0, y: 1, width: 24, height: 12 }), drawn("line", { class: "line", x1: 0, x2: 24, y1: 7, y2: 7 })), "measured, with its interval"),
    entry(sign(drawn("line", { class: "bound", x1: 0, x2: 24, y1: 7, y2: 7 })), "the gate's bound"),
    entry(mark(PASSED), "passed"), entry(mark(INCONCLUSIVE), "inconclusive"), entry(mark(FAILED), "failed"),
    entry(sign(drawn("line", { class: "version", x1: 12, x2: 12, y1: 0, y2: 14 })), "evaluator version changed"),
    entry(sign(drawn("circle", { class: "part", cx: 12, cy: 7, r: 4 })), "incomplete results"),
    entry(sign(...[["counted", 0], ["skipped", 8], ["errors", 16]].map(([name, x]) => drawn("rect", { class: name, x, y: 1, width: 7, height: 12 }))), "evaluated, skipped, errors"));
}

// One task instance: the verdict of a gate, or the numbers of a window. ------------------------------------------

function instance(main) {
  const index = Number.parseInt(asked.get("map_index") ?? "-1", 10);
  const here = shown.records.filter((one) => one.task_id === task && (isNaN(index) || index < 0 || one.map_index === index));
  if (!here.length) return say("This task instance has no evals. Only finished tasks with EvalResultsOperator or EvalGateOperator have evals.");
  say("");
  $("zone").hidden = false;
  for (const one of here) main.append(one.kind === "verdict" ? verdict(one) : results(one));
}

function verdict(one) {
  const { value } = one, outcome = value.outcome in TITLES ? value.outcome : outcomeOf(value.rules);
  const title = value.passed ? "The gate passed" : value.passed === false && value.approved !== true ? "The gate did not pass" : "The gate's verdict";
  const section = make("section", null, { "aria-label": title }, make("div", null, { class: "heading" }, make("h2", title), badge(outcome)));
  if (value.approved !== null) section.append(make("p", `${value.approved ? "Approved" : "Not approved"} by ${value.responded_by || "a person"}.`));
  if (value.start) section.append(make("p", `Spans from ${time(value.start)} to ${time(value.end)}.${value.confidence ? ` Rules are checked with intervals of ${figure(100 * value.confidence)} % confidence.` : " Rules are checked against the measured values."}`, { class: "muted" }));
  section.append(table(
    "The rules of the gate",
    ["Evaluator", "Measure", "Rule", "Measured (interval)", "Evaluations", "Outcome", "Note"],
    value.rules.map((rule) => [
      rule.evaluator === "*" ? "all" : rule.evaluator, rule.segment ? `${rule.measure}, ${rule.segment}` : rule.measure, rule.rule,
      figure(rule.measured) + between(rule, figure), number(figure(rule.evaluations)), badge(rule.outcome in TITLES ? rule.outcome : null),
      [rule.note, rule.evaluations_needed ? `about ${figure(rule.evaluations_needed)} evaluations needed` : ""].filter(Boolean).join("; ") || "–",
    ]),
  ));
  const checked = shown.records.find((other) => other.kind === "results" && other.value.run_id === value.run_id && other.value.start === value.start);
  if (checked) section.append(make("p", null, {}, links({ ...checked, gates: [] })));
  return section;
}
const TITLES = { [PASSED]: 1, [INCONCLUSIVE]: 1, [FAILED]: 1 };

function results(one) {
  const { value } = one;
  const section = make("section", null, { "aria-label": "Results" }, make("div", null, { class: "heading" }, make("h2", `Spans from ${time(value.start)} to ${time(value.end)}`)));
  section.append(make("p", [
    value.expected === null ? "" : `The run evaluated ${figure(value.expected)}`, value.skipped === null ? "" : `skipped ${figure(value.skipped)}`,
    value.errors === null ? "" : `failed on ${figure(value.errors)}`,
  ].filter(Boolean).join(", ") + (value.complete === false ? ". Not all evaluations could be read." : value.complete ? ". All evaluations were read." : "."), { class: "muted" }));
  section.append(table(
    "Evaluators", ["Evaluator", "Labels (interval)", "Mean score (interval)", "Evaluated", "Not evaluated", "Evaluator version"],
    Object.entries(value.evaluators).map(([name, found]) => [
      name, labels({ evaluator: found }, Infinity, true), found.score ? figure(found.score.mean) + between(found.score, figure) : "–",
      number(figure(found.evaluated)), number(figure(found.not_evaluated)), found.evaluator_version || "–",
    ]),
  ));
  if (value.spans_url) section.append(make("p", null, {}, link("Spans in Arize", value.spans_url, { inNewTab: true })));
  return section;
}

function table(caption, head, rows) {
  const body = make("tbody", null, {}, ...rows.map((row) => make("tr", null, {}, ...row.map((cell) => {
    const field = make("td", null, {}, cell instanceof Node ? cell : String(cell ?? "–"));
    if (field.textContent.length > 28 && !field.querySelector(".links")) field.className = "text";
    if (cell instanceof Element && cell.classList.contains("number")) field.className = "number";
    return field;
  }))));
  const columns = make("tr", null, {}, ...head.map((text) => make("th", text, { scope: "col" })));
  return make("div", null, { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    make("table", null, {}, make("caption", caption, { class: "unseen" }), make("thead", null, {}, columns), body));
}

// Filters -----------------------------------------------------------------------------------------------------

// Show a DAG, or all of them, with an address to come back to.
function show(dag) {
  offer(dag);
  $("dag").value = dag;
  window.history.pushState(null, "", dag ? `?dag_id=${encodeURIComponent(dag)}` : location.pathname);
  load();
}
window.addEventListener("popstate", () => {
  const dag = new URLSearchParams(location.search).get("dag_id") || "";
  if (dag) offer(dag);
  $("dag").value = dag;
  load();
});

$("filters").addEventListener("submit", (event) => event.preventDefault());
$("dag").addEventListener("change", () => show($("dag").value));
$("days").addEventListener("change", () => {
  $("dates").hidden = Boolean($("days").value);
  load();
});
for (const id of ["from", "to"]) $(id).addEventListener("change", load);
$("evaluator").addEventListener("input", render);
if (asked.get("dag_id")) {
  offer(asked.get("dag_id"));
  $("dag").value = asked.get("dag_id");
}
// A tab of a task is about one DAG, and one of a task instance about one time too.
$("dag-filter").hidden = Boolean(task);
$("filters").hidden = Boolean(dagRun);
follow(render);
load();
