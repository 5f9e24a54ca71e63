// Turn the server's records into one history per evaluator, window by window.

export const FAILED = "failed", INCONCLUSIVE = "inconclusive", PASSED = "passed";
const FAILED_FIRST = [FAILED, INCONCLUSIVE, PASSED];
const OF_ALL = "*"; // rules on the run, such as its completeness

export const outcomeOf = (rules) => FAILED_FIRST.find((outcome) => rules.some((rule) => rule.outcome === outcome)) || null;

// The results that a gate checks: those of the same run and window.
const subject = (one) => [one.dag_id, one.value.run_id ?? one.run_id, one.value.start, one.value.end].join("\n");

// Return one history for each evaluator of each task, its windows in order of time.
export function histories(records) {
  const gates = new Map();
  for (const one of records) {
    if (one.kind === "verdict") gates.set(subject(one), [...(gates.get(subject(one)) || []), one]);
  }
  const found = new Map();
  for (const one of records) {
    if (one.kind !== "results") continue;
    for (const [name, evaluator] of Object.entries(one.value.evaluators)) {
      const key = JSON.stringify([one.dag_id, name, one.task_id]);
      if (!found.has(key)) found.set(key, { key, dag_id: one.dag_id, task_id: one.task_id, name, windows: [] });
      const checks = (gates.get(subject(one)) || [])
        .filter((gate) => gate.value.rules.some((rule) => rule.evaluator === name));
      const rules = checks.flatMap((gate) => gate.value.rules)
        .filter((rule) => rule.evaluator === name || rule.evaluator === OF_ALL);
      found.get(key).windows.push({
        ...one, evaluator, gates: checks, rules, outcome: outcomeOf(rules), seconds: Date.parse(one.value.end || one.at) / 1000,
      });
    }
  }
  for (const one of found.values()) {
    one.windows = one.windows.filter((window) => !isNaN(window.seconds))
      .sort((a, b) => a.seconds - b.seconds || (a.at < b.at ? -1 : 1));
    one.windows.forEach((window, place) => {
      const before = one.windows[place - 1];
      window.newVersion = Boolean(before) && before.evaluator.evaluator_version !== window.evaluator.evaluator_version;
    });
  }
  return [...found.values()].filter((one) => one.windows.length).sort((a, b) => (a.key < b.key ? -1 : 1));
}

// Return the share of a label in a window; null where no label was given at all.
export function share(window, label) {
  const shares = window.evaluator.shares;
  if (Object.hasOwn(shares, label)) return { mean: shares[label].share, low: shares[label].low, high: shares[label].high };
  return Object.keys(shares).length ? { mean: 0, low: null, high: null } : null;
}

// Return the labels of a history, the most frequent first.
export function labelsOf(one) {
  const totals = new Map();
  for (const window of one.windows) {
    for (const [label, it] of Object.entries(window.evaluator.shares)) totals.set(label, (totals.get(label) || 0) + it.count);
  }
  return [...totals.keys()].sort((a, b) => totals.get(b) - totals.get(a));
}

// Return the bounds that a window's gates compare a measure with, such as 0.9 of ">= 0.9".
export function bounds(window, measure) {
  return window.rules.filter((rule) => rule.measure === measure && !rule.segment)
    .map((rule) => Number((/^[<>=]=? ?(-?[\d.]+(?:e-?\d+)?)$/.exec(rule.rule || "") || [])[1]))
    .filter((bound) => !isNaN(bound));
}

// Numbers as text ------------------------------------------------------------------------------------------------

export const percent = (share) => `${(100 * share).toFixed(1)} %`;
export const figure = (number) => {
  if (number === null || number === undefined) return "–";
  return String(Math.abs(number) >= 1000 && Number.isInteger(number) ? number : Number(Number(number).toPrecision(4)));
};
export const between = (one, write) =>
  one.low === null || one.low === undefined || one.high === null || one.high === undefined ? "" : ` (${write(one.low)} to ${write(one.high)})`;
