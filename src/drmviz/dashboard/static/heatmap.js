// The heatmap of the fleet on a canvas: a colour table, one pixel for each cell, moved on by one column for each tick.
import { NOT_ALIVE, NOT_MEASURED } from "./cells.js";
import { facts, view } from "./state.js";

const RAIL_PX = 16;
const AXIS_PX = 22;
const GROUP_PX = 9;
const ROW_PX = [[4, 44], [8, 32], [12, 24], [40, 14]];
const EVERY = [2, 5, 10, 20, 25, 50, 100, 200, 500, 1000];
const STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400];
const HOT = 0.85;

export const clock = (at_s, withSeconds = true) => new Date(at_s * 1000).toISOString().slice(11, withSeconds ? 19 : 16);

export function written(value, metric) {
  if (metric === "tasks_running") return value.toFixed(Number.isInteger(value) ? 0 : 1);
  return value > 0 && value < 0.00995 ? `${(value * 100).toFixed(1)} %` : `${Math.round(value * 100)} %`;
}

// What hostile names would do to a line of text, seen rather than done.
export const cleaned = (text) =>
  text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (c) => `\\u${c.codePointAt(0).toString(16).padStart(4, "0")}`);

function cut(text, most) {
  const clean = cleaned(text.slice(0, 400));
  if (clean.length <= most) return clean;
  const ahead = Math.floor((most - 1) / 3);
  return `${clean.slice(0, ahead)}…${clean.slice(clean.length - (most - 1 - ahead))}`;
}

const natural = new Intl.Collator("en", { numeric: true, sensitivity: "variant" });

export class Heatmap {
  // `told` has: open(worker id), said(text under the title), aloud(text).
  constructor(place, told) {
    this.place = place;
    this.canvas = place.querySelector("canvas");
    this.tip = place.querySelector(".tip");
    this.told = told;
    this.base = document.createElement("canvas");
    this.mask = document.createElement("canvas");
    this.hatched = document.createElement("canvas");
    this.cells = null;
    this.events = [];
    this.cursor = null;
    this.lines = [];
    this.isWide = false;
    this.paintedColumns = 0;
    this.#listen();
    new ResizeObserver(() => this.arrange()).observe(place);
    document.addEventListener("drmviz-theme", () => this.arrange());
    matchMedia("(resolution: 1dppx)").addEventListener("change", () => this.arrange());
  }

  show(cells) {
    this.cells = cells;
    this.cursor = null;
    this.tip.hidden = true;
    this.arrange();
  }

  // Takes up what the cells have new.
  renew() {
    if (this.cells.rosterChanged) this.arrange();
    else this.draw();
  }

  // Decides who stands in which line, and paints everything.
  arrange() {
    if (!this.cells || !this.place.clientWidth) return;
    this.#theme();
    this.#order();
    this.isStale = true;
    this.draw();
  }

  draw() {
    this.wanted ??= requestAnimationFrame(() => {
      this.wanted = undefined;
      this.#paint();
      this.#compose();
      if (this.cursor && !this.tip.hidden) this.#point(this.cursor);
    });
  }

  #theme() {
    const name = document.documentElement.dataset.theme;
    const style = getComputedStyle(document.documentElement);
    const of = (variable) => style.getPropertyValue(variable).trim();
    const table = new Uint8Array(256 * 3);
    for (let i = 0; i < 256 * 3; i++) table[i] = parseInt(facts.ramps[name].slice(2 * i, 2 * i + 2), 16);
    const track = of("--track");
    const rgb = [1, 3, 5].map((i) => parseInt(track.slice(i, i + 2), 16));
    this.look = { name, table, track: rgb, ink: of("--ink"), ink2: of("--ink2"), ink3: of("--ink3"), line: of("--line2"),
      up: of("--up"), down: of("--down"), bad: of("--bad"), accent: of("--accent"), sans: of("--sans"), mono: of("--mono") };
    const swatch = document.createElement("canvas");
    swatch.width = swatch.height = 4;
    const context = swatch.getContext("2d");
    context.strokeStyle = this.look.ink3;
    context.lineWidth = 0.9;
    context.beginPath();
    for (const [x, y] of [[-1, 1], [0, 4], [3, 5]]) {
      context.moveTo(x, y);
      context.lineTo(x + 4, y - 4);
    }
    context.stroke();
    this.hatch = swatch;
  }

  #order() {
    const { cells } = this;
    const wanted = view.filter.trim().toLowerCase();
    let rows = cells.workers.map((_, row) => row);
    if (wanted) rows = rows.filter((row) => cells.workers[row].id.toLowerCase().includes(wanted));
    const name = (row) => cells.workers[row].id;
    if (view.sort === "name") rows.sort((a, b) => natural.compare(name(a), name(b)));
    else {
      const busy = new Map(rows.map((row) => [row, this.#busy(row)]));
      const sign = view.sort === "idle" ? 1 : -1;
      // Who was not measured stands last either way.
      const key = (row) => (Number.isNaN(busy.get(row)) ? Infinity : sign * busy.get(row));
      rows.sort((a, b) => key(a) - key(b) || natural.compare(name(a), name(b)));
    }
    const home = (row) => (view.group && cells.workers[row][view.group]) || "";
    const homes = [...new Set(rows.map(home))].sort((a, b) => (a === "") - (b === "") || natural.compare(a, b));
    this.isGrouped = homes.length > 1;
    if (this.isGrouped) {
      const place = new Map(homes.map((each, i) => [each, i]));
      rows.sort((a, b) => place.get(home(a)) - place.get(home(b)));
    }
    this.found = rows.length;
    const tallest = this.isWide ? 820 : 470;
    const room = rows.length <= 40 ? 0 : tallest;
    this.rowPx = ROW_PX.find(([most]) => rows.length <= most)?.[1] ?? Math.max(1, Math.min(14, room / rows.length));
    const perLine = Math.max(1, Math.ceil(rows.length / tallest));
    this.perLine = perLine;
    this.lines = [];
    this.groups = [];
    for (let i = 0; i < rows.length; ) {
      const at = home(rows[i]);
      const members = [];
      while (i < rows.length && members.length < perLine && home(rows[i]) === at) members.push(rows[i++]);
      if (!this.groups.length || this.groups.at(-1).name !== at) {
        this.groups.push({ name: at, first: this.lines.length, place: homes.indexOf(at) });
      }
      this.lines.push(members);
      this.groups.at(-1).end = this.lines.length;
    }
    if (perLine > 1) this.rowPx = Math.max(1, tallest / this.lines.length);
    let y = RAIL_PX;
    this.tops = [];
    for (const group of this.groups) {
      if (this.isGrouped && group.first) y += this.perLine > 1 || this.groups.length > 12 ? 3 : GROUP_PX;
      for (let line = group.first; line < group.end; line++) {
        this.tops.push(y);
        y += this.rowPx;
      }
    }
    this.bottom = y;
    const width = this.place.clientWidth;
    const isNarrow = width < 560;
    const context = this.canvas.getContext("2d");
    context.font = `10.5px ${this.look.mono}`;
    this.letters = isNarrow ? 11 : 20;
    const shown = this.lines.slice(0, 60).map((members) => this.#label(members));
    const labelPx = Math.max(20, ...shown.map((label) => context.measureText(label).width));
    this.left = Math.ceil(labelPx) + 12 + (this.isGrouped ? 24 : 0);
    this.right = 42;
    this.width = width;
    this.plot = Math.max(20, width - this.left - this.right);
    this.every = this.rowPx >= 11 ? 1 : EVERY.find((every) => every * this.rowPx >= 18) ?? this.lines.length;
    this.height = Math.max(60, this.bottom + AXIS_PX);
    const scale = Math.max(1, devicePixelRatio || 1);
    this.canvas.width = Math.round(width * scale);
    this.canvas.height = Math.round(this.height * scale);
    this.canvas.style.height = `${this.height}px`;
    this.scale = scale;
    const merged = perLine > 1 ? `, ${perLine} per row` : "";
    const filtered = wanted ? ` of ${cells.rows.toLocaleString("en")}` : "";
    this.told.said(rows.length, `${filtered} worker${rows.length === 1 && !filtered ? "" : "s"}${merged}`);
  }

  #busy(row) {
    const { cells } = this;
    if (view.sort === "now") {
      const code = cells.at(row, cells.columns - 1);
      return code >= NOT_MEASURED ? NaN : code;
    }
    let [sum, known] = [0, 0];
    for (let column = 0; column < cells.columns; column++) {
      const code = cells.at(row, column);
      if (code < NOT_MEASURED) [sum, known] = [sum + code, known + 1];
    }
    return known ? sum / known : NaN;
  }

  #label(members) {
    const { workers } = this.cells;
    if (members.length === 1) return cut(workers[members[0]].id, this.letters);
    return cut(workers[members[0]].id, this.letters - 5) + ` +${members.length - 1}`;
  }

  // The code of a line: the mean or the highest of what was measured in it.
  #code(members, column) {
    const { cells } = this;
    if (members.length === 1) return cells.at(members[0], column);
    let [sum, known, highest, lives] = [0, 0, 0, false];
    for (const row of members) {
      const code = cells.at(row, column);
      if (code === NOT_ALIVE) continue;
      lives = true;
      if (code === NOT_MEASURED) continue;
      known += 1;
      sum += code;
      if (code > highest) highest = code;
    }
    if (!known) return lives ? NOT_MEASURED : NOT_ALIVE;
    return cells.statistic === "max" ? highest : Math.round(sum / known);
  }

  // Brings the small pictures, one pixel for each cell, up to what the cells hold.
  #paint() {
    const { cells, base, mask, lines } = this;
    const [width, height] = [cells.columns, Math.max(1, lines.length)];
    if (!width) return;
    const highest = this.#highest();
    if (this.isStale || base.width !== width || base.height !== height || highest !== this.top) {
      [base.width, mask.width, base.height, mask.height] = [width, width, height, height];
      this.top = highest;
      this.#columns(0, width);
      this.isStale = false;
      this.paintedColumns = width;
    } else {
      if (cells.shifted) {
        for (const each of [base, mask]) {
          const context = each.getContext("2d");
          context.globalCompositeOperation = "copy";
          context.drawImage(each, -cells.shifted, 0);
          context.globalCompositeOperation = "source-over";
        }
      }
      this.paintedColumns = width - cells.changedFrom;
      if (this.paintedColumns > 0) this.#columns(cells.changedFrom, width);
    }
    cells.painted();
  }

  #highest() {
    if (this.cells.metric !== "tasks_running") return 1 / this.cells.step;
    let highest = 1 / this.cells.step;
    for (const code of this.cells.codes) if (code < NOT_MEASURED && code > highest) highest = code;
    return highest;
  }

  #columns(from, to) {
    const { lines, look } = this;
    const width = to - from;
    const [picture, gaps] = [new ImageData(width, Math.max(1, lines.length)), new ImageData(width, Math.max(1, lines.length))];
    const scale = 255 / this.top;
    for (let line = 0; line < lines.length; line++) {
      for (let column = 0; column < width; column++) {
        const code = this.#code(lines[line], from + column);
        if (code === NOT_ALIVE) continue;
        const at = 4 * (line * width + column);
        if (code === NOT_MEASURED) {
          picture.data.set(look.track, at);
          gaps.data[at + 3] = 255;
        } else {
          const colour = 3 * Math.min(255, Math.round(code * scale));
          picture.data[at] = look.table[colour];
          picture.data[at + 1] = look.table[colour + 1];
          picture.data[at + 2] = look.table[colour + 2];
        }
        picture.data[at + 3] = 255;
      }
    }
    this.base.getContext("2d").putImageData(picture, from, 0);
    this.mask.getContext("2d").putImageData(gaps, from, 0);
  }

  #compose() {
    const context = this.canvas.getContext("2d");
    context.setTransform(this.scale, 0, 0, this.scale, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    if (!this.cells.columns) return;
    this.#cellsOn(context);
    this.#absences(context);
    this.#names(context);
    this.#axis(context);
    this.#rail(context);
    this.#mark(context);
  }

  #cellsOn(context) {
    const { base, mask, hatched } = this;
    const columns = this.cells.columns;
    context.imageSmoothingEnabled = false;
    const put = (to, from) => {
      for (const group of this.groups) {
        const count = group.end - group.first;
        to.drawImage(from, 0, group.first, columns, count, this.left, this.tops[group.first], this.plot, count * this.rowPx);
      }
    };
    put(context, base);
    [hatched.width, hatched.height] = [this.canvas.width, this.canvas.height];
    const pattern = hatched.getContext("2d");
    pattern.imageSmoothingEnabled = false;
    pattern.setTransform(this.scale, 0, 0, this.scale, 0, 0);
    put(pattern, mask);
    pattern.globalCompositeOperation = "source-in";
    pattern.fillStyle = pattern.createPattern(this.hatch, "repeat");
    pattern.fillRect(0, 0, this.width, this.height);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.drawImage(hatched, 0, 0);
    context.setTransform(this.scale, 0, 0, this.scale, 0, 0);
    if (this.rowPx < 6) return;
    for (let line = 1; line < this.lines.length; line++) {
      // A hair between the rows, as wide as the ground shows through.
      context.clearRect(this.left, this.tops[line] - 1, this.plot, 1);
    }
  }

  // A dotted line where nobody lived, in rows that are tall enough for one.
  #absences(context) {
    if (this.rowPx < 6) return;
    const columnPx = this.plot / this.cells.columns;
    context.strokeStyle = this.look.line;
    context.lineWidth = 1;
    context.setLineDash([1, 3]);
    context.beginPath();
    this.lines.forEach((members, line) => {
      const y = Math.round(this.tops[line] + this.rowPx / 2) - 0.5;
      for (let column = 0, from = -1; column <= this.cells.columns; column++) {
        const absent = column < this.cells.columns && this.#code(members, column) === NOT_ALIVE;
        if (absent && from < 0) from = column;
        if (!absent && from >= 0) {
          context.moveTo(this.left + from * columnPx + 2, y);
          context.lineTo(this.left + column * columnPx - 2, y);
          from = -1;
        }
      }
    });
    context.stroke();
    context.setLineDash([]);
  }

  #names(context) {
    const { look, cells } = this;
    context.textBaseline = "middle";
    this.lines.forEach((members, line) => {
      if (line % this.every) return;
      const y = this.tops[line] + this.rowPx / 2;
      const code = this.#code(members, cells.columns - 1);
      context.textAlign = "right";
      context.font = `10.5px ${look.mono}`;
      context.fillStyle = code === NOT_ALIVE ? look.ink3 : look.ink2;
      context.fillText(this.#label(members), this.left - 9, y);
      const value = code * cells.step;
      const isHot = code < NOT_MEASURED && cells.metric !== "tasks_running" && value >= HOT;
      context.font = `${isHot ? "600 " : ""}11px ${look.sans}`;
      context.fillStyle = isHot ? look.ink : look.ink3;
      const said = code === NOT_ALIVE ? "gone" : code === NOT_MEASURED ? "–" : written(value, cells.metric);
      context.fillText(said, this.width - 2, y);
    });
    if (!this.isGrouped) return;
    for (const group of this.groups) {
      const [top, end] = [this.tops[group.first], this.tops[group.end - 1] + this.rowPx];
      const colours = facts.colours[look.name];
      const place = view.group === "provider" && group.name ? Math.min(group.place, colours.length - 1) : colours.length - 1;
      context.fillStyle = colours[place];
      context.beginPath();
      context.roundRect(0, top, 3, Math.max(1, end - top - 2), 1.5);
      context.fill();
      const letters = Math.floor((end - top) / 6.4);
      const name = cut(group.name || "not known", 24);
      const sign = view.group === "provider" ? `${facts.signs[place]} ` : "";
      const text = letters >= name.length + sign.length ? sign + name : letters >= 2 ? sign.trim() : "";
      if (!text) continue;
      context.save();
      context.translate(13, (top + end) / 2 - 1);
      context.rotate(-Math.PI / 2);
      context.textAlign = "center";
      context.font = `10.5px ${look.sans}`;
      context.fillStyle = look.ink2;
      context.fillText(text, 0, 0);
      context.restore();
    }
  }

  #axis(context) {
    const { cells, look } = this;
    const span_s = cells.columns * cells.width_s;
    const least_s = (span_s * 76) / this.plot;
    const step_s = STEPS_S.find((step) => step >= least_s) ?? Math.ceil(least_s / 86_400) * 86_400;
    const y = this.bottom + 14;
    context.font = `11px ${look.sans}`;
    context.textBaseline = "alphabetic";
    context.textAlign = "right";
    context.fillStyle = look.ink;
    const isLive = this.isLive?.() ?? false;
    const end = isLive ? "now" : clock(cells.startOf(cells.columns), span_s < 86_400 * 2);
    context.font = `600 11px ${look.sans}`;
    context.fillText(end, this.left + this.plot, y);
    const free = this.left + this.plot - context.measureText(end).width - 14;
    context.font = `11px ${look.sans}`;
    context.fillStyle = look.ink3;
    context.textAlign = "center";
    for (let at_s = Math.ceil(cells.first_s / step_s) * step_s; at_s < cells.first_s + span_s; at_s += step_s) {
      const x = this.left + ((at_s - cells.first_s) / span_s) * this.plot;
      const day = new Date(at_s * 1000).toISOString();
      const text = step_s >= 86_400 ? day.slice(5, 10) : clock(at_s, step_s < 60);
      const half = context.measureText(text).width / 2;
      if (x - half < this.left - 4 || x + half > free) continue;
      context.fillText(text, x, y);
    }
    context.textAlign = "right";
    context.fillText("UTC", this.width - 2, y);
  }

  // Who joined, left and was lost, above the cells: shape beside colour.
  #rail(context) {
    const { cells, look } = this;
    const span_s = cells.columns * cells.width_s;
    for (const event of this.events) {
      const share = (event.at_s - cells.first_s) / span_s;
      if (share < 0 || share > 1) continue;
      const x = this.left + share * this.plot;
      context.beginPath();
      if (event.kind === "lost") {
        context.strokeStyle = look.bad;
        context.lineWidth = 2;
        context.moveTo(x - 3.5, 3);
        context.lineTo(x + 3.5, 10);
        context.moveTo(x + 3.5, 3);
        context.lineTo(x - 3.5, 10);
        context.stroke();
        continue;
      }
      const isUp = event.kind === "added";
      context.fillStyle = isUp ? look.up : look.down;
      context.moveTo(x, isUp ? 2 : 11);
      context.lineTo(x + 5, isUp ? 10 : 3);
      context.lineTo(x - 5, isUp ? 10 : 3);
      context.fill();
    }
  }

  #mark(context) {
    const { cursor } = this;
    if (!cursor || this.tip.hidden || cursor.line >= this.lines.length) return;
    const columnPx = this.plot / this.cells.columns;
    context.strokeStyle = this.look.ink;
    context.lineWidth = 1.5;
    const height = Math.max(3, this.rowPx - 1);
    const width = Math.max(3, columnPx);
    context.strokeRect(this.left + cursor.column * columnPx - 0.5, this.tops[cursor.line] - 0.5, width + 1, height + 1);
  }

  #listen() {
    const { canvas } = this;
    canvas.addEventListener("pointermove", (moved) => this.#over(moved));
    canvas.addEventListener("pointerleave", () => this.#leave());
    canvas.addEventListener("blur", () => this.#leave());
    canvas.addEventListener("click", (clicked) => {
      const cell = this.#cellAt(clicked);
      if (cell) this.told.open(this.#chosen(cell));
    });
    canvas.addEventListener("keydown", (key) => this.#key(key));
  }

  #cellAt(pointed) {
    if (!this.cells?.columns) return null;
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [pointed.clientX - box.left, pointed.clientY - box.top];
    const line = this.tops.findIndex((top) => y >= top && y < top + this.rowPx);
    if (line < 0 || x > this.left + this.plot) return null;
    const column = Math.floor(((x - this.left) / this.plot) * this.cells.columns);
    return { line, column: Math.max(0, Math.min(this.cells.columns - 1, column)) };
  }

  #over(pointed) {
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [pointed.clientX - box.left, pointed.clientY - box.top];
    const span_s = this.cells ? this.cells.columns * this.cells.width_s : 1;
    const event = y < RAIL_PX && this.cells && this.events.find((each) =>
      Math.abs(this.left + ((each.at_s - this.cells.first_s) / span_s) * this.plot - x) < 7);
    const cell = this.#cellAt(pointed);
    if (event) this.#tell([cleaned(event.text), `${clock(event.at_s)} UTC`], x, RAIL_PX);
    else if (cell) {
      this.#point(cell);
      this.draw();
    } else this.#leave();
  }

  #leave() {
    if (this.tip.hidden) return;
    this.tip.hidden = true;
    this.draw();
  }

  #chosen({ line, column }) {
    const { cells } = this;
    const codes = this.lines[line].map((row) => [row, cells.at(row, column)]);
    const known = codes.filter(([, code]) => code < NOT_MEASURED).sort((a, b) => b[1] - a[1]);
    return cells.workers[(known[0] ?? codes[0])[0]].id;
  }

  #words(cell) {
    const { cells } = this;
    const members = this.lines[cell.line];
    const code = this.#code(members, cell.column);
    const from = cells.startOf(cell.column);
    const until = cells.width_s > cells.interval_s ? `–${clock(from + cells.width_s)}` : "";
    const name = members.length === 1
      ? cut(cells.workers[members[0]].id, 120)
      : `${cut(cells.workers[members[0]].id, 40)} and ${members.length - 1} more`;
    const said = code === NOT_ALIVE ? "not alive" : code === NOT_MEASURED ? "not measured"
      : `${facts.metrics[cells.metric]} ${written(code * cells.step, cells.metric)}`;
    const more = members.length > 1 && code < NOT_MEASURED ? `; opens the busiest, ${cut(this.#chosen(cell), 40)}` : "";
    return [name, `${said}${more}`, `${clock(from)}${until} UTC`];
  }

  #point(cell) {
    this.cursor = cell;
    if (cell.line >= this.lines.length) {
      this.tip.hidden = true;
      return;
    }
    const x = this.left + ((cell.column + 0.5) / this.cells.columns) * this.plot;
    this.#tell(this.#words(cell), x, this.tops[cell.line] + this.rowPx);
  }

  #tell([name, ...lines], x, y) {
    const { tip } = this;
    const parts = [Object.assign(document.createElement("b"), { textContent: name })];
    for (const line of lines) parts.push(Object.assign(document.createElement("span"), { textContent: line }));
    tip.replaceChildren(...parts);
    tip.hidden = false;
    const width = tip.offsetWidth;
    tip.style.left = `${Math.max(0, Math.min(this.width - width, x - width / 2))}px`;
    const below = y + 8;
    tip.style.top = `${below + tip.offsetHeight > this.height + 40 ? y - this.rowPx - tip.offsetHeight - 8 : below}px`;
  }

  #key(key) {
    const { cells } = this;
    if (!cells?.columns || !this.lines.length) return;
    const at = this.cursor ?? { line: 0, column: cells.columns - 1 };
    const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0],
      PageUp: [-10, 0], PageDown: [10, 0], Home: [0, -Infinity], End: [0, Infinity] };
    if (key.key === "Enter" || key.key === " ") {
      key.preventDefault();
      this.told.open(this.#chosen({ line: Math.min(at.line, this.lines.length - 1), column: at.column }));
      return;
    }
    if (key.key === "Escape") return void this.#leave();
    const move = moves[key.key];
    if (!move) return;
    key.preventDefault();
    const [line, column] = this.cursor ? [at.line + move[0], at.column + move[1]] : [at.line, at.column];
    this.#point({
      line: Math.max(0, Math.min(this.lines.length - 1, line)),
      column: Math.max(0, Math.min(cells.columns - 1, column)),
    });
    this.told.aloud(this.#words(this.cursor).join(", "));
    this.draw();
  }
}

// The scale of the colours, from nothing to all.
export function paintRamp(canvas, name) {
  const context = canvas.getContext("2d");
  const picture = new ImageData(256, 1);
  for (let i = 0; i < 256; i++) {
    for (let part = 0; part < 3; part++) picture.data[4 * i + part] = parseInt(facts.ramps[name].slice(6 * i + 2 * part, 6 * i + 2 * part + 2), 16);
    picture.data[4 * i + 3] = 255;
  }
  context.putImageData(picture, 0, 0);
}
