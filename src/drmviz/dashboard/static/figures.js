// The figures of the tabs: Plotly is loaded after the page has been painted, and a figure is asked for when it is shown.
import { ask, facts, view } from "./state.js";

const variants = new Map();
const loaded = new Map();
let plotly = null;

function loadPlotly() {
  plotly ??= new Promise((done, failed) => {
    const script = document.createElement("script");
    const url = new URL("plotly.min.js", import.meta.url);
    url.searchParams.set("v", facts.plotly);
    script.src = url;
    script.addEventListener("load", done);
    script.addEventListener("error", () => {
      plotly = null;
      failed(new Error("Plotly could not be loaded"));
    });
    document.head.append(script);
  });
  return plotly;
}

// Which figures the chosen tab shows.
export const shownFigures = () =>
  facts.sections.filter((id) => id !== "use" && (view.tab === id || (view.tab === "overview" && id !== "tests")));

const key = () => view.range;

export const isLoaded = (id) => loaded.get(id)?.key === key();

// Says that a figure comes, where there is none yet.
export function announceFigure(id) {
  const card = document.getElementById(id);
  if (loaded.has(id) || card.querySelector(":scope > .wait")) return;
  card.append(Object.assign(document.createElement("p"), { className: "wait", textContent: "Being drawn …" }));
}

// Draws what a figure shows now.
export async function refreshFigure(id) {
  const card = document.getElementById(id);
  const asked = key();
  const answer = await (await ask("figure", { name: id, last: asked })).json();
  if (asked !== key()) return;
  if (answer.said) said(card, answer.said);
  if (answer.variants.some((variant) => variant.spec)) await loadPlotly();
  card.querySelector(":scope > .wait")?.remove();
  place(card, answer.variants.length ? answer.variants : [nothing(id)]);
  for (const variant of answer.variants) {
    if (!variant.spec) continue;
    const figure = document.getElementById(variant.id);
    figure.setAttribute("aria-label", variant.description);
    figure.style.minHeight = `${variant.height}px`;
    await drmvizFigures.show(figure, variant.spec, variant.themes);
  }
  loaded.set(id, { key: asked });
}

const nothing = (id) => ({ id: `none-${id}`, name: "", spec: null, numbers: { columns: [], rows: [], more: "" },
  why: id === "tests" ? "No test was recorded in this window." : "Nothing was recorded in this window." });

function said(card, text) {
  const place = card.querySelector(".hd p") ?? document.createElement("p");
  place.textContent = text;
  if (!place.isConnected) card.querySelector(".hd h2").after(place);
}

// Brings the variants of a card to what is there; what stays is kept as it is.
function place(card, wanted) {
  const known = variants.get(card.id) ?? new Map();
  const kinds = new Map(wanted.map((variant) => [variant.id, variant]));
  for (const [id, made] of known) {
    if (!kinds.has(id) || made.isPicture !== Boolean(kinds.get(id).spec)) {
      made.element.remove();
      known.delete(id);
    }
  }
  for (const variant of wanted) {
    if (!known.has(variant.id)) known.set(variant.id, made(variant));
    const { element } = known.get(variant.id);
    card.append(element);
    table(element.querySelector("details"), variant, card);
    if (!variant.spec) element.querySelector(".none").textContent = variant.why;
  }
  variants.set(card.id, known);
  switches(card, wanted, known);
}

function made(variant) {
  const element = document.getElementById("t-picture").content.querySelector(".variant").cloneNode(true);
  element.id = `v-${variant.id}`;
  if (variant.spec) {
    const figure = document.createElement("div");
    figure.className = "drmviz-figure";
    figure.id = variant.id;
    figure.setAttribute("role", "img");
    element.querySelector(":scope > .none").replaceWith(figure);
  }
  return { element, isPicture: Boolean(variant.spec) };
}

function switches(card, wanted, known) {
  let group = card.querySelector(".hd .seg");
  const chosen = card.dataset.shows && known.has(card.dataset.shows) ? card.dataset.shows : wanted[0].id;
  card.dataset.shows = chosen;
  for (const [id, { element }] of known) element.hidden = id !== chosen;
  if (wanted.length < 2) return void group?.remove();
  const heading = card.querySelector("h2").textContent;
  if (!group) {
    group = document.createElement("div");
    group.className = "seg";
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", `Metric of ${heading.toLowerCase()}`);
    card.querySelector(".hd").append(group);
  }
  if ([...group.children].map((button) => button.dataset.shows).join() !== wanted.map((each) => each.id).join()) {
    group.replaceChildren(...wanted.map((variant) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = variant.name;
      button.dataset.shows = variant.id;
      button.addEventListener("click", () => {
        card.dataset.shows = variant.id;
        show();
      });
      return button;
    }));
  }
  const show = () => {
    for (const [id, { element }] of variants.get(card.id)) element.hidden = id !== card.dataset.shows;
    for (const button of group.children) button.setAttribute("aria-pressed", String(button.dataset.shows === card.dataset.shows));
  };
  show();
}

function table(details, { numbers, name }, card) {
  details.hidden = !numbers.rows.length;
  const what = card.querySelector("h2").textContent.toLowerCase();
  details.querySelector("summary").textContent = `The numbers behind ${what}${name ? `, ${name}` : ""}`;
  fill(details.querySelector("table"), numbers.columns, numbers.rows);
  const more = details.querySelector("details > .none");
  more.textContent = numbers.more;
  more.hidden = !numbers.more;
}

// Fills a table whose rows begin with a name.
export function fill(element, columns, rows) {
  const cell = (kind, text, name) => {
    const made = document.createElement(kind);
    made.textContent = text;
    if (name) made.className = name;
    return made;
  };
  const head = document.createElement("tr");
  head.append(...columns.map((column, place) => Object.assign(cell("th", column, place ? "n" : ""), { scope: "col" })));
  element.tHead.replaceChildren(head);
  element.tBodies[0].replaceChildren(...rows.map(([first, ...others]) => {
    const row = document.createElement("tr");
    row.append(Object.assign(cell("th", first, "id"), { scope: "row" }), ...others.map((text) => cell("td", text, "n")));
    return row;
  }));
}
