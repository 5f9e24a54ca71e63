// Small plots of a history: one per label, one for the mean score, one for the counts.
import { colour, tick, time, timeZone } from "./airflow.js";
import { FAILED, INCONCLUSIVE, OUTCOMES, PASSED, STALE, amount, between, bounds, calibrated, count, demanded, incidents, labelsOf, measured, percent, recurring, score, share, versionOf } from "./windows.js";

const MAX_LABELS = 8, MAX_RULES = 8;
const HEIGHT = 150, MIN_WIDTH = 240;
const CLOSE = 1e-4, DAY = 86_400;
// Height of the row above the plot with the outcomes of the gate.
const ROW = 16;
// Width of the marks of outcomes. Windows that are closer share one mark, with the worst outcome.
const MARK = 11;
let plots = [];
let groups = 0;
const waiting = new Map();

const watch = new ResizeObserver((entries) => {
  for (const entry of entries) {
    const plot = plots.find((one) => one.root.parentNode === entry.target);
    const width = Math.floor(entry.contentRect.width);
    if (plot && width >= MIN_WIDTH && width !== plot.width) plot.setSize({ width, height: HEIGHT });
  }
});

// Plots are drawn when they are about to be visible.
const visible = new IntersectionObserver((entries) => {
  for (const { target } of entries.filter((entry) => entry.isIntersecting)) {
    visible.unobserve(target);
    waiting.get(target)();
    waiting.delete(target);
  }
}, { rootMargin: "300px" });

export function clear() {
  watch.disconnect();
  visible.disconnect();
  waiting.clear();
  for (const plot of plots) plot.destroy();
  plots = [];
}

// Draw the plots of a history into a node; `choose` is called with the window that the user selects.
export function draw(grid, one, choose) {
  waiting.set(grid, () => {
    const group = uPlot.sync(`evaluator ${(groups += 1)}`);
    for (const plot of plan(one)) small({ grid, one, group, choose, ...plot });
    useKeys(grid, one, group.plots[0], choose);
  });
  visible.observe(grid);
}

// Return the plots of a history.
function plan(one) {
  const scores = one.windows.map((window) => window.score);
  const labels = labelsOf(one);
  // If one label scores 1 and the others 0, the mean score equals the share of that label: draw it once.
  const same = labels.find((label) => one.windows.every((window, place) => {
    const it = share(window, label);
    return !scores[place] || (it && Math.abs(it.mean - scores[place].mean) < CLOSE);
  }));
  const found = [], failures = incidents(one), rules = recurring(one).slice(0, MAX_RULES);
  const of = (measure) => failures.filter(({ rule }) => rule.measure === measure && !rule.segment);
  if (scores.some(Boolean) && same === undefined) {
    found.push(line({ one, title: "Mean score", write: score, points: scores, failures: of("score_mean"), bound: (window) => bounds(window, "score_mean") }));
  }
  for (const label of labels.slice(0, MAX_LABELS)) {
    const isMean = label === same && scores.some(Boolean);
    found.push(line({
      one, title: `Share of ${label}${isMean ? " (the mean score)" : ""}, %`, write: percent, isShare: true,
      points: one.windows.map((window) => share(window, label)), people: one.windows.map((window) => calibrated(window, label)),
      failures: [...of(label), ...(isMean ? of("score_mean") : [])],
      bound: (window) => [...bounds(window, label), ...bounds(window, `calibrated ${label}`), ...(isMean ? bounds(window, "score_mean") : [])],
    }));
    for (const each of rules.filter(({ rule }) => rule.measure === label)) found.push(evidence(one, each, failures));
  }
  for (const each of rules.filter(({ rule }) => !labels.slice(0, MAX_LABELS).includes(rule.measure))) found.push(evidence(one, each, failures));
  return [...found, counts(one)];
}

// The evidence of several windows against a rule, on a logarithmic scale, and the threshold from which the rule fails.
function evidence(one, { rule, states }, failures) {
  const numbers = (name) => states.map((state) => (state ? Math.max(LEAST_EVIDENCE, state[name]) : null));
  const name = rule.segment ? `${rule.measure} (${rule.segment})` : rule.measure;
  return {
    title: `Evidence against ${name} ${demanded(rule)}`, write: amount, isLog: true,
    data: [numbers("evidence"), numbers("evidence_needed")],
    series: [
      { stroke: colour("--accent"), width: 1.5, points: { show: one.windows.length <= 60, size: 5, stroke: colour("--accent"), fill: colour("--accent") } },
      { stroke: colour("--failed"), width: 1, dash: [5, 4], points: { show: false } },
    ],
    failures: failures.filter((each) => demanded(each.rule) === demanded(rule) && each.rule.measure === rule.measure && each.rule.segment === rule.segment),
    range: (_, high) => [LEAST_EVIDENCE, 2 * (high || 1)],
    tip: (place) => (states[place] ? [`evidence ${amount(states[place].evidence)} of ${amount(states[place].evidence_needed)} since ${time(states[place].evidence_since)}`] : ["nothing measured"]),
    value: () => null,
  };
}
const LEAST_EVIDENCE = 0.1;

// Return at most six powers of ten, for the axis.
function powers(high) {
  const last = Math.floor(Math.log10(high)), step = Math.ceil((last + 2) / 6);
  return [...Array(Math.floor((last + 1) / step) + 1).keys()].map((each) => 10 ** (each * step - 1));
}

function line({ one, title, write, isShare, points, bound, people = [], failures }) {
  const limits = one.windows.map((window) => bound(window));
  const pick = (name) => points.map((point) => (point && point[name] !== undefined ? point[name] : null));
  const main = colour("--accent"), limit = colour("--failed");
  const few = one.windows.length <= 60;
  const hidden = { stroke: "transparent", points: { show: false } };
  return {
    title, write, isShare, people, failures,
    data: [
      pick("low"), pick("high"), pick("mean"), limits.map((all) => (all.length ? Math.max(...all) : null)), limits.map((all) => (all.length ? Math.min(...all) : null)),
      // Drawn by `marks`; here they extend the scale.
      ...(people.some(Boolean) ? ["low", "high"].map((end) => people.map((each) => each && each[end])) : []),
    ],
    series: [
      hidden, hidden,
      { stroke: main, width: 1.5, points: { show: few, size: 5, stroke: main, fill: main } },
      { stroke: limit, width: 1, dash: [5, 4], points: { show: few && limits.filter((all) => all.length).length === 1 } },
      { stroke: limit, width: 1, dash: [5, 4], points: { show: false } },
      ...(people.some(Boolean) ? [hidden, hidden] : []),
    ],
    bands: [{ series: [2, 1], fill: colour("--band") }],
    range: (low, high) => rangeOf(low, high, isShare),
    tip: (place) => (points[place] ? [write(points[place].mean) + between(points[place], write)] : ["nothing measured"])
      .concat(people[place] ? [`calibrated ${write(people[place].mean)}${between(people[place], write)}`] : []),
    value: (place) => points[place] && points[place].mean,
  };
}

function counts(one) {
  const evaluated = one.windows.map((window) => window.evaluated);
  const skipped = one.windows.map((window) => window.skipped || 0), errors = one.windows.map((window) => window.errors || 0);
  const upTo = (...parts) => evaluated.map((_, place) => parts.reduce((sum, part) => sum + part[place], 0));
  const bars = (name) => ({ stroke: "transparent", width: 0, fill: colour(name), paths: uPlot.paths.bars({ size: [0.7, 24, 1] }), points: { show: false } });
  return {
    title: "Evaluated, skipped and errors", write: count,
    // The tallest first: each bar covers the lower part of the previous one.
    data: [upTo(evaluated, skipped, errors), upTo(evaluated, skipped), evaluated],
    series: [bars("--failed"), bars("--faint"), bars("--counted")],
    range: (_, high) => [0, (high || 1) * 1.05],
    tip: (place) => [`${evaluated[place]} evaluated, ${skipped[place]} skipped, ${errors[place]} errors`],
    value: () => null,
  };
}

function rangeOf(low, high, isShare) {
  if (low === null || high === null) return [0, 1];
  const room = Math.max((high - low) * 0.08, isShare ? 0.005 : Math.abs(high) * 0.01 || 0.01);
  return isShare ? [Math.max(0, low - room), Math.min(1, high + room)] : [low - room, high + room];
}

function small({ grid, one, group, choose, title, write, isShare, data, series, bands, range, tip, value, isLog, people = [], failures = [] }) {
  const windows = one.windows, times = windows.map((window) => window.seconds);
  const figureNode = document.createElement("div");
  figureNode.className = "plot";
  const heading = document.createElement("h3");
  heading.textContent = heading.title = title;
  const holder = document.createElement("div");
  figureNode.append(heading, holder);
  grid.append(figureNode);
  const bubble = document.createElement("div");
  bubble.className = "tip";
  bubble.hidden = true;
  const axis = { stroke: colour("--muted"), font: `11px ${colour("--font")}`, grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
  // A margin of half a window on both sides; half a day for a single window.
  const first = times[0], last = times.at(-1), room = (last - first) / windows.length / 2 || DAY / 2;
  const plot = new uPlot({
    width: Math.max(MIN_WIDTH, Math.floor(holder.clientWidth)), height: HEIGHT, padding: [ROW + 6, 14, 0, 0],
    legend: { show: false },
    cursor: {
      sync: { key: group.key }, points: { size: 7 }, drag: { x: false, y: false }, y: false,
      // Snap to the nearest window.
      move: (self, left, top) => [left < 0 ? left : self.valToPos(times[self.posToIdx(left)], "x"), top],
    },
    scales: { x: { time: true, range: () => [first - room, last + room] }, y: { distr: isLog ? 3 : 1, range: (_, low, high) => range(low, high) } },
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1e3), timeZone()),
    series: [{}, ...series], bands,
    axes: [
      { ...axis, space: 58, size: 26, values: (_, ticks, __, ___, step) => ticks.map((each) => tick(each, step)) },
      { ...axis, space: 26, size: 44, ...(isLog
        ? { splits: (_, __, ___, high) => powers(high), filter: (_, splits) => splits, values: (_, ticks) => ticks.map(String) }
        : { values: (_, ticks) => ticks.map((each) => (isShare ? String(Number((100 * each).toFixed(2))) : write(each))) }) },
    ],
    hooks: {
      draw: [(self) => { shade(self, windows, failures); marks(self, windows, value, Boolean(bands)); whiskers(self, windows, people); }],
      setCursor: [(self) => hover(self, bubble, windows, tip)],
    },
  }, [times, ...data], holder);
  group.sub(plot);
  plots.push(plot);
  watch.observe(holder);
  plot.over.append(bubble);
  plot.over.addEventListener("click", () => {
    const window = windows[plot.cursor.idx];
    if (window) choose(window);
  });
}

// Shapes, also of the legend, so that outcomes differ without colour. ---------------------------------------------------

const SHAPES = {
  [PASSED]: (size) => [...Array(12).keys()].map((each) => [0.62 * size * Math.cos((each * Math.PI) / 6), 0.62 * size * Math.sin((each * Math.PI) / 6)]),
  [INCONCLUSIVE]: (size) => [[0, -size], [size, 0], [0, size], [-size, 0]],
  [FAILED]: (size) => [[-size, -size * 0.9], [size, -size * 0.9], [0, size]],
  [STALE]: (size) => [[-size, -size], [size, -size], [size, size], [-size, size]].map((corner) => corner.map((each) => each * 0.8)),
};
export const corners = (outcome, x, y, size) => SHAPES[outcome](size).map(([right, down]) => [x + right, y + down]);

function marks(self, windows, value, hasText) {
  const { ctx, bbox } = self, ratio = devicePixelRatio, size = 4.5 * ratio;
  const x = (place) => self.valToPos(windows[place].seconds, "x", true);
  const places = [...windows.keys()];
  ctx.save();
  ctx.strokeStyle = colour("--muted");
  ctx.fillStyle = colour("--muted");
  ctx.lineWidth = ratio;
  ctx.font = `${10 * ratio}px ${colour("--font")}`;
  for (const place of places.filter((each) => windows[each].is_new_version)) {
    const at = Math.round(x(place));
    ctx.setLineDash([3 * ratio, 3 * ratio]);
    ctx.beginPath(); ctx.moveTo(at, bbox.top); ctx.lineTo(at, bbox.top + bbox.height); ctx.stroke();
    if (!hasText) continue;
    const right = at + ctx.measureText("version changed").width + 4 * ratio < bbox.left + bbox.width;
    ctx.textAlign = right ? "left" : "right";
    ctx.fillText("version changed", at + (right ? 4 : -4) * ratio, bbox.top + bbox.height - 5 * ratio);
  }
  ctx.setLineDash([]);
  if (windows.length === 1 && hasText) whisker(self, x(0));
  for (const place of places.filter((each) => windows[each].complete === false)) {
    const measured = value(place);
    if (typeof measured !== "number") continue;
    ctx.fillStyle = colour("--bg");
    ctx.lineWidth = 1.5 * ratio;
    ctx.beginPath(); ctx.arc(x(place), self.valToPos(measured, "y", true), 4 * ratio, 0, 2 * Math.PI); ctx.fill(); ctx.stroke();
  }
  for (const [middle, outcome] of shared(places.map((place) => [x(place), windows[place].outcome]), MARK * ratio)) {
    ctx.fillStyle = colour(`--${outcome}`);
    ctx.beginPath();
    for (const [right, down] of corners(outcome, middle, bbox.top - ROW * ratio / 2, size)) ctx.lineTo(right, down);
    ctx.fill();
  }
  ctx.restore();
}

// Shade the incidents; a line marks the window that raised the alarm.
function shade(self, windows, failures) {
  const { ctx, bbox } = self, x = (place) => self.valToPos(windows[place].seconds, "x", true);
  ctx.save();
  ctx.setLineDash([]);
  ctx.fillStyle = ctx.strokeStyle = colour("--failed");
  for (const { since, alarm, last } of failures) {
    const start = Math.max(0, windows.findIndex((window) => Date.parse(window.start || window.at) >= Date.parse(since)));
    const half = windows.length > 1 ? (x(windows.length - 1) - x(0)) / (windows.length - 1) / 2 : 8;
    const left = x(Math.min(start, alarm)) - half;
    ctx.globalAlpha = 0.15;
    ctx.fillRect(left, bbox.top, Math.max(2, x(last) + half - left), bbox.height);
    ctx.globalAlpha = 1;
    ctx.lineWidth = devicePixelRatio;
    ctx.beginPath(); ctx.moveTo(x(alarm), bbox.top); ctx.lineTo(x(alarm), bbox.top + bbox.height); ctx.stroke();
  }
  ctx.restore();
}

// Draw calibrated shares: a square with its interval.
function whiskers(self, windows, people) {
  const { ctx } = self, size = 3.5 * devicePixelRatio;
  ctx.save();
  ctx.setLineDash([]);
  ctx.strokeStyle = ctx.fillStyle = colour("--people");
  ctx.lineWidth = 1.5 * devicePixelRatio;
  people.forEach((each, place) => {
    if (!each) return;
    const x = self.valToPos(windows[place].seconds, "x", true), [y, low, high] = [each.mean, each.low, each.high].map((value) => self.valToPos(value ?? each.mean, "y", true));
    ctx.beginPath(); ctx.moveTo(x, low); ctx.lineTo(x, high); ctx.stroke();
    ctx.fillRect(x - size, y - size, 2 * size, 2 * size);
  });
  ctx.restore();
}

// Draw the interval of a single window, where a band has no width.
function whisker({ ctx, data: [, [low], [high]], valToPos }, at) {
  if (low === null || high === null) return;
  ctx.save();
  ctx.strokeStyle = colour("--accent");
  ctx.beginPath(); ctx.moveTo(at, valToPos(low, "y", true)); ctx.lineTo(at, valToPos(high, "y", true)); ctx.stroke();
  ctx.restore();
}

// Return one mark for the windows that are closer than a mark is wide: in their middle, with the worst outcome.
function shared(marks, width) {
  const found = [];
  for (const [at, outcome] of marks.filter(([, each]) => each)) {
    const last = found.at(-1);
    if (last && at - last.first < width) {
      last.last = at;
      if (OUTCOMES.indexOf(outcome) < OUTCOMES.indexOf(last.outcome)) last.outcome = outcome;
    } else {
      found.push({ first: at, last: at, outcome });
    }
  }
  return found.map((one) => [(one.first + one.last) / 2, one.outcome]);
}

// Left, Right, Home and End select a window, as a click does.
function useKeys(grid, one, plot, choose) {
  let place = one.windows.indexOf(one.newest);
  const steps = { ArrowLeft: () => place - 1, ArrowRight: () => place + 1, Home: () => 0, End: () => one.windows.length - 1 };
  grid.addEventListener("keydown", (event) => {
    if (!steps[event.key] || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    place = Math.min(Math.max(steps[event.key](), 0), one.windows.length - 1);
    plot.setCursor({ left: plot.valToPos(one.windows[place].seconds, "x"), top: 0 }, true, true);
    choose(one.windows[place]);
  });
}

function hover(self, bubble, windows, tip) {
  const place = self.cursor.idx, isHere = place !== null && place !== undefined && self.cursor.left >= 0 && self.over.matches(":hover");
  bubble.hidden = !isHere;
  if (!isHere) return;
  const window = windows[place];
  bubble.textContent = [
    `${time(window.start || window.at)} to ${time(window.end || window.at)}`,
    ...tip(place),
    ...window.rules.filter((rule) => rule.outcome !== PASSED).map((rule) => `${rule.measure} ${measured(rule)}, rule ${demanded(rule)}: ${rule.outcome}`),
    window.outcome ? `gate: ${window.outcome}` : "",
    window.is_new_version ? `evaluator version changed: ${versionOf(window)}` : "",
    window.complete === false ? "incomplete results" : "",
  ].filter(Boolean).join("\n");
  const { left } = self.cursor, room = innerWidth - self.over.getBoundingClientRect().left - left - 24;
  bubble.style.left = `${bubble.offsetWidth < room ? left + 12 : left - bubble.offsetWidth - 12}px`;
}
