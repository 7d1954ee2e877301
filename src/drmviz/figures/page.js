"use strict";
// Unpacks Plotly once and draws every figure of this page. Nothing is fetched.
(() => {
  const bytesOf = (text) =>
    Uint8Array.fromBase64 ? Uint8Array.fromBase64(text) : Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const unpacked = (bytes, format) =>
    new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream(format)));
  const arrays = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array };

  async function rowsOf(packed) {
    const [rows, columns] = packed.shape;
    const bytes = packed.zlib
      ? new Uint8Array(await unpacked(bytesOf(packed.zlib), "deflate").arrayBuffer())
      : bytesOf(packed.base64);
    const kind = packed.step === 0 ? Float32Array : arrays[packed.bytes];
    const texts = packed.texts && (await unpacked(bytesOf(packed.texts), "deflate").json());
    const numbers = new kind(bytes.buffer, 0, rows * columns);
    const unknown = packed.step ? 2 ** (8 * packed.bytes) - 1 : NaN;
    return Array.from({ length: rows }, (_, row) => {
      const part = numbers.subarray(row * columns, (row + 1) * columns);
      if (texts) return Array.from(part, (index) => texts[index]);
      if (!packed.step) return part;
      return Float32Array.from(part, (number) => (number === unknown ? NaN : Math.round(number * packed.step * 10) / 10));
    });
  }

  async function revived(value, known) {
    if (Array.isArray(value)) {
      for (let i = 0; i < value.length; i++) {
        if (value[i] && typeof value[i] === "object") value[i] = await revived(value[i], known);
      }
      return value;
    }
    if (Number.isInteger(value.same)) return known[value.same];
    if (Number.isInteger(value.key) && value.shape) return (known[value.key] = await rowsOf(value));
    for (const name of Object.keys(value)) {
      if (value[name] && typeof value[name] === "object") value[name] = await revived(value[name], known);
    }
    return value;
  }

  function put(layout, path, value) {
    const names = path.split(".");
    const last = names.pop();
    names.reduce((part, name) => (part[name] ??= {}), layout)[last] = value;
  }

  async function draw(figure) {
    const place = document.getElementById(figure.dataset.figure);
    const spec = await revived(JSON.parse(figure.textContent), {});
    const normal = {};
    const narrow = () => place.clientWidth > 0 && place.clientWidth < 760;
    const apply = () => {
      for (const [path, value] of Object.entries(narrow() ? spec.narrow ?? {} : normal)) put(spec.layout, path, value);
    };
    for (const path of Object.keys(spec.narrow ?? {})) {
      normal[path] = path.split(".").reduce((part, name) => part?.[name], spec.layout) ?? null;
    }
    let was = narrow();
    let width = place.clientWidth;
    apply();
    await Plotly.newPlot(place, spec.data, spec.layout, spec.config);
    place.dataset.drawn = "yes";
    // Not Plotly's own way: it follows every passing width, and keeps margins that it cut down for a tiny one.
    const settle = async () => {
      if (place.clientWidth < 200 || place.clientWidth === width) return;
      width = place.clientWidth;
      if (narrow() !== was) {
        was = narrow();
        apply();
        await Plotly.react(place, spec.data, spec.layout, spec.config);
      }
      await Plotly.Plots.resize(place);
    };
    let pending = 0;
    new ResizeObserver(() => {
      clearTimeout(pending);
      pending = setTimeout(settle, 100);
    }).observe(place);
  }

  async function start() {
    const script = document.createElement("script");
    script.textContent = await unpacked(bytesOf(document.getElementById("drmviz-plotly").textContent), "gzip").text();
    document.head.append(script);
    for (const figure of document.querySelectorAll("script[data-figure]")) await draw(figure);
  }

  start().catch((error) => {
    for (const place of document.querySelectorAll(".drmviz-figure:not([data-drawn])")) {
      place.textContent = "This browser could not draw the figure: " + error.message;
    }
    throw error;
  });
})();
