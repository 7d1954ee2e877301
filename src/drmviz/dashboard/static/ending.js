// Asks before it ends what serves this page; there is no button where that may not be.
import { ask } from "./state.js";

const byId = (id) => document.getElementById(id);

export function setUpEnding() {
  const button = byId("end");
  if (!button) return;
  const dialog = byId("ending");
  const said = byId("ending-said");
  button.addEventListener("click", () => dialog.showModal());
  byId("ending-no").addEventListener("click", () => dialog.close());
  byId("ending-yes").addEventListener("click", async () => {
    try {
      await ask("end", {}, { method: "POST" });
      button.disabled = true;
      button.textContent = "Ending";
      dialog.close();
    } catch (error) {
      said.textContent = `It could not be ended: ${error.message}`;
    }
  });
}
