// Put into a page before its own scripts: notes when its fleet and its charts are seen, how old a tick is when it
// arrives and when it is seen, and which tasks block the page. "Seen" is the beginning of the frame after the drawing.
globalThis.drmvizWatched = (() => {
  const noted = { long: [], arrived: [], seen: [], fleet_ms: null, charts: {} };
  let pending_s = null;
  const seen = (then) => requestAnimationFrame(() => requestAnimationFrame(then));

  new PerformanceObserver((list) => {
    for (const task of list.getEntries()) noted.long.push({ at_ms: task.startTime, took_ms: task.duration });
  }).observe({ type: "longtask", buffered: true });

  globalThis.WebSocket = class extends WebSocket {
    constructor(...given) {
      super(...given);
      this.addEventListener("message", ({ data }) => {
        if (typeof data === "string") return;
        pending_s = new DataView(data).getFloat64(16, true);
        noted.arrived.push({ at_ms: performance.now(), age_ms: Date.now() - pending_s * 1000 });
      });
    }
  };

  const { drawImage } = CanvasRenderingContext2D.prototype;
  CanvasRenderingContext2D.prototype.drawImage = function (...given) {
    if (this.canvas.id === "heat-canvas") {
      const tick_s = pending_s;
      pending_s = null;
      requestAnimationFrame(() => {  // it draws within a frame: this is the next one
        noted.fleet_ms ??= document.querySelector("#kpis > *") ? performance.now() : null;
        if (tick_s !== null) noted.seen.push(Date.now() - tick_s * 1000);
      });
    }
    return drawImage.apply(this, given);
  };

  new MutationObserver((changes) => {
    for (const { target } of changes) {
      if (target.dataset?.drawn && !(target.id in noted.charts)) {
        noted.charts[target.id] = null;
        seen(() => (noted.charts[target.id] = performance.now()));
      }
    }
  }).observe(document, { attributes: true, attributeFilter: ["data-drawn"], subtree: true });
  return Object.assign(noted, {
    told: () => JSON.parse(JSON.stringify(noted)),
    // Begins anew with ticks and tasks; returns when.
    forgotten() {
      noted.long.length = noted.arrived.length = noted.seen.length = 0;
      return performance.now();
    },
    isComplete() {
      const places = [...document.querySelectorAll(".drmviz-figure")].filter((place) => place.clientWidth > 0);
      return places.length > 0 && !document.querySelector(".wait") && places.every((place) => noted.charts[place.id]);
    },
  });
})();
