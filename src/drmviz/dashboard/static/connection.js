// The WebSocket: every tick once and in its order, whatever breaks in between; says how the connection is doing.
const FRAME_BYTES = 32;
const LONGEST_WAIT_MS = 15_000;
const PROBE_AFTER_MS = 1_100;
const PROBE_PATIENCE_MS = 1_000;
const GIVES_UP_AFTER = 3;
const OVER = new Set([401, 403]);

// Reads one binary frame (dashboard/frames.py) of one metric.
export function decoded(buffer) {
  const view = new DataView(buffer);
  if (buffer.byteLength < FRAME_BYTES || view.getUint32(0, false) !== 0x44524d56 || view.getUint16(4, true) !== 1) {
    throw new Error("this is not a frame of drmviz");
  }
  return {
    sequence: view.getUint32(8, true),
    roster: view.getUint32(12, true),
    at_s: view.getFloat64(16, true),
    values: new Float32Array(buffer, FRAME_BYTES, view.getUint32(24, true)),
  };
}

export class Connection {
  // `told` has: frame(frame, workers), events(list), changed(snapshot), lost(from, to), state(name, facts).
  // A tick is late when so many seconds have passed since it was due.
  constructor(told, slack_s) {
    this.told = told;
    this.slack_s = slack_s;
    this.last = null;
    this.run = null;
    this.metric = null;
    this.interval_s = 1;
    this.expectsTicks = false;
    this.isPaused = false;
    this.failures = 0;
    this.workers = [];
    this.heard = performance.now();
    this.ticked = performance.now();
    this.asked = 0;
    this.isReady = false;
    setInterval(() => this.#watch(), 200);
    addEventListener("online", () => this.#soon(0));
  }

  // Takes up after a sequence of a run; frames that come before that are not lost, they are asked for again.
  follow({ run, sequence, metric, interval_s, expectsTicks }) {
    this.last = sequence;
    this.run = run;
    this.interval_s = interval_s;
    this.expectsTicks = expectsTicks;
    this.isReady = true;
    this.ticked = performance.now();
    if (this.socket && this.metric === metric && this.socket.readyState <= WebSocket.OPEN) {
      this.#catchUp();
      return;
    }
    this.metric = metric;
    this.#open();
  }

  pause(isPaused) {
    this.isPaused = isPaused;
    if (!isPaused) this.ticked = performance.now();
    this.#tell();
    if (!isPaused) this.#catchUp();
  }

  #askAgain() {
    if (performance.now() - this.asked > 1000) this.#catchUp();
  }

  #catchUp() {
    if (this.socket?.readyState !== WebSocket.OPEN || this.last === null) return;
    this.asked = performance.now();
    this.socket.send(JSON.stringify({ after: this.last }));
  }

  #open() {
    clearTimeout(this.timer);
    this.timer = 0;
    this.#drop();
    const url = new URL("../ws", import.meta.url);
    url.protocol = url.protocol.replace("http", "ws");
    url.searchParams.set("metric", this.metric);
    if (this.last !== null) {
      url.searchParams.set("after", this.last);
      url.searchParams.set("run", this.run);
    }
    const socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.opened = performance.now();
    socket.addEventListener("open", () => {
      this.heard = performance.now();  // a connection is no tick: who was stale stays so until one comes
      this.hasOpened = true;
      this.failures = 0;
      this.#tell();
    });
    socket.addEventListener("message", (message) => {
      this.heard = performance.now();
      if (typeof message.data === "string") this.#text(JSON.parse(message.data));
      else this.#frame(decoded(message.data));
    });
    socket.addEventListener("close", () => {
      if (this.socket === socket) this.#closed();
    });
  }

  #drop() {
    const socket = this.socket;
    this.socket = null;
    if (socket && socket.readyState <= WebSocket.OPEN) socket.close();
  }

  #closed() {
    this.socket = null;
    this.failures += 1;
    const wait_ms = Math.min(LONGEST_WAIT_MS, 500 * 2 ** Math.min(this.failures - 1, 10));
    this.#soon(wait_ms / 2 + (Math.random() * wait_ms) / 2);
    this.#tell();
    this.#look();
  }

  #soon(wait_ms) {
    if (this.socket || this.metric === null) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#open(), wait_ms);
    this.retryAt = performance.now() + wait_ms;
  }

  #text(said) {
    if (said.type === "roster") {
      this.workers = said.workers;
      this.roster = said.roster;
    } else if (said.type === "gap") {
      if (!this.isPaused && this.isReady) {
        this.isReady = false;
        this.told.lost(said.from, said.to);
      }
    } else if (said.type === "events") {
      this.told.events(said.events);
    } else if (said.type === "snapshot") {
      if (said.sequence === null) this.ticked = performance.now();  // of a file: it has changed
      this.expectsTicks = said.is_being_written;
      if (!this.isPaused) this.told.changed(said);
    }
  }

  #frame(frame) {
    this.ticked = performance.now();
    this.#tell();
    if (this.isPaused || !this.isReady || frame.roster !== this.roster) return;
    if (this.last !== null && frame.sequence <= this.last) return;
    if (this.last !== null && frame.sequence > this.last + 1) {
      this.isBehind = true;  // it comes again, after those that are missing
      this.#askAgain();
      return;
    }
    this.isBehind = false;
    this.last = frame.sequence;
    this.told.frame(frame, this.workers);
  }

  // Whoever hears nothing asks whether the server still answers.
  #watch() {
    this.#tell();
    if (this.isBehind && !this.isPaused && this.isReady) this.#askAgain();
    const isSilent = performance.now() - this.heard > PROBE_AFTER_MS;
    if (this.socket?.readyState === WebSocket.OPEN && isSilent && !this.probing) this.#probe();
    if (this.socket?.readyState === WebSocket.CONNECTING && performance.now() - this.opened > 10_000) {
      this.#drop();
      this.#closed();
    }
  }

  async #probe() {
    this.probing = true;
    const socket = this.socket;
    try {
      await fetch(new URL("../healthz", import.meta.url), {
        cache: "no-store", signal: AbortSignal.timeout(PROBE_PATIENCE_MS),
      });
      this.heard = performance.now();
    } catch {
      if (this.socket === socket && performance.now() - this.heard > PROBE_AFTER_MS) {
        this.#drop();
        this.#closed();
      }
    }
    this.probing = false;
  }

  // Finds out why there is no WebSocket: no server, no session, or something between that lets none through.
  async #look() {
    const url = new URL("../api/v1/status", import.meta.url);
    try {
      const response = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(2000) });
      this.isOver = OVER.has(response.status);
      this.answers = response.ok;
    } catch {
      this.answers = false;
      this.isOver = false;
    }
    this.#tell();
  }

  get isOpen() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  get polls() {
    return !this.isOpen && Boolean(this.answers) && this.failures >= (this.hasOpened ? GIVES_UP_AFTER + 2 : GIVES_UP_AFTER);
  }

  #tell() {
    const now = performance.now();
    const silent_s = (now - this.ticked) / 1000;
    // Where ticks come when somebody asks for them, none is ever late.
    const late_s = this.interval_s ? Math.max(1, this.interval_s) + this.slack_s : Infinity;
    let name;
    if (this.isPaused) name = "paused";
    else if (this.isOver) name = "over";
    else if (this.polls) name = "polling";
    else if (this.isOpen) name = !this.expectsTicks ? "recorded" : silent_s > late_s ? "stale" : "live";
    else name = this.failures ? "lost" : "connecting";
    this.told.state(name, {
      silent_s,
      interval_s: this.interval_s,
      retry_s: this.timer ? Math.max(0, (this.retryAt - now) / 1000) : 0,
    });
  }
}
