// What the page shows: kept in the fragment of its address, so that a link shows the same, and told to who listens.
export const facts = JSON.parse(document.getElementById("facts").textContent);

const one = (...choices) => (text) => (choices.includes(text) ? text : undefined);
const kinds = {
  tab: { usual: "overview", read: one("overview", ...facts.sections) },
  range: {
    usual: facts.range_s === null ? "" : String(facts.range_s),
    read: (text) => (text === "" || (/^[0-9]{1,8}$/.test(text) && Number(text) > 0) ? text : undefined),
  },
  metric: { usual: "cpu_ratio", read: one(...Object.keys(facts.metrics)) },
  statistic: { usual: "mean", read: one("mean", "max") },
  group: { usual: "provider", read: one("provider", "host", "") },
  sort: { usual: "name", read: one("name", "now", "mean", "idle") },
  filter: { usual: "", read: (text) => text.slice(0, 200) },
  worker: { usual: "", read: (text) => text },
};
const listeners = [];

export const view = read();

function read() {
  const given = new URLSearchParams(location.hash.slice(1));
  return Object.fromEntries(
    Object.entries(kinds).map(([name, kind]) => {
      const text = given.get(name);
      return [name, (text === null ? undefined : kind.read(text)) ?? kind.usual];
    }),
  );
}

function written() {
  const said = new URLSearchParams();
  for (const [name, kind] of Object.entries(kinds)) if (view[name] !== kind.usual) said.set(name, view[name]);
  return said.size ? `#${said}` : "";
}

// Calls `listener` with the names that changed.
export function onView(listener) {
  listeners.push(listener);
}

function tell(changed) {
  if (changed.length) for (const listener of listeners) listener(new Set(changed));
}

export function change(values) {
  const changed = Object.keys(values).filter((name) => view[name] !== values[name]);
  Object.assign(view, values);
  if (changed.length) history.replaceState(null, "", `${location.pathname}${location.search}${written()}`);
  tell(changed);
}

addEventListener("hashchange", () => {
  const asked = read();
  const changed = Object.keys(asked).filter((name) => view[name] !== asked[name]);
  Object.assign(view, asked);
  tell(changed);
});

// Storage may be refused to a page; what it would have kept is then asked for anew.
export function remembered(name, usual) {
  try {
    return localStorage.getItem(`drmviz-${name}`) ?? usual;
  } catch {
    return usual;
  }
}

export function remember(name, value) {
  try {
    localStorage.setItem(`drmviz-${name}`, value);
  } catch {
    // nothing is lost but the memory of it
  }
}

const api = new URL("../api/v1/", import.meta.url);

// Asks the API; the error of an answer that is none has its status.
export async function ask(name, asked = {}, { signal, method = "GET" } = {}) {
  const url = new URL(name, api);
  for (const [key, value] of Object.entries(asked)) if (value !== "" && value !== undefined) url.searchParams.set(key, value);
  const response = await fetch(url, { credentials: "same-origin", cache: "no-store", signal, method });
  if (response.ok) return response;
  const said = await response.json().catch(() => ({}));
  throw Object.assign(new Error(said.detail ?? `${url.pathname} answered ${response.status}`), { status: response.status });
}
