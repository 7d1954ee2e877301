// How numbers, moments and hostile names are written for people.
export const clock = (at_s, withSeconds = true) => new Date(at_s * 1000).toISOString().slice(11, withSeconds ? 19 : 16);

export function written(value, metric) {
  if (metric === "tasks_running") return value.toFixed(Number.isInteger(value) ? 0 : 1);
  return value > 0 && value < 0.00995 ? `${(value * 100).toFixed(1)} %` : `${Math.round(value * 100)} %`;
}

// What hostile names would do to a line of text, seen rather than done.
export const cleaned = (text) =>
  text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (c) => `\\u${c.codePointAt(0).toString(16).padStart(4, "0")}`);

// Cuts a text in its middle: a node id says most at its two ends.
export function cut(text, most) {
  const clean = cleaned(text.slice(0, 400));
  if (clean.length <= most) return clean;
  const ahead = Math.floor((most - 1) / 3);
  return `${clean.slice(0, ahead)}…${clean.slice(clean.length - (most - 1 - ahead))}`;
}
