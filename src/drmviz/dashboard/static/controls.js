// Buttons, choices and tabs: each shows a part of the view and changes it.
import { change, facts, onView, remember, remembered, view } from "./state.js";

const byId = (id) => document.getElementById(id);

function segment(id, name) {
  const buttons = [...byId(id).querySelectorAll("button")];
  const show = () => {
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.value === view[name]));
  };
  for (const button of buttons) button.addEventListener("click", () => change({ [name]: button.dataset.value }));
  onView(show);
  show();
}

function choice(id, name) {
  const element = byId(id);
  const show = () => (element.value = view[name]);
  element.addEventListener("change", () => change({ [name]: element.value }));
  onView(show);
  show();
}

function otherMetric() {
  const element = byId("metric-other");
  const show = () => (element.value = [...element.options].some((option) => option.value === view.metric) ? view.metric : "");
  element.addEventListener("change", () => element.value && change({ metric: element.value }));
  onView(show);
  show();
}

function filter() {
  const element = byId("filter");
  const show = () => {
    if (element.value !== view.filter) element.value = view.filter;
  };
  element.addEventListener("input", () => change({ filter: element.value }));
  onView(show);
  show();
}

function tabs() {
  const all = [...document.querySelectorAll("[role=tab]")];
  const show = () => {
    for (const tab of all) {
      const isChosen = tab.dataset.tab === view.tab;
      if (isChosen) tab.hidden = false;
      tab.setAttribute("aria-selected", String(isChosen));
      tab.tabIndex = isChosen ? 0 : -1;
      if (isChosen) byId("panel").setAttribute("aria-labelledby", tab.id);
    }
    byId("panel").dataset.tab = view.tab;
  };
  const moves = { ArrowLeft: -1, ArrowRight: 1, Home: -all.length, End: all.length };
  for (const tab of all) {
    tab.addEventListener("click", () => change({ tab: tab.dataset.tab }));
    tab.addEventListener("keydown", (key) => {
      if (!(key.key in moves)) return;
      key.preventDefault();
      const step = moves[key.key];
      const there = all.filter((each) => !each.hidden);
      const place = (there.indexOf(tab) + step + there.length) % there.length;
      const next = Math.abs(step) === 1 ? there[place] : there.at(step < 0 ? 0 : -1);
      change({ tab: next.dataset.tab });
      next.focus();
      next.scrollIntoView({ block: "nearest", inline: "nearest" });
    });
  }
  onView(show);
  show();
}

// What the reader chose for this page, whatever its address says.
export const wishes = { auto_s: 30, isPaused: false };

function auto() {
  const element = byId("auto");
  const usual = remembered("auto", "30");
  element.value = [...element.options].some((option) => option.value === usual) ? usual : "30";
  wishes.auto_s = Number(element.value);
  element.addEventListener("change", () => {
    wishes.auto_s = Number(element.value);
    remember("auto", element.value);
  });
}

export function setUp({ onPause }) {
  segment("range", "range");
  segment("metric", "metric");
  otherMetric();
  for (const name of ["statistic", "group", "sort"]) choice(name, name);
  filter();
  tabs();
  auto();
  const pause = byId("pause");
  pause.addEventListener("click", () => {
    wishes.isPaused = !wishes.isPaused;
    pause.setAttribute("aria-pressed", String(wishes.isPaused));
    onPause(wishes.isPaused);
  });
}
