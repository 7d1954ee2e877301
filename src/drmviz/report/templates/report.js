(function () {
  const all = document.getElementById("all");
  addEventListener("hashchange", function () { if (all && location.hash === "#all") all.open = true; });
  addEventListener("beforeprint", function () { if (all) all.open = false; });
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
