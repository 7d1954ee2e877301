// The heatmap of the fleet on a canvas: a colour table, one pixel for each cell, moved on by one column for each tick.
import { NOT_ALIVE, NOT_MEASURED } from "./cells.js";
import { drawAbsences, drawAxis, drawNames, drawRail } from "./margins.js";
import { RAIL_PX, arranged, codeOf } from "./rows.js";
import { facts, view } from "./state.js";
import { cleaned, clock, cut, written } from "./text.js";

const AXIS_PX = 22;
const TALLEST_PX = { overview: 470, use: 820 };

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
    this.#listen();
    new ResizeObserver(() => this.arrange()).observe(place);
    document.addEventListener("drmviz-theme", () => this.arrange());
    matchMedia("(resolution: 1dppx)").addEventListener("change", () => this.arrange());
  }

  show(cells) {
    this.cells = cells;
    this.isArranged = false;
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
    Object.assign(this, arranged(this.cells, view, TALLEST_PX[view.tab] ?? TALLEST_PX.overview));
    this.#measure();
    this.#say();
    this.isStale = true;
    this.isArranged = true;
    this.draw();
  }

  draw() {
    this.wanted ??= requestAnimationFrame(() => {
      this.wanted = undefined;
      if (!this.cells || !this.place.clientWidth) return;  // hidden: it is arranged when it is shown
      if (!this.isArranged) return this.arrange();
      this.#paint();
      this.#compose();
      if (this.cursor && !this.tip.hidden) this.#point(this.cursor);
      return undefined;
    });
  }

  // Gives names and cells their room.
  #measure() {
    const context = this.canvas.getContext("2d");
    context.font = `10.5px ${this.look.mono}`;
    this.width = this.place.clientWidth;
    this.letters = this.width < 560 ? 11 : 20;
    const named = this.lines.filter((_, line) => line % this.every === 0);
    const labelPx = Math.max(20, ...named.map((members) => context.measureText(this.label(members)).width));
    this.left = Math.ceil(labelPx) + 12 + (this.isGrouped ? 24 : 0);
    this.right = 42;
    this.plot = Math.max(20, this.width - this.left - this.right);
    this.height = Math.max(60, this.bottom + AXIS_PX);
    this.scale = Math.max(1, devicePixelRatio || 1);
    this.canvas.width = Math.round(this.width * this.scale);
    this.canvas.height = Math.round(this.height * this.scale);
    this.canvas.style.height = `${this.height}px`;
  }

  #say() {
    const merged = this.perLine > 1 ? `, ${this.perLine} per row` : "";
    const of = view.filter.trim() ? ` of ${this.cells.rows.toLocaleString("en")}` : "";
    this.told.said(this.found, `${of} worker${this.found === 1 && !of ? "" : "s"}${merged}`);
  }

  label(members) {
    const { workers } = this.cells;
    if (members.length === 1) return cut(workers[members[0]].id, this.letters);
    return `${cut(workers[members[0]].id, this.letters - 5)} +${members.length - 1}`;
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

  // Brings the small pictures, one pixel for each cell, up to what the cells hold.
  #paint() {
    const { cells, base, mask, lines } = this;
    const [width, height] = [cells.columns, Math.max(1, lines.length)];
    if (!width) return;
    const highest = this.#highest();
    if (this.isStale || base.width !== width || base.height !== height || highest !== this.top) {
      [base.width, mask.width, base.height, mask.height] = [width, width, height, height];
      this.top = highest;
      this.gaps = new Uint32Array(width);  // of each column: how many lines were not measured
      this.#columns(0, width);
      this.isStale = false;
    } else {
      if (cells.shifted) {
        for (const each of [base, mask]) {
          const context = each.getContext("2d");
          context.globalCompositeOperation = "copy";
          context.drawImage(each, -cells.shifted, 0);
          context.globalCompositeOperation = "source-over";
        }
        this.gaps.copyWithin(0, cells.shifted);
      }
      if (cells.changedFrom < width) this.#columns(cells.changedFrom, width);
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
    const { cells, lines, look } = this;
    const width = to - from;
    const [picture, gaps] = [new ImageData(width, Math.max(1, lines.length)), new ImageData(width, Math.max(1, lines.length))];
    const scale = 255 / this.top;
    this.gaps.fill(0, from, to);
    for (let line = 0; line < lines.length; line++) {
      for (let column = 0; column < width; column++) {
        const code = codeOf(cells, lines[line], from + column);
        if (code === NOT_ALIVE) continue;
        const at = 4 * (line * width + column);
        if (code === NOT_MEASURED) {
          picture.data.set(look.track, at);
          gaps.data[at + 3] = 255;
          this.gaps[from + column] += 1;
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
    drawAbsences(this, context);
    drawNames(this, context);
    drawAxis(this, context);
    drawRail(this, context);
    this.#mark(context);
  }

  #cellsOn(context) {
    context.imageSmoothingEnabled = false;
    this.#put(this.base, context);
    if (this.gaps.some(Boolean)) this.#hatchOn(context);
    if (this.rowPx < 6) return;
    for (let line = 1; line < this.lines.length; line++) {
      // A hair between the rows, as wide as the ground shows through.
      context.clearRect(this.left, this.tops[line] - 1, this.plot, 1);
    }
  }

  // The columns [from, to) of a small picture, each group in its place.
  #put(small, context, from = 0, to = this.cells.columns) {
    const columnPx = this.plot / this.cells.columns;
    for (const { first, end } of this.groups) {
      context.drawImage(small, from, first, to - from, end - first, this.left + from * columnPx, this.tops[first],
        (to - from) * columnPx, (end - first) * this.rowPx);
    }
  }

  // Laid over as much as has gaps: it costs more than all cells together.
  #hatchOn(context) {
    const { canvas, hatched, scale } = this;
    const [from, to] = [this.gaps.findIndex(Boolean), this.gaps.findLastIndex(Boolean) + 1];
    const columnPx = this.plot / this.cells.columns;
    const [x, width] = [Math.floor(this.left + from * columnPx), Math.ceil((to - from) * columnPx) + 1];
    const pattern = hatched.getContext("2d");
    if (hatched.width !== canvas.width || hatched.height !== canvas.height) {
      [hatched.width, hatched.height] = [canvas.width, canvas.height];
    }
    pattern.save();
    pattern.imageSmoothingEnabled = false;
    pattern.setTransform(scale, 0, 0, scale, 0, 0);
    pattern.beginPath();
    pattern.rect(x, 0, width, this.height);
    pattern.clip();
    pattern.clearRect(x, 0, width, this.height);
    this.#put(this.mask, pattern, from, to);
    pattern.globalCompositeOperation = "source-in";
    pattern.fillStyle = pattern.createPattern(this.hatch, "repeat");
    pattern.fillRect(x, 0, width, this.height);
    pattern.restore();
    context.drawImage(hatched, x * scale, 0, width * scale, canvas.height, x, 0, width, canvas.height / scale);
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
    const code = codeOf(this.cells, members, cell.column);
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
