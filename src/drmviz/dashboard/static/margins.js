// What stands around the cells of the heatmap: names, values, groups, the axis of time, and who came and went.
import { NOT_ALIVE, NOT_MEASURED } from "./cells.js";
import { codeOf } from "./rows.js";
import { facts, view } from "./state.js";
import { clock, cut, written } from "./text.js";

const STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400];
const HOT = 0.85;

// A dotted line where nobody lived, in rows that are tall enough for one.
export function drawAbsences(map, context) {
  const { cells } = map;
  if (map.rowPx < 6) return;
  const columnPx = map.plot / cells.columns;
  context.strokeStyle = map.look.line;
  context.lineWidth = 1;
  context.setLineDash([1, 3]);
  context.beginPath();
  map.lines.forEach((members, line) => {
    const y = Math.round(map.tops[line] + map.rowPx / 2) - 0.5;
    for (let column = 0, from = -1; column <= cells.columns; column++) {
      const absent = column < cells.columns && codeOf(cells, members, column) === NOT_ALIVE;
      if (absent && from < 0) from = column;
      if (!absent && from >= 0) {
        context.moveTo(map.left + from * columnPx + 2, y);
        context.lineTo(map.left + column * columnPx - 2, y);
        from = -1;
      }
    }
  });
  context.stroke();
  context.setLineDash([]);
}

export function drawNames(map, context) {
  const { look, cells } = map;
  context.textBaseline = "middle";
  map.lines.forEach((members, line) => {
    if (line % map.every) return;
    const y = map.tops[line] + map.rowPx / 2;
    const code = codeOf(cells, members, cells.columns - 1);
    context.textAlign = "right";
    context.font = `10.5px ${look.mono}`;
    context.fillStyle = code === NOT_ALIVE ? look.ink3 : look.ink2;
    context.fillText(map.label(members), map.left - 9, y);
    const value = code * cells.step;
    const isHot = code < NOT_MEASURED && cells.metric !== "tasks_running" && value >= HOT;
    context.font = `${isHot ? "600 " : ""}11px ${look.sans}`;
    context.fillStyle = isHot ? look.ink : look.ink3;
    const said = code === NOT_ALIVE ? "gone" : code === NOT_MEASURED ? "–" : written(value, cells.metric);
    context.fillText(said, map.width - 2, y);
  });
  if (!map.isGrouped) return;
  for (const group of map.groups) {
    const [top, end] = [map.tops[group.first], map.tops[group.end - 1] + map.rowPx];
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

export function drawAxis(map, context) {
  const { cells, look } = map;
  const span_s = cells.columns * cells.width_s;
  const least_s = (span_s * 76) / map.plot;
  const step_s = STEPS_S.find((step) => step >= least_s) ?? Math.ceil(least_s / 86_400) * 86_400;
  const y = map.bottom + 14;
  context.font = `11px ${look.sans}`;
  context.textBaseline = "alphabetic";
  context.textAlign = "right";
  context.fillStyle = look.ink;
  const isLive = map.isLive?.() ?? false;
  const end = isLive ? "now" : clock(cells.startOf(cells.columns), span_s < 86_400 * 2);
  context.font = `600 11px ${look.sans}`;
  context.fillText(end, map.left + map.plot, y);
  const free = map.left + map.plot - context.measureText(end).width - 14;
  context.font = `11px ${look.sans}`;
  context.fillStyle = look.ink3;
  context.textAlign = "center";
  for (let at_s = Math.ceil(cells.first_s / step_s) * step_s; at_s < cells.first_s + span_s; at_s += step_s) {
    const x = map.left + ((at_s - cells.first_s) / span_s) * map.plot;
    const day = new Date(at_s * 1000).toISOString();
    const text = step_s >= 86_400 ? day.slice(5, 10) : clock(at_s, step_s < 60);
    const half = context.measureText(text).width / 2;
    if (x - half < map.left - 4 || x + half > free) continue;
    context.fillText(text, x, y);
  }
  context.textAlign = "right";
  context.fillText("UTC", map.width - 2, y);
}

// Who joined, left and was lost, above the cells: shape beside colour.
export function drawRail(map, context) {
  const { cells, look } = map;
  const span_s = cells.columns * cells.width_s;
  for (const event of map.events) {
    const share = (event.at_s - cells.first_s) / span_s;
    if (share < 0 || share > 1) continue;
    const x = map.left + share * map.plot;
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
