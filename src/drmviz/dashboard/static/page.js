// The page: what the server painted is taken over here and kept as the fleet is.
import { Cells, NOT_MEASURED } from "./cells.js";
import { Connection } from "./connection.js";
import { setUp, wishes } from "./controls.js";
import { setUpEnding } from "./ending.js";
import { announceFigure, fill, isLoaded, refreshFigure, shownFigures } from "./figures.js";
import { Heatmap, paintRamp } from "./heatmap.js";
import { renewOverview, renewState } from "./overview.js";
import { ask, facts, onView, view } from "./state.js";
import { cleaned, clock, written } from "./text.js";
import { followWorker, openWorker } from "./worker.js";

const COLUMNS = 600;
const SLICES = 12;
const MOST_ROWS = 300;
const POLL_MS = 5_000;
const OFTEN_MS = 5_000;
const byId = (id) => document.getElementById(id);
let cells = null;
let ended = "";
let readFrom_s = 0;

// Runs one task again and again, never twice at once, and rests the longer the longer it takes.
class Renewal {
  constructor(work, { least_ms = 0, rest = 4 } = {}) {
    Object.assign(this, { work, least_ms, rest, timer: 0, isRunning: false, isWanted: false, freeAt: 0 });
  }

  ask() {
    if (this.isRunning) {
      this.isWanted = true;
      return;
    }
    if (this.timer) return;
    this.timer = setTimeout(() => this.#run(), Math.max(0, this.freeAt - performance.now()));
  }

  now() {
    this.freeAt = 0;
    clearTimeout(this.timer);
    this.timer = 0;
    this.ask();
  }

  async #run() {
    this.timer = 0;
    this.isRunning = true;
    this.isWanted = false;
    const began = performance.now();
    try {
      await this.work();
    } catch (error) {
      // Without a connection every request fails; the page says that once, in its state.
      if (error.status) byId("state-aloud").textContent = error.message;
      this.isWanted = true;
      this.freeAt = performance.now() + 2000;
    }
    const took = performance.now() - began;
    this.freeAt = Math.max(this.freeAt, performance.now() + Math.max(this.least_ms - took, took * this.rest));
    this.isRunning = false;
    if (this.isWanted) this.ask();
  }
}

const heatmap = new Heatmap(byId("heat"), {
  open: openWorker,
  aloud: (text) => (byId("heat-aloud").textContent = text),
  said(found, text) {
    const cell = cells.statistic === "mean" ? "mean" : "highest value";
    byId("heat-said").textContent = `${found.toLocaleString("en")}${text}, ${cell} of ${spoken(cells.width_s)} per cell`;
    byId("heat-none").hidden = found > 0;
    byId("heat-none").textContent = view.filter ? "No worker has that in its name." : "No worker lived in this window.";
  },
});
heatmap.isLive = () => byId("state").dataset.state !== "recorded" && connection.expectsTicks;

const spoken = (span_s) =>
  span_s < 120 ? `${Number(span_s.toPrecision(3))} s` : span_s < 7200 ? `${Number((span_s / 60).toPrecision(3))} min`
    : `${Number((span_s / 3600).toPrecision(3))} h`;

const connection = new Connection({
  frame(frame, workers) {
    cells.apply(frame.at_s, workers, frame.values);
    // Now and then all is read anew: who left long ago goes, and whoever was here first is not more exact.
    if (cells.first_s - readFrom_s > (cells.columns / 5) * cells.width_s) reload.ask();
    ended = `${clock(frame.at_s)} UTC`;
    if (!view.range && cells.shifted) reload.ask();  // everything does not move on, it grows
    heatmap.renew();
    overview.ask();
  },
  events(list) {
    cells?.left(list.filter((event) => event.type === "left").map((event) => event.worker));
    overview.ask();
  },
  changed(snapshot) {
    const isKnown = facts.has_hub ? snapshot.sequence === cells?.sequence : snapshot.at_s === cells?.ends_at_s;
    if (isKnown && snapshot.run.id === cells?.run) return;
    reload.ask();
    overview.ask();
  },
  lost() {
    reload.now();
  },
  state(name, given) {
    renewState(name, { ...given, ended });
    if (name === "polling" && performance.now() - polledAt > POLL_MS) {
      polledAt = performance.now();
      reload.ask();
      overview.ask();
    }
  },
}, facts.has_hub ? 1.4 : 4);  // a file is looked at each second, and read
let polledAt = 0;

const reload = new Renewal(async () => {
  const asked = { metric: view.metric, statistic: view.statistic, last: view.range };
  const answer = await ask("cells", { ...asked, columns: COLUMNS });
  const newer = new Cells(await answer.arrayBuffer());
  if (Object.entries(asked).some(([name, value]) => value !== view[name === "last" ? "range" : name])) return reload.now();
  if (wishes.isPaused && cells && cells.metric === newer.metric && cells.statistic === newer.statistic) return undefined;
  const isFirst = cells === null;
  cells = newer;
  readFrom_s = cells.first_s;
  ended = `${new Date(cells.ends_at_s * 1000).toISOString().slice(0, 19).replace("T", " ")} UTC`;
  const { events } = heatmap;
  heatmap.show(cells);
  heatmap.events = events;
  const isCount = cells.metric === "tasks_running";
  byId("ramp-low").textContent = isCount ? "0" : "0 %";
  byId("ramp-high").textContent = isCount ? "most" : "100 %";
  connection.follow({
    run: cells.run, sequence: cells.sequence, metric: cells.metric, interval_s: cells.interval_s,
    expectsTicks: isFirst ? facts.is_live : connection.expectsTicks,
  });
  renewNumbers();
  return undefined;
}, { least_ms: 1000 });

const overview = new Renewal(async () => {
  if (wishes.isPaused) return;
  const asked = view.range;
  const of = await (await ask("overview", { last: asked })).json();
  if (asked !== view.range) {
    overview.now();
    return;
  }
  const wasNothing = byId("panel").hidden;
  renewOverview(of);
  if (wasNothing && !of.nothing) {
    reload.now();
    renewFigures();
  }
  heatmap.events = of.events;
  if (cells) heatmap.draw();
}, { least_ms: 900 });

let drawing = Promise.resolve();
const figures = new Map(facts.sections.filter((id) => id !== "use").map((id) => [id, { at: 0, renewal: null }]));
for (const [id, figure] of figures) {
  figure.renewal = new Renewal(async () => {
    // One after the other: the server keeps a hand free for what moves.
    drawing = drawing.then(() => refreshFigure(id));
    const drawn = drawing;
    drawing = drawing.catch(() => undefined);
    await drawn;
    figure.at = performance.now();
  }, { least_ms: OFTEN_MS, rest: 20 });
}

// Plotly blocks the page while it draws: what nobody looks at waits until somebody does.
const inSight = new Set();
const sight = new IntersectionObserver((seen) => {
  for (const { target, isIntersecting } of seen) inSight[isIntersecting ? "add" : "delete"](target.id);
});
for (const id of figures.keys()) sight.observe(byId(id));

// Draws what the tab shows and does not have yet; what can be seen of it is drawn anew as often as the reader wished.
function renewFigures() {
  if (byId("panel").hidden) return;
  for (const id of shownFigures()) {
    const figure = figures.get(id);
    if (!isLoaded(id)) {
      announceFigure(id);
      if (!figure.renewal.isRunning) figure.renewal.now();
      continue;
    }
    const isOften = id === "scaling" && view.tab === "overview" && connection.expectsTicks;
    const every_ms = wishes.auto_s ? (isOften ? OFTEN_MS : wishes.auto_s * 1000) : Infinity;
    const isMoving = connection.isOpen ? connection.expectsTicks : connection.polls;
    if (inSight.has(id) && !wishes.isPaused && !document.hidden && isMoving && performance.now() - figure.at > every_ms) figure.renewal.ask();
  }
}

// The table of the heatmap: the mean of each worker in equal parts of the window.
function renewNumbers() {
  const details = byId("heat-numbers");
  if (!details.open || !cells?.columns) return;
  const parts = Math.min(SLICES, cells.columns);
  const edges = Array.from({ length: parts + 1 }, (_, i) => Math.round((i * cells.columns) / parts));
  const shown = heatmap.lines.flat().slice(0, MOST_ROWS);
  const rows = shown.map((row) => [
    cleaned(cells.workers[row].id),
    ...edges.slice(1).map((end, part) => {
      let [sum, known, lives] = [0, 0, false];
      for (let column = edges[part]; column < end; column++) {
        const code = cells.at(row, column);
        lives ||= code <= NOT_MEASURED;
        if (code < NOT_MEASURED) [sum, known] = [sum + code * cells.step, known + 1];
      }
      return known ? written(sum / known, cells.metric) : lives ? "not measured" : "–";
    }),
  ]);
  const heads = edges.slice(0, -1).map((edge) => `from ${clock(cells.startOf(edge))}`);
  fill(details.querySelector("table"), [`${facts.metrics[cells.metric]}, mean`, ...heads], rows);
  const left = heatmap.lines.flat().length - shown.length;
  details.querySelector("details > .none").textContent = left > 0 ? `and ${left} more workers` : "";
}

function renewView(changed) {
  if (["metric", "statistic", "range"].some((name) => changed.has(name))) reload.now();
  if (changed.has("range")) overview.now();
  if (changed.has("tab")) {
    if (view.tab === "use" || view.tab === "overview") heatmap.arrange();
  }
  if (["group", "sort", "filter"].some((name) => changed.has(name)) && cells) {
    heatmap.arrange();
    renewNumbers();
  }
  if (changed.has("tab") || changed.has("range")) renewFigures();
  if (changed.has("worker")) followWorker();
}

function theme() {
  paintRamp(byId("ramp"), document.documentElement.dataset.theme);
}

setUpEnding();
setUp({
  onPause(isPaused) {
    connection.pause(isPaused);
    if (isPaused) return;
    overview.now();
    if (!connection.isOpen || !facts.has_hub) reload.now();
  },
});
onView(renewView);
theme();
document.addEventListener("drmviz-theme", theme);
byId("heat-numbers").addEventListener("toggle", renewNumbers);
reload.now();
// What the server painted of a recording still holds, if it is of the window that is asked for.
if (!facts.is_live && view.range === "") heatmap.events = facts.events;
else overview.now();
if (view.worker) followWorker();
// Plotly, which the figures need, waits until the page has been painted.
requestAnimationFrame(() => setTimeout(() => {
  renewFigures();
  setInterval(renewFigures, 1000);
}, 0));
