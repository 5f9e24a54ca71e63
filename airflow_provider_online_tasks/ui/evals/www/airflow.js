// What the page takes from Airflow's UI around it: theme, time zone, and the window for links.

const outer = (() => {
  try {
    return window.parent !== window && window.parent.document ? window.parent : null;
  } catch {
    return null; // another origin
  }
})();

// The path that Airflow is served under, for a deployment behind a prefix.
const root = location.pathname.replace(/\/arize-evals\/.*$/, "");

// The query of the URL. Airflow 3.1 does not encode names in it, so a plus sign is not a space.
export const asked = new Map(
  location.search.slice(1).split("&").filter(Boolean).map((pair) => {
    const [name, ...value] = pair.split("=");
    try {
      return [name, decodeURIComponent(value.join("="))];
    } catch {
      return [name, value.join("=")];
    }
  }),
);

// Filters in the URL, also in that of Airflow's page around it, so that it can be shared. -----------------------------

const PREFIX = "evals_";

export function readFilters() {
  const found = {};
  for (const place of [location, ...(outer ? [outer.location] : [])]) {
    for (const [name, value] of new URLSearchParams(place.search)) {
      if (name.startsWith(PREFIX)) found[name.slice(PREFIX.length)] = value;
    }
  }
  return found;
}

// Write the filters that are set. A new entry in the browser's history leads back to the previous ones.
export function writeFilters(filters, { isNewEntry = false } = {}) {
  for (const [view, isNew] of [[window, isNewEntry], ...(outer ? [[outer, false]] : [])]) {
    const address = new URL(view.location.href);
    for (const [name, value] of Object.entries(filters)) {
      if (value) address.searchParams.set(PREFIX + name, value);
      else address.searchParams.delete(PREFIX + name);
    }
    if (address.href === view.location.href) continue;
    view.history[isNew ? "pushState" : "replaceState"](view.history.state, "", address);
  }
}

// Theme ------------------------------------------------------------------------------------------------------

const COLOURS = { "--bg": "bg", "--fg": "fg", "--muted": "fg-muted", "--line": "border", "--raised": "bg-subtle" };

function isDark() {
  const theme = outer && outer.document.documentElement.classList;
  if (theme && (theme.contains("dark") || theme.contains("light"))) return theme.contains("dark");
  const chosen = localStorage.getItem("theme");
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function takeTheme() {
  const own = document.documentElement;
  own.classList.toggle("dark", isDark());
  if (!outer) return;
  const theirs = getComputedStyle(outer.document.documentElement);
  for (const [mine, name] of Object.entries(COLOURS)) {
    const colour = theirs.getPropertyValue(`--chakra-colors-${name}`).trim();
    if (colour) own.style.setProperty(mine, colour);
    else own.style.removeProperty(mine);
  }
  own.style.setProperty("--font", getComputedStyle(outer.document.body).fontFamily || "system-ui");
}

// Call `changed` when the theme or the time zone changes.
export function follow(changed) {
  takeTheme();
  const again = () => { takeTheme(); changed(); };
  if (outer) {
    const watch = new MutationObserver(again);
    watch.observe(outer.document.documentElement, { attributes: true, attributeFilter: ["class"] });
  }
  window.addEventListener("storage", (event) => { if (["theme", "timezone"].includes(event.key)) again(); });
}

export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// The time zone that the user selected in Airflow's menu. ---------------------------

export function timeZone() {
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const stored = localStorage.getItem("timezone");
  if (!stored) return own;
  try {
    const zone = stored.startsWith('"') ? JSON.parse(stored) : stored;
    Intl.DateTimeFormat("en", { timeZone: zone });
    return zone;
  } catch {
    return own;
  }
}

// Return when the day starts in that time zone that starts at this time in UTC.
export function midnight(utc) {
  let at = utc;
  const missing = () => utc - Date.parse(`${time(at).replace(" ", "T")}Z`);
  for (let step = 0; step < 2; step += 1) at += missing();
  // If the clocks skip midnight, the day starts later.
  return at + Math.max(0, missing());
}

function parts(at, more) {
  const format = new Intl.DateTimeFormat("en-GB", { timeZone: timeZone(), ...more });
  return Object.fromEntries(format.formatToParts(at).map((part) => [part.type, part.value]));
}

const MINUTES = { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", hourCycle: "h23" };

// The format of Airflow: 2026-11-27 00:00.
export function time(text) {
  const at = new Date(text);
  if (isNaN(at)) return text === null || text === undefined ? "–" : String(text);
  const it = parts(at, MINUTES);
  return `${it.year}-${it.month}-${it.day} ${it.hour}:${it.minute}`;
}

// The text of a tick on an axis with this many seconds between ticks.
export function tick(seconds, step) {
  const at = new Date(seconds * 1000);
  const it = parts(at, { ...MINUTES, month: "short", day: "numeric" });
  const clock = `${it.hour}:${it.minute}`;
  if (step < 86400 && clock !== "00:00") return clock;
  return step < 28 * 86400 ? `${it.day} ${it.month}` : `${it.month} ${it.year}`;
}

// Links ------------------------------------------------------------------------------------------------------

export const dagRunPage = (dag, run) => `${root}/dags/${encodeURIComponent(dag)}/runs/${encodeURIComponent(run)}`;

export function taskInstance(dag, one) {
  const mapped = one.map_index >= 0 ? `/mapped/${one.map_index}` : "";
  return `${dagRunPage(dag, one.run_id)}/tasks/${encodeURIComponent(one.task_id)}${mapped}`;
}

// The frame allows neither pop-ups nor navigation of the outer page, so the outer page opens the link.
export function link(text, address, { inNewTab = false } = {}) {
  const node = document.createElement("a");
  node.textContent = text;
  node.href = address;
  node.rel = "noopener noreferrer";
  if (!outer) return node;
  node.addEventListener("click", (event) => {
    event.preventDefault();
    const real = outer.document.createElement("a");
    real.href = address;
    real.rel = "noopener noreferrer";
    if (inNewTab || event.ctrlKey || event.metaKey) real.target = "_blank";
    outer.document.body.append(real);
    real.click();
    real.remove();
  });
  return node;
}
