"use strict";
(function () {
  const root = document.documentElement;
  const button = document.getElementById("theme");
  button.hidden = false;
  button.addEventListener("click", function () {
    root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
    try { localStorage.setItem("drmviz-theme", root.dataset.theme); } catch (e) { /* a file may have no storage */ }
    repaint();
  });

  // Pictures are stored in the light theme; [path, light, dark] says where the dark one differs.
  const pictures = Array.from(document.querySelectorAll("script[data-themes]"), function (script) {
    const id = script.dataset.themes;
    return { id: id, source: document.querySelector('script[data-figure="' + id + '"]'), parts: JSON.parse(script.textContent) };
  });
  function paint(spec, parts) {
    const side = root.dataset.theme === "dark" ? 2 : 1;
    for (const part of parts) {
      const path = part[0], last = path.length - 1;
      let target = spec;
      for (let i = 0; i < last && target; i++) target = target[path[i]];
      if (target) target[path[last]] = structuredClone(part[side]);
    }
    return spec;
  }
  for (const picture of pictures) {
    if (root.dataset.theme === "dark") picture.source.textContent = JSON.stringify(paint(JSON.parse(picture.source.textContent), picture.parts));
  }
  // What a phone gets instead comes from the source, because that is where both its versions are.
  function fit(layout, source, narrow) {
    for (const [path, value] of Object.entries(source.narrow || {})) {
      const names = path.split("."), last = names.pop();
      const wide = path.split(".").reduce(function (part, name) { return part == null ? part : part[name]; }, source.layout);
      const target = names.reduce(function (part, name) { return part == null ? part : part[name]; }, layout);
      if (target) target[last] = narrow ? value : wide === undefined ? null : wide;
    }
  }
  const isNarrow = function () { return innerWidth < 700; };
  let turned = false, was = isNarrow();
  async function repaint() {
    turned = true;
    for (const picture of pictures) {
      const place = document.getElementById(picture.id);
      if (!place.data) continue;
      const source = paint(JSON.parse(picture.source.textContent), picture.parts);
      const spec = paint({ data: place.data, layout: place.layout }, picture.parts);
      fit(spec.layout, source, place.clientWidth < 640);
      await window.Plotly.newPlot(place, spec.data, spec.layout, source.config);
    }
  }
  addEventListener("resize", function () {
    const now = isNarrow();
    if (turned && now !== was) setTimeout(repaint, 200);
    was = now;
  });

  const all = document.getElementById("all");
  addEventListener("hashchange", function () { if (all && location.hash === "#all") all.open = true; });
  addEventListener("beforeprint", function () { for (const part of document.querySelectorAll("details")) part.open = part !== all; });
  const table = document.getElementById("tests");
  if (!table) return;
  const body = table.tBodies[0], rows = Array.from(body.rows);
  const words = rows.map(function (row) { return row.textContent.toLowerCase(); });
  const filter = document.getElementById("filter"), shown = document.getElementById("shown");
  filter.closest("p").hidden = false;
  filter.addEventListener("input", function () {
    const asked = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let left = 0;
    rows.forEach(function (row, i) {
      row.hidden = !asked.every(function (word) { return words[i].includes(word); });
      left += row.hidden ? 0 : 1;
    });
    shown.textContent = asked.length ? left + " of " + rows.length : "";
  });
  Array.from(table.tHead.rows[0].cells).forEach(function (head, column) {
    const sort = document.createElement("button");
    sort.type = "button";
    sort.className = "sort";
    sort.textContent = head.textContent;
    head.textContent = "";
    head.appendChild(sort);
    sort.addEventListener("click", function () {
      const down = head.getAttribute("aria-sort") !== "descending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = function (row) {
        const cell = row.cells[column];
        return cell.dataset.v === undefined ? cell.textContent : Number(cell.dataset.v);
      };
      const sorted = rows.slice().sort(function (a, b) {
        const x = key(a), y = key(b);
        return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1);
      });
      body.append(...sorted);
    });
  });
})();
