"use strict";
(() => {
  const table = document.getElementById("catalog");
  if (!table) return;
  const body = table.tBodies[0];
  const filter = document.getElementById("filter");
  const status = document.getElementById("status");
  const fold = (text) => text.normalize("NFKC").toLowerCase();
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const rows = Array.from(body.rows, (row) => ({
    row,
    text: fold(row.textContent),
    keys: Array.from(row.cells, (cell) => cell.dataset.key ?? cell.textContent.trim()),
    known: Array.from(row.cells, (cell) => cell.dataset.key !== undefined),
  }));

  let sorted = "";
  const showStatus = () => {
    const shown = rows.filter(({ row }) => !row.hidden).length;
    status.textContent = `${shown} of ${rows.length} images shown${sorted}.`;
  };

  // Search all cells of a row, including closed details.
  const apply = () => {
    const words = fold(filter.value).split(/\s+/).filter(Boolean);
    for (const { row, text } of rows) row.hidden = !words.every((word) => text.includes(word));
    showStatus();
  };

  const compare = (column, kind, sign) => (a, b) => {
    if (kind === "text") return sign * collator.compare(a.keys[column], b.keys[column]);
    // Unknown values are last in both directions.
    if (!a.known[column] || !b.known[column]) return b.known[column] - a.known[column];
    return sign * (Number(a.keys[column]) - Number(b.keys[column]));
  };

  const heads = Array.from(table.tHead.rows[0].cells);
  heads.forEach((head, column) => {
    const kind = head.dataset.kind;
    if (!kind) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const descending = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const ordered = rows.slice().sort(compare(column, kind, descending ? -1 : 1));
      body.append(...ordered.map(({ row }) => row));
      sorted = `, by ${button.textContent}, ${descending ? "descending" : "ascending"}`;
      showStatus();
    });
  });

  filter.addEventListener("input", apply);
  document.getElementById("controls").hidden = false;
  apply(); // after a reload, browsers restore the filter's text
})();
