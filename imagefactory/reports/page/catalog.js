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
    told: Array.from(row.cells, (cell) => cell.dataset.key !== undefined),
  }));

  let sorted = "";
  const say = () => {
    const shown = rows.filter(({ row }) => !row.hidden).length;
    status.textContent = `${shown} of ${rows.length} images shown${sorted}.`;
  };

  // Every cell of a row is searched, closed details too.
  const apply = () => {
    const words = fold(filter.value).split(/\s+/).filter(Boolean);
    for (const { row, text } of rows) row.hidden = !words.every((word) => text.includes(word));
    say();
  };

  const compare = (column, kind, sign) => (a, b) => {
    if (kind === "text") return sign * collator.compare(a.keys[column], b.keys[column]);
    // What is not told stays last in both directions.
    if (!a.told[column] || !b.told[column]) return b.told[column] - a.told[column];
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
      say();
    });
  });

  filter.addEventListener("input", apply);
  document.getElementById("controls").hidden = false;
  apply(); // browsers keep what was typed before a reload
})();
