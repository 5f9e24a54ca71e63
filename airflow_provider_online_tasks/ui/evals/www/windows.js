// What the page knows about a window, and how it writes numbers.

export const FAILED = "failed", STALE = "stale", INCONCLUSIVE = "inconclusive", PASSED = "passed";
export const OUTCOMES = [FAILED, INCONCLUSIVE, PASSED]; // the worst first

// Give each window of the server's histories the fields of its record.
export function histories({ evaluators, records }) {
  for (const one of evaluators) {
    one.windows = one.windows.map((window) => ({ ...records[window.record], ...window }));
    for (const window of one.windows) window.seconds = Date.parse(window.end || window.at) / 1000;
    one.newest = one.windows[one.newest];
  }
  return evaluators;
}

// Return labels with their shares, the most frequent first. An object has labels such as "1" in another order.
export const byShare = (shares) => Object.entries(shares).sort(([, a], [, b]) => b.share - a.share);

// Return the evaluator version that the evaluations name, and that of the Eval Hub.
export const versionOf = (figures) => [figures.evaluator_version, figures.version_id].filter(Boolean).join(", ") || "–";

// Return the share of a label in a window; null where no label was given at all.
export function share(window, label) {
  const { shares } = window;
  if (Object.hasOwn(shares, label)) return { mean: shares[label].share, low: shares[label].low, high: shares[label].high };
  return Object.keys(shares).length ? { mean: 0, low: null, high: null } : null;
}

// Return the calibrated share of a label: the share that people would find. Null without human labels.
export function calibrated(window, label) {
  const shares = window.human_labels ? window.human_labels.shares : {};
  if (!Object.hasOwn(shares, label) || isMissing(shares[label].value)) return null;
  return { mean: shares[label].value, low: shares[label].low, high: shares[label].high };
}

const sameRule = (rule) => JSON.stringify([rule.measure, rule.rule, rule.segment]);

// Return the rules that have evidence of several windows, each with its state in each window.
export function recurring(one) {
  const found = new Map();
  one.windows.forEach((window, place) => {
    for (const rule of window.rules.filter((each) => !isMissing(each.evidence))) {
      const key = sameRule(rule);
      if (!found.has(key)) found.set(key, { rule, states: one.windows.map(() => null) });
      found.get(key).states[place] = rule;
    }
  });
  return [...found.values()];
}

// Return the incidents of rules with evidence: their start, and the places of the alarm, the last window and the recovery.
export function incidents(one) {
  return recurring(one).flatMap(({ rule, states }) => {
    const found = [];
    let open = null;
    states.forEach((state, place) => {
      if (!state) return;
      if (state.failing_since && open) open.last = place;
      else if (state.failing_since) found.push(open = { rule, since: state.failing_since, alarm: place, last: place, recovery: null });
      else if (open) { open.recovery = place; open = null; }
    });
    return found;
  });
}

// Return the labels of a history, the most frequent first.
export function labelsOf(one) {
  const totals = new Map();
  for (const window of one.windows) {
    for (const [label, it] of Object.entries(window.shares)) totals.set(label, (totals.get(label) || 0) + it.count);
  }
  return [...totals.keys()].sort((a, b) => totals.get(b) - totals.get(a));
}

const boundOf = (rule) => Number((/^[<>=]=? ?(-?[\d.]+(?:e-?\d+)?)$/.exec(rule.rule || "") || [])[1]);

// Return the bounds that a window's gates compare a measure with, such as 0.9 of ">= 0.9".
export const bounds = (window, measure) =>
  window.rules.filter((rule) => rule.measure === measure && !rule.segment).map(boundOf).filter((bound) => !isNaN(bound));

// Numbers as text: shares in percent, scores with four digits, counts as they are. -----------------------------------

const isMissing = (number) => number === null || number === undefined;
export const percent = (share) => (isMissing(share) ? "–" : `${(100 * share).toFixed(2)} %`);
export const count = (number) => (isMissing(number) ? "–" : String(number));
export const score = (number) => {
  if (isMissing(number)) return "–";
  return Math.abs(number) >= 1000 ? number.toFixed(0) : number.toPrecision(4);
};
export const amount = (number) => (isMissing(number) ? "–" : number >= 100 ? number.toFixed(0) : number >= 1 ? number.toFixed(2) : String(Number(number.toPrecision(2))));
export const range = (one, write) => (!one || isMissing(one.low) || isMissing(one.high) ? "–" : one.low === one.high ? write(one.low) : `${write(one.low)} to ${write(one.high)}`);
export const between = (one, write) => (isMissing(one.low) || isMissing(one.high) ? "" : ` (${write(one.low)} to ${write(one.high)})`);

// Return how the values of a rule are written, and its bound.
function writersOf(rule) {
  // A label may have the same name, but has evaluations.
  if (isMissing(rule.evaluations) && /^(complete|min_evaluated|min_human_labels|segments)$/.test(rule.measure)) return [count, count];
  if (/^(drop of )?score_(mean|p\d\d)$/.test(rule.measure)) return [score, String];
  return [percent, (bound) => `${Number((100 * bound).toPrecision(6))} %`];
}

export function measured(rule) {
  const [write] = writersOf(rule);
  return write(rule.measured) + between(rule, write);
}

export function demanded(rule) {
  const bound = boundOf(rule);
  return isNaN(bound) ? rule.rule : `${/^[<>=]+/.exec(rule.rule)[0]} ${writersOf(rule)[1](bound)}`;
}
