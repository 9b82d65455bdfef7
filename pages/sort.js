// Tables sort by the header that is clicked, or chosen with Tab and Enter. Without JavaScript they stay as they are.
"use strict";

const collator = new Intl.Collator(undefined, { numeric: true });

/** What a cell sorts by: its number, else its text; null where it is blank. */
function sortKey(cell) {
  const text = cell.textContent.trim();
  return text === "" ? null : "value" in cell.dataset ? Number(cell.dataset.value) : text;
}

/** The order of two keys, downwards or upwards; blanks come last either way, numbers before text. */
function compare(a, b, direction) {
  if (a === null || b === null) return (a === null) - (b === null);
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return direction * (typeof a === "number" ? a - b : collator.compare(a, b));
}

for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    button.addEventListener("click", () => {
      const direction = header.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      headers.forEach(each => each.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
      const rows = [...body.rows].map(row => [sortKey(row.cells[column]), row]);
      body.append(...rows.sort(([a], [b]) => compare(a, b, direction)).map(([, row]) => row));
    });
    header.append(button);
  });
}
