// The cells of the heatmap: as the server sends them (dashboard/cells.py), and as ticks add to them.
export const NOT_MEASURED = 65534;
export const NOT_ALIVE = 65535;
const micro = (seconds) => Math.round(seconds * 1e6);

export class Cells {
  constructor(buffer) {
    const length = new DataView(buffer).getUint32(0, true);
    const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
    Object.assign(this, head);
    this.codes = new Uint16Array(buffer.slice(4 + length));
    this.rowOf = new Map(this.workers.map((worker, row) => [worker.id, row]));
    this.kind = this.workers[0]?.kind ?? "worker";
    // What renderers have to paint anew: everything, or a shift and the columns from one on.
    this.shifted = 0;
    this.changedFrom = 0;
    this.rosterChanged = true;
    this.#begin(this.columns - 1, this.#ticksInLast());
  }

  get rows() {
    return this.workers.length;
  }

  at(row, column) {
    return this.codes[row * this.columns + column];
  }

  startOf(column) {
    return this.first_s + column * this.width_s;
  }

  // The column of a moment, which may lie outside.
  columnOf(at_s) {
    return Math.floor((micro(at_s) - micro(this.first_s)) / micro(this.width_s));
  }

  // Takes one tick: `values` are those of `workers`, in their order; NaN is not measured.
  apply(at_s, workers, values) {
    let column = this.columnOf(at_s);
    if (column < 0 || !this.columns) return;
    if (column >= this.columns) {
      this.#shift(column - this.columns + 1);
      column = this.columns - 1;
    }
    const rows = this.#rowsOf(workers);
    if (column !== this.open.column) {
      this.#fillGap(rows, column);
      this.#begin(column, 0);
    }
    const { sums, counts } = this.open;
    const isMax = this.statistic === "max";
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i];
      if (row === undefined) continue;
      const value = values[i];
      const place = row * this.columns + column;
      if (Number.isFinite(value)) {
        const known = counts[row];
        sums[row] = isMax ? (known ? Math.max(sums[row], value) : value) : sums[row] + value;
        counts[row] = known + 1;
        const shown = isMax ? sums[row] : sums[row] / counts[row];
        this.codes[place] = Math.min(NOT_MEASURED - 1, Math.max(0, Math.round(shown / this.step)));
      } else if (this.codes[place] === NOT_ALIVE) {
        this.codes[place] = NOT_MEASURED;
      }
    }
    this.changedFrom = Math.min(this.changedFrom, column);
  }

  // Marks who left, by id.
  left(ids) {
    for (const id of ids) {
      const row = this.rowOf.get(id);
      if (row !== undefined) this.workers[row].left = true;
    }
    this.seated = null;
  }

  painted() {
    this.shifted = 0;
    this.changedFrom = this.columns;
    this.rosterChanged = false;
  }

  #ticksInLast() {
    const start_s = this.startOf(this.columns - 1);
    return this.interval_s > 0 ? Math.max(1, Math.round((this.ends_at_s - start_s) / this.interval_s)) : 1;
  }

  // Takes up a column in which so many ticks were counted already.
  #begin(column, ticks) {
    const sums = new Float64Array(this.rows);
    const counts = new Uint32Array(this.rows);
    for (let row = 0; ticks && row < this.rows; row++) {
      const code = this.at(row, column);
      if (code >= NOT_MEASURED) continue;
      counts[row] = ticks;
      sums[row] = code * this.step * (this.statistic === "max" ? 1 : ticks);
    }
    this.open = { column, sums, counts };
  }

  #shift(by) {
    const { codes, columns, rows } = this;
    const kept = Math.max(0, columns - by);
    for (let row = 0; row < rows; row++) {
      const start = row * columns;
      if (kept) codes.copyWithin(start, start + columns - kept, start + columns);
      codes.fill(NOT_ALIVE, start + kept, start + columns);
    }
    this.first_s += by * this.width_s;
    this.open.column -= by;
    this.shifted += by;
    this.changedFrom = Math.min(this.changedFrom - by, kept);
    if (this.changedFrom < 0) this.changedFrom = 0;
  }

  // Who lived before and after columns without a tick lived in them, and was not measured.
  #fillGap(rows, column) {
    const before = this.open.column;
    for (let between = Math.max(0, before + 1); between < column; between++) {
      for (const row of rows) {
        if (row === undefined || (before >= 0 && this.at(row, before) === NOT_ALIVE)) continue;
        this.codes[row * this.columns + between] = NOT_MEASURED;
      }
      this.changedFrom = Math.min(this.changedFrom, between);
    }
  }

  // Where each of a roster has its row; it is the same array tick after tick, until somebody comes or leaves.
  #rowsOf(workers) {
    if (this.seated?.workers !== workers) {
      this.#admit(workers);
      this.seated = { workers, rows: workers.map((worker) => this.rowOf.get(worker.id)) };
    }
    return this.seated.rows;
  }

  #admit(workers) {
    const fresh = workers.filter((worker) => worker.kind === this.kind && !this.rowOf.has(worker.id));
    for (const worker of workers) {
      const row = this.rowOf.get(worker.id);
      if (row !== undefined && this.workers[row].left) this.workers[row].left = false;
    }
    if (!fresh.length) return;
    const codes = new Uint16Array((this.rows + fresh.length) * this.columns).fill(NOT_ALIVE);
    codes.set(this.codes);
    for (const worker of fresh) {
      this.rowOf.set(worker.id, this.workers.length);
      this.workers.push({ ...worker, left: false });
    }
    const grown = (old, kind) => {
      const larger = new kind(this.workers.length);
      larger.set(old);
      return larger;
    };
    this.codes = codes;
    this.open.sums = grown(this.open.sums, Float64Array);
    this.open.counts = grown(this.open.counts, Uint32Array);
    this.rosterChanged = true;
  }
}
