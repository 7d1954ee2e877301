// Cards, decisions and what comes next: filled into copies of the templates that the server renders.
const byId = (id) => document.getElementById(id);
const copy = (id) => byId(id).content.firstElementChild.cloneNode(true);
const shown = new WeakMap();

function cardOf(card) {
  const made = copy("t-card");
  const [value, detail] = [made.querySelector(".v"), made.querySelector(".d")];
  made.querySelector(".l").textContent = card.label;
  value.firstChild.data = card.value;
  if (card.unit) value.querySelector("span").textContent = card.unit;
  else value.querySelector("span").remove();
  detail.lastChild.data = ` ${card.detail}`;
  if (card.lead) detail.querySelector("b").textContent = card.lead;
  else detail.querySelector("b").remove();
  if (card.tone) detail.classList.add(`t-${card.tone}`);
  const drawing = made.querySelector("svg");
  if (!card.line) drawing.remove();
  else {
    drawing.querySelector(".line").setAttribute("d", card.line);
    drawing.querySelector(".area").setAttribute("d", card.area);
    if (card.level) drawing.querySelector(".level").setAttribute("d", `M0 ${card.level}H200`);
    else drawing.querySelector(".level").remove();
  }
  return made;
}

function entryOf(entry) {
  const made = copy("t-entry");
  const badge = made.querySelector(".g");
  badge.className = `g g-${entry.tone}`;
  badge.textContent = entry.badge;
  made.querySelector(".t").textContent = entry.heading;
  made.querySelector(".w").textContent = entry.sentence;
  if (entry.then) made.querySelector(".a").textContent = entry.then;
  else made.querySelector(".a").remove();
  const time = made.querySelector("time");
  time.textContent = entry.when;
  if (entry.at) time.dateTime = entry.at;
  return made;
}

function nextOf(next) {
  const made = copy("t-next");
  const drawing = made.querySelector("svg");
  const [now, cooldown] = made.querySelectorAll("p");
  const [name, said] = now.querySelectorAll(":scope > span");
  if (next.filled === null) drawing.remove();
  else {
    drawing.querySelector(".fill").setAttribute("width", next.filled);
    const [first, ...others] = drawing.querySelectorAll(".tick");
    for (const other of others) other.remove();
    for (const x of next.ticks) {
      const tick = first.cloneNode();
      tick.setAttribute("d", `M${x} 0V12`);
      drawing.append(tick);
    }
    first.remove();
  }
  name.firstChild.data = `${next.name} `;
  name.querySelector("b").textContent = next.value;
  if (next.said) said.textContent = next.said;
  else said.remove();
  if (next.cooldown) cooldown.querySelector("b").textContent = next.cooldown;
  else cooldown.remove();
  return made;
}

// Replaces only what is another than before.
function renew(parent, parts, make) {
  const old = [...parent.children];
  parts.forEach((part, place) => {
    const said = JSON.stringify(part);
    if (old[place] && shown.get(old[place]) === said) return;
    const made = make(part);
    shown.set(made, said);
    if (old[place]) old[place].replaceWith(made);
    else parent.append(made);
  });
  for (const extra of old.slice(parts.length)) extra.remove();
}

function renewDecisions(of) {
  const card = byId("decisions");
  card.querySelector(".hd p").textContent = of.decided;
  let list = card.querySelector(".feed");
  const none = card.querySelector(":scope > .none");
  if (of.entries.length) {
    none?.remove();
    if (!list) {
      list = document.createElement("ul");
      list.className = "feed";
      list.tabIndex = 0;
      list.setAttribute("aria-label", "Decisions and losses, newest first");
      card.querySelector(".hd").after(list);
    }
    const older = { badge: "", tone: "hold", heading: "", when: "", then: "", at: "",
      sentence: `and ${of.older} older ones, in the table below the scaling history` };
    renew(list, of.older ? [...of.entries, older] : of.entries, entryOf);
  } else {
    list?.remove();
    if (!none) card.querySelector(".hd").after(copy("t-no-decision"));
  }
  const said = JSON.stringify(of.next);
  const next = card.querySelector(".next");
  if (next && shown.get(next) === said) return;
  next?.remove();
  if (!of.next) return;
  const made = nextOf(of.next);
  shown.set(made, said);
  card.append(made);
}

export function renewOverview(of) {
  byId("nothing").hidden = !of.nothing;
  byId("panel").hidden = Boolean(of.nothing);
  byId("seen").textContent = of.seen;
  if (of.tests) byId("tab-tests").hidden = false; // there were some: it stays
  if (of.nothing) return;
  renew(byId("kpis"), of.cards, cardOf);
  renewDecisions(of);
  const list = byId("notes").querySelector("ul");
  byId("notes").hidden = !of.notes.length;
  list.replaceChildren(
    ...of.notes.map((note) => Object.assign(document.createElement("li"), { textContent: note })),
  );
}

const STATES = { live: "Live", stale: "Stale", lost: "Connection lost", polling: "Polling", paused: "Paused",
  over: "Session over", recorded: "Recorded", connecting: "Connecting" };
const ALOUD = { live: "Live: connected.", stale: "Stale: no new numbers arrive.",
  lost: "Connection lost. Trying again.", polling: "Live updates are not available; polling instead.",
  paused: "Updates are paused.", over: "The session is over. Open the address that was printed at the start.",
  recorded: "", connecting: "" };
let stated = "";

// Says how the connection is doing; aloud only when that changes.
export function renewState(name, { silent_s, interval_s, retry_s, ended = "" }) {
  const seconds = (value) => (value < 60 ? `${Math.round(value)} s` : `${Math.floor(value / 60)} min`);
  const said = {
    live: interval_s ? `every ${Number(interval_s.toPrecision(3))} s` : "whenever a tick is taken",
    stale: `no new numbers for ${seconds(silent_s)}`,
    lost: retry_s >= 1 ? `trying again in ${seconds(retry_s)}` : "trying again",
    polling: "no live connection",
    paused: `at ${ended}`,
    over: "open the printed address again",
    recorded: `as of ${ended}`,
    connecting: "",
  }[name];
  const pill = byId("state");
  pill.dataset.state = name;
  if (byId("state-name").textContent !== STATES[name]) byId("state-name").textContent = STATES[name];
  if (byId("state-said").textContent !== said) byId("state-said").textContent = said;
  if (name === stated) return;
  if (!(stated === "" || (stated === "connecting" && name === "live"))) byId("state-aloud").textContent = ALOUD[name];
  stated = name;
}
