"use strict";
(function () {
  const root = document.documentElement;
  const button = document.getElementById("theme");
  button.hidden = false;
  button.addEventListener("click", function () {
    root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
    try { localStorage.setItem("drmviz-theme", root.dataset.theme); } catch (e) { /* a file may have no storage */ }
    document.dispatchEvent(new Event("drmviz-theme"));
  });
  addEventListener("beforeprint", function () { for (const part of document.querySelectorAll("details:not(#all)")) part.open = true; });
})();
