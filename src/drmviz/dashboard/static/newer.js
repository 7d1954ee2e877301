// Tells when there are newer numbers than those on the page, and shows them when asked.
const POLL_MS = 5000;
const pill = document.querySelector("time[datetime]")?.parentElement;
const snapshot = new URL("../api/v1/snapshot", import.meta.url);
let shown = null;

async function look() {
  if (document.hidden) return;
  const response = await fetch(snapshot, { credentials: "same-origin", cache: "no-store" });
  if (!response.ok) throw new Error(`${snapshot.pathname} answered ${response.status}`);
  const { at_s: newest } = await response.json();
  shown ??= newest;
  if (newest === shown || document.getElementById("newer")) return;
  const button = document.createElement("button");
  button.id = "newer";
  button.type = "button";
  button.className = "pill";
  button.textContent = "Show newer numbers";
  button.addEventListener("click", () => location.reload());
  (pill ?? document.querySelector("header")).after(button);
}

async function repeat() {
  try {
    await look();
  } catch (error) {
    console.warn("drmviz: newer numbers could not be asked for:", error.message);
  }
  setTimeout(repeat, POLL_MS);
}

repeat();
