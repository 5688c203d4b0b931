// Tables: a click on a column's head sorts by it, and every wide table scrolls by itself.

function keyOf(cell) {
  const text = cell.textContent.trim();
  const number = text.match(/^[-−+]?\d[\d,]*(\.\d+)?/);
  return number ? parseFloat(number[0].replace("−", "-").replaceAll(",", "")) : text.toLowerCase();
}

function compare(a, b) {
  if (typeof a === typeof b) return a < b ? -1 : a > b ? 1 : 0;
  return typeof a === "number" ? -1 : 1; // Numbers stand before words.
}

function sortBy(table, column, head) {
  const down = head.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const rows = [...table.tBodies[0].rows];
  rows.sort((a, b) => compare(keyOf(a.cells[column]), keyOf(b.cells[column])) * (down ? -1 : 1));
  table.tBodies[0].append(...rows);
}

function makeSortable(table) {
  if (!table.tHead || !table.tBodies.length || table.tBodies[0].rows.length < 3) return;
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    head.tabIndex = 0;
    head.title = "Sort by this column";
    head.addEventListener("click", () => sortBy(table, column, head));
    head.addEventListener("keydown", (key) => {
      if (key.key === "Enter") sortBy(table, column, head);
    });
  });
}

document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll("article table").forEach(makeSortable);
});
