(function () {
  for (const group of document.querySelectorAll(".seg[data-for]")) {
    const card = document.getElementById(group.dataset.for);
    group.hidden = false;
    for (const button of group.children) {
      button.addEventListener("click", function () {
        for (const other of group.children) other.setAttribute("aria-pressed", String(other === button));
        for (const variant of card.querySelectorAll(".variant")) variant.hidden = variant.id !== button.dataset.shows;
      });
    }
  }
})();
