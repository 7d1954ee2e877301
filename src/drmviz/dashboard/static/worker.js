// What one worker did: its metrics over time, its lives, its tests.
import { fill } from "./figures.js";
import { ask, change, facts, view } from "./state.js";
import { cleaned, clock, written } from "./text.js";

const byId = (id) => document.getElementById(id);
const dialog = byId("worker");
const POINTS = 300;
const MOST_TESTS = 300;
let request = null;

export function openWorker(id) {
  change({ worker: id });
}

// Follows the view: opens what it names, closes where it names nobody.
export async function followWorker() {
  request?.abort();
  if (!view.worker) {
    if (dialog.open) dialog.close();
    return;
  }
  request = new AbortController();
  const { signal } = request;
  const id = view.worker;
  byId("h-worker").textContent = cleaned(id);
  byId("worker-said").textContent = "";
  byId("worker-series").replaceChildren(words("Reading …"));
  for (const name of ["worker-lives", "worker-tests"]) fill(byId(name), [], []);
  byId("worker-no-tests").hidden = true;
  if (!dialog.open) dialog.showModal();
  try {
    await Promise.all([showSeries(id, signal), showLives(id, signal), showTests(id, signal)]);
  } catch (error) {
    if (error.name === "AbortError") return;
    byId("worker-series").replaceChildren(words(error.message));
  }
}

function words(text) {
  return Object.assign(document.createElement("p"), { className: "none", textContent: text });
}

async function showSeries(id, signal) {
  const start = await startOf(signal);
  const metrics = Object.keys(facts.metrics);
  const found = await Promise.all(metrics.map(async (metric) =>
    (await ask("series", { worker: id, metric, points: POINTS, start }, { signal })).json()));
  const measured = found.filter((series) => series.mean.some((value) => value !== null));
  const unknown = found.filter((series) => !measured.includes(series)).map((series) => facts.metrics[series.metric]);
  const parts = measured.map(lineOf);
  if (unknown.length) parts.push(words(`Not measured: ${unknown.join(", ")}.`));
  byId("worker-series").replaceChildren(...parts);
  for (const part of parts) if (part.draw) part.draw();
}

async function startOf(signal) {
  if (!view.range) return "";
  const { at_s } = await (await ask("snapshot", {}, { signal })).json();
  return at_s === null ? "" : Math.max(0, at_s - Number(view.range));
}

function lineOf(series) {
  const part = document.createElement("div");
  part.className = "line";
  const title = document.createElement("p");
  const known = series.mean.filter((value) => value !== null);
  const highest = Math.max(...series.max.filter((value) => value !== null));
  const name = Object.assign(document.createElement("b"), { textContent: facts.metrics[series.metric] });
  const said = document.createElement("span");
  const last = series.mean.at(-1);
  const now = last === null ? "nothing at the end" : `${written(last, series.metric)} at the end`;
  const mean = known.reduce((sum, value) => sum + value, 0) / known.length;
  said.textContent = `${now} · mean ${written(mean, series.metric)} · highest ${written(highest, series.metric)}`;
  title.append(name, said);
  const canvas = document.createElement("canvas");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${facts.metrics[series.metric]} over time: ${said.textContent}`);
  part.append(title, canvas);
  part.draw = () => paint(canvas, series, Math.max(highest, series.metric === "tasks_running" ? 1 : 0, 1e-6));
  return part;
}

// The mean as a line in the band of its extremes; a gap stays a gap.
function paint(canvas, series, highest) {
  const style = getComputedStyle(document.documentElement);
  const scale = Math.max(1, devicePixelRatio || 1);
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  [canvas.width, canvas.height] = [width * scale, height * scale];
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  const top = series.metric === "tasks_running" ? highest : Math.max(1, highest);
  const x = (place) => (series.mean.length < 2 ? width / 2 : (place / (series.mean.length - 1)) * (width - 2) + 1);
  const y = (value) => height - 2 - (value / top) * (height - 6);
  context.strokeStyle = style.getPropertyValue("--line");
  for (const level of [0, top]) {
    context.beginPath();
    context.moveTo(0, y(level));
    context.lineTo(width, y(level));
    context.stroke();
  }
  context.strokeStyle = context.fillStyle = style.getPropertyValue("--p0");
  for (const [from, end] of stretches(series.mean)) {
    context.globalAlpha = 0.18;
    context.beginPath();
    for (let i = from; i < end; i++) context.lineTo(x(i), y(series.max[i]));
    for (let i = end - 1; i >= from; i--) context.lineTo(x(i), y(series.min[i]));
    context.fill();
    context.globalAlpha = 1;
    context.lineWidth = 1.6;
    context.lineJoin = "round";
    context.beginPath();
    if (end - from === 1) context.arc(x(from), y(series.mean[from]), 1.5, 0, 7);
    else for (let i = from; i < end; i++) context.lineTo(x(i), y(series.mean[i]));
    context.stroke();
  }
}

function* stretches(values) {
  for (let i = 0, from = -1; i <= values.length; i++) {
    const known = i < values.length && values[i] !== null;
    if (known && from < 0) from = i;
    if (!known && from >= 0) {
      yield [from, i];
      from = -1;
    }
  }
}

async function showLives(id, signal) {
  const { workers } = await (await ask("workers", {}, { signal })).json();
  const lives = workers.filter((worker) => worker.id === id);
  const amount = (capacity) => [
    capacity?.cpu_cores ? `${capacity.cpu_cores} cores` : "",
    capacity?.memory_bytes ? `${(capacity.memory_bytes / 2 ** 30).toFixed(1)} GiB` : "",
    capacity?.gpus ? `${capacity.gpus} GPUs` : "",
  ].filter(Boolean).join(", ") || "not known";
  const moment = (at_s) => (at_s === null ? "–" : `${new Date(at_s * 1000).toISOString().slice(0, 10)} ${clock(at_s)}`);
  fill(byId("worker-lives"), ["Life", "joined, UTC", "left, UTC", "why", "process", "has"], lives.map((life, place) => [
    String(life.incarnation ?? place + 1), moment(life.joined_at_s), moment(life.left_at_s), cleaned(life.why_left ?? "–"),
    String(life.pid ?? "–"), amount(life.capacity),
  ]));
  const host = lives.at(-1)?.host;
  byId("worker-said").textContent = host ? `on ${cleaned(host)}` : "";
}

async function showTests(id, signal) {
  const { tests } = await (await ask("tasks", {}, { signal })).json();
  const own = tests.filter((test) => test.worker === id).reverse();
  const none = byId("worker-no-tests");
  none.hidden = own.length > 0 && own.length <= MOST_TESTS;
  none.textContent = own.length ? `The newest ${MOST_TESTS} of ${own.length}.` : "No test of this worker was recorded.";
  fill(byId("worker-tests"), own.length ? ["Test, newest first", "outcome", "began, UTC", "took", "CPU"] : [],
    own.slice(0, MOST_TESTS).map((test) => [
      cleaned(test.nodeid), cleaned(test.outcome), test.start_s === null ? "–" : clock(test.start_s),
      test.duration_s === null ? "–" : `${test.duration_s.toFixed(1)} s`,
      test.cpu_s === null ? "–" : `${test.cpu_s.toFixed(1)} s`,
    ]));
}

byId("worker-close").addEventListener("click", () => dialog.close());
dialog.addEventListener("close", () => {
  if (view.worker) change({ worker: "" });
});
dialog.addEventListener("click", (clicked) => {
  if (clicked.target !== dialog) return;
  const box = dialog.getBoundingClientRect();
  const inside = clicked.clientX >= box.left && clicked.clientX <= box.right && clicked.clientY >= box.top && clicked.clientY <= box.bottom;
  if (!inside) dialog.close();
});
