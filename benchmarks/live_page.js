// What the benchmarks of the live page measure inside of it. Each function is evaluated in a page that is open.
globalThis.drmvizMeasured = (() => {
  const median = (numbers) => numbers.toSorted((a, b) => a - b)[numbers.length >> 1];
  const rest = () => new Promise((done) => setTimeout(done, 0));

  function loaded(url) {
    return new Promise((done, failed) => {
      const script = Object.assign(document.createElement("script"), { src: url, onload: done, onerror: failed });
      document.head.append(script);
    });
  }

  // Milliseconds of one update of the live heatmap, beside what else could draw the same cells; medians, in turn.
  // One pixel is read back after each, so that no drawing of a canvas is left for later.
  async function updates({ rounds, reacts, missing = 0 }) {
    const root = document.querySelector("script[type=module]").src;
    const [{ Cells, NOT_MEASURED }, { Heatmap }, { codeOf }, { facts }] = await Promise.all(
      ["cells.js", "heatmap.js", "rows.js", "state.js"].map((name) => import(new URL(name, root))));
    const answer = await fetch(new URL("../api/v1/cells?metric=cpu_ratio&statistic=mean&columns=600&last=600", root));
    if (!answer.ok) throw new Error(await answer.text());
    const cells = new Cells(await answer.arrayBuffer());
    const place = document.getElementById("heat");
    const wide = place.clientWidth;
    const own = place.cloneNode(true);
    own.style.width = `${wide}px`;
    place.replaceWith(own);
    const heatmap = new Heatmap(own, { open() {}, said() {}, aloud() {} });
    const real = requestAnimationFrame;
    const frames = [];
    heatmap.show(cells);
    await new Promise((done) => setTimeout(done, 300));
    const { lines } = heatmap;
    const { columns } = cells;
    let at_s = cells.startOf(columns) - cells.width_s / 2;

    const pixel = (canvas) => canvas.getContext("2d").getImageData(0, 0, 1, 1).data[0];
    const values = Float32Array.from(cells.workers, () => Math.random());
    const workers = cells.workers.map((worker) => ({ ...worker }));
    function ours() {
      at_s += cells.width_s;
      for (let i = 0; i < values.length; i++) values[i] = Math.random() < missing ? NaN : Math.random();
      window.requestAnimationFrame = (draw) => frames.push(draw);
      const began = performance.now();
      cells.apply(at_s, workers, values);
      heatmap.renew();
      window.requestAnimationFrame = real;
      for (const draw of frames.splice(0)) draw(performance.now());
      pixel(heatmap.canvas);
      return performance.now() - began;
    }

    // The cells of the picture, as they stand now: (lines, columns) codes, and as percent.
    function codes() {
      const made = new Uint16Array(lines.length * columns);
      lines.forEach((members, line) => {
        for (let column = 0; column < columns; column++) made[line * columns + column] = codeOf(cells, members, column);
      });
      return made;
    }

    const bare = Object.assign(document.createElement("canvas"), { width: columns, height: lines.length });
    own.after(bare);
    const picture = new ImageData(columns, lines.length);
    const table = Uint8Array.from({ length: 768 }, (_, i) => parseInt(facts.ramps.light.slice(2 * i, 2 * i + 2), 16));
    function colour(known, target) {
      for (let i = 0; i < known.length; i++) {
        const code = known[i];
        if (code >= NOT_MEASURED) continue;
        const from = 3 * Math.min(255, Math.round(code * 0.255));
        target[4 * i] = table[from];
        target[4 * i + 1] = table[from + 1];
        target[4 * i + 2] = table[from + 2];
        target[4 * i + 3] = 255;
      }
    }
    const put = () => {
      const began = performance.now();
      bare.getContext("2d").putImageData(picture, 0, 0);
      pixel(bare);
      return performance.now() - began;
    };
    const coloured = () => {
      const known = codes();
      const began = performance.now();
      colour(known, picture.data);
      bare.getContext("2d").putImageData(picture, 0, 0);
      pixel(bare);
      return performance.now() - began;
    };

    const chart = Object.assign(document.createElement("div"), { id: "benchmark-react" });
    Object.assign(chart.style, { width: `${wide}px`, height: `${heatmap.height}px` });
    own.after(chart);
    const layout = { width: wide, height: heatmap.height, margin: { l: 120, r: 42, t: 16, b: 22 } };
    const rows = () => {
      const known = codes();
      return lines.map((_, line) => Float32Array.from(known.subarray(line * columns, (line + 1) * columns), (code) => code * 0.1));
    };
    const trace = (z) => [{ type: "heatmap", z, zmin: 0, zmax: 100, showscale: false }];
    if (reacts) {
      if (!window.Plotly) await loaded(new URL("plotly.min.js", root));
      await Plotly.newPlot(chart, trace(rows()), layout);
    }
    async function react() {
      const z = rows();
      const began = performance.now();
      await Plotly.react(chart, trace(z), layout);
      return performance.now() - began;
    }

    const taken = { ours: [], put: [], coloured: [], react: [] };
    for (let round = 0; round < rounds + 3; round++) {
      for (const [name, side] of Object.entries({ ours, put, coloured, react })) {
        if (name === "react" && round >= reacts + 3) continue;
        if (name === "react" && !reacts) continue;
        const took = await side();
        if (round >= 3) taken[name].push(took);
        await rest();
      }
    }
    return { lines: lines.length, columns, rows: cells.rows,
      ...Object.fromEntries(Object.entries(taken).map(([name, each]) => [name, each.length ? median(each) : null])) };
  }

  // Of so many redrawings by Plotly of every worker and column, how many block for longer than that.
  async function reacts(many, blocks_ms) {
    const root = document.querySelector("script[type=module]").src;
    const { Cells } = await import(new URL("cells.js", root));
    const answer = await fetch(new URL("../api/v1/cells?metric=cpu_ratio&statistic=mean&columns=600&last=600", root));
    const cells = new Cells(await answer.arrayBuffer());
    const place = document.body.appendChild(document.createElement("div"));
    const layout = { width: 900, height: 500 };
    const draw = (way) => {
      const z = cells.workers.map((_, row) =>
        Float32Array.from(cells.codes.subarray(row * cells.columns, (row + 1) * cells.columns), (code) => code * 0.1));
      z[0][0] = Math.random();
      return way(place, [{ type: "heatmap", z, zmin: 0, zmax: 100, showscale: false }], layout);
    };
    await draw(Plotly.newPlot);
    const noted = globalThis.drmvizWatched;
    let blocked = 0;
    for (let i = 0; i < many; i++) {
      await new Promise((done) => setTimeout(done, 20));
      noted.forgotten();
      const began = performance.now();
      await draw(Plotly.react);
      const took = performance.now() - began;
      await new Promise((done) => setTimeout(done, 20));
      if (took > blocks_ms && noted.long.some((task) => task.took_ms > blocks_ms)) blocked += 1;
    }
    place.remove();
    return blocked;
  }

  return { updates, reacts };
})();
