// Who stands in which row of the heatmap: filtered, sorted, those of one place together, several in one where they are
// more than pixels.
import { NOT_ALIVE, NOT_MEASURED } from "./cells.js";

export const RAIL_PX = 16;
const GROUP_PX = 9;
const NARROW_GROUP_PX = 3;
const ROW_PX = [[4, 44], [8, 32], [12, 24], [40, 14]];
const MOST_ROW_PX = 14;
const EVERY = [2, 5, 10, 20, 25, 50, 100, 200, 500, 1000];
const natural = new Intl.Collator("en", { numeric: true, sensitivity: "variant" });

// Returns lines (arrays of rows of the cells), their groups and tops, and how many pixels each has.
export function arranged(cells, { filter, sort, group }, tallest) {
  const rows = sorted(cells, found(cells, filter), sort);
  const home = (row) => (group && cells.workers[row][group]) || "";
  const homes = [...new Set(rows.map(home))].sort((a, b) => (a === "") - (b === "") || natural.compare(a, b));
  const isGrouped = homes.length > 1;
  if (isGrouped) {
    const place = new Map(homes.map((each, i) => [each, i]));
    rows.sort((a, b) => place.get(home(a)) - place.get(home(b)));
  }
  const perLine = Math.max(1, Math.ceil(rows.length / tallest));
  const { lines, groups } = gathered(rows, home, homes, perLine);
  const rowPx =
    ROW_PX.find(([most]) => rows.length <= most)?.[1] ?? Math.max(1, Math.min(MOST_ROW_PX, tallest / lines.length));
  const gapPx = perLine > 1 || groups.length > 12 ? NARROW_GROUP_PX : GROUP_PX;
  const tops = [];
  let bottom = RAIL_PX;
  for (const { first, end } of groups) {
    if (first) bottom += gapPx;
    for (let line = first; line < end; line++, bottom += rowPx) tops.push(bottom);
  }
  const every = rowPx >= 11 ? 1 : EVERY.find((each) => each * rowPx >= 18) ?? lines.length;
  return { lines, groups, isGrouped, perLine, rowPx, tops, bottom, every, found: rows.length };
}

function found(cells, filter) {
  const wanted = filter.trim().toLowerCase();
  const rows = cells.workers.map((_, row) => row);
  return wanted ? rows.filter((row) => cells.workers[row].id.toLowerCase().includes(wanted)) : rows;
}

function sorted(cells, rows, sort) {
  const byName = (a, b) => natural.compare(cells.workers[a].id, cells.workers[b].id);
  if (sort === "name") return rows.sort(byName);
  const busy = new Map(rows.map((row) => [row, sort === "now" ? now(cells, row) : mean(cells, row)]));
  const sign = sort === "idle" ? 1 : -1;
  // Who was not measured stands last either way.
  const key = (row) => (Number.isNaN(busy.get(row)) ? Number.MAX_VALUE : sign * busy.get(row));
  return rows.sort((a, b) => key(a) - key(b) || byName(a, b));
}

function now(cells, row) {
  const code = cells.at(row, cells.columns - 1);
  return code >= NOT_MEASURED ? NaN : code;
}

function mean(cells, row) {
  let [sum, known] = [0, 0];
  for (let column = 0; column < cells.columns; column++) {
    const code = cells.at(row, column);
    if (code < NOT_MEASURED) [sum, known] = [sum + code, known + 1];
  }
  return known ? sum / known : NaN;
}

function gathered(rows, home, homes, perLine) {
  const [lines, groups] = [[], []];
  for (let i = 0; i < rows.length; ) {
    const name = home(rows[i]);
    const members = [];
    while (i < rows.length && members.length < perLine && home(rows[i]) === name) members.push(rows[i++]);
    if (groups.at(-1)?.name !== name) groups.push({ name, first: lines.length, place: homes.indexOf(name) });
    lines.push(members);
    groups.at(-1).end = lines.length;
  }
  return { lines, groups };
}

// The code of a line: the mean or the highest of what was measured in it.
export function codeOf(cells, members, column) {
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
