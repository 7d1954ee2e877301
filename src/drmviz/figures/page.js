"use strict";
// Draws figures. In a file it unpacks Plotly once and draws every figure of the page, and nothing is fetched;
// a page that is served loads Plotly by itself and hands figures to `drmvizFigures.show`.
(() => {
  const nonce = document.currentScript.nonce;
  if (nonce) allowStyles(nonce);
  for (const place of document.querySelectorAll(".drmviz-figure")) place.style.minHeight = `${place.dataset.height}px`;
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

  // [path, light, dark] for each part in which the dark theme differs; null is "not there".
  function paint(spec, parts) {
    const side = document.documentElement.dataset.theme === "dark" ? 2 : 1;
    for (const part of parts) {
      const path = part[0].slice();
      const last = path.pop();
      const target = path.reduce((inner, name) => inner?.[name], spec);
      if (target) target[last] = structuredClone(part[side]);
    }
  }

  const shown = new WeakMap();

  // Draws a figure in its place, or draws it anew there.
  async function show(place, content, parts) {
    const spec = await revived(content, {});
    const known = shown.get(place);
    if (known) return known(spec, parts);
    const picture = pictureAt(place, spec, parts);
    shown.set(place, picture.renew);
    return picture.begin();
  }

  function pictureAt(place, spec, parts) {
    const narrow = () => place.clientWidth > 0 && place.clientWidth < 760;
    let normal = {};
    const lay = () => {
      for (const [path, value] of Object.entries(normal)) put(spec.layout, path, value);
      paint(spec, parts);
      normal = {};
      for (const path of Object.keys(spec.narrow ?? {})) {
        normal[path] = path.split(".").reduce((part, name) => part?.[name], spec.layout) ?? null;
      }
      if (narrow()) for (const [path, value] of Object.entries(spec.narrow ?? {})) put(spec.layout, path, value);
    };
    let was = narrow();
    let width = 0;
    // Not Plotly's own way: it follows every passing width, and keeps margins that it cut down for a tiny one.
    const settle = async () => {
      if (place.clientWidth === width || (width && place.clientWidth < 200)) return;
      const isFirst = !width;
      width = place.clientWidth;
      if (isFirst || narrow() !== was) {
        was = narrow();
        lay();
        await (isFirst ? Plotly.newPlot : Plotly.react)(place, spec.data, spec.layout, spec.config);
        place.dataset.drawn = "yes";
      }
      if (!isFirst) await Plotly.Plots.resize(place);
    };
    const again = () => {
      if (!width) return undefined;
      lay();
      return Plotly.react(place, spec.data, spec.layout, spec.config);
    };
    document.addEventListener("drmviz-theme", again);
    return {
      async begin() {
        if (place.clientWidth) await settle();  // else it is drawn as soon as it is shown
        let pending = 0;
        new ResizeObserver(() => {
          clearTimeout(pending);
          pending = setTimeout(settle, width ? 100 : 0);
        }).observe(place);
      },
      renew(newer, differing) {
        [spec, parts, normal] = [newer, differing, {}];
        return again();
      },
    };
  }

  // Under the policy of a served page styles come by script or with its nonce; Plotly writes some as attributes.
  function allowStyles(nonce) {
    const { createElement } = document;
    document.createElement = (...given) => {
      const element = createElement.apply(document, given);
      if (element.localName === "style") element.nonce = nonce;
      return element;
    };
    const { setAttribute } = Element.prototype;
    Element.prototype.setAttribute = function (name, value) {
      if (name === "style") this.style.cssText = value;
      else setAttribute.call(this, name, value);
    };
  }

  async function start() {
    const script = document.createElement("script");
    script.nonce = nonce;
    script.textContent = await unpacked(bytesOf(document.getElementById("drmviz-plotly").textContent), "gzip").text();
    document.head.append(script);
    for (const figure of document.querySelectorAll("script[data-figure]")) {
      const themes = figure.parentNode.querySelector(`script[data-themes="${figure.dataset.figure}"]`);
      const place = document.getElementById(figure.dataset.figure);
      await show(place, JSON.parse(figure.textContent), themes ? JSON.parse(themes.textContent) : []);
    }
  }

  globalThis.drmvizFigures = { show };
  if (!document.getElementById("drmviz-plotly")) return;
  start().catch((error) => {
    for (const place of document.querySelectorAll(".drmviz-figure:not([data-drawn])")) {
      place.textContent = "This browser could not draw the figure: " + error.message;
    }
    throw error;
  });
})();
