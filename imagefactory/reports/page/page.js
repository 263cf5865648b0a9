"use strict";
(() => {
  const fold = (text) => text.normalize("NFKC").toLowerCase();
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const wordsOf = (input) => fold(input.value).split(/\s+/).filter(Boolean);
  const has = (text, words) => words.every((word) => text.includes(word));

  const catalog = (section) => {
    const table = section.querySelector("table.catalog");
    if (!table) return;
    const body = table.tBodies[0];
    const filter = section.querySelector("input");
    const status = section.querySelector(".told");
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
      const words = wordsOf(filter);
      for (const { row, text } of rows) row.hidden = !has(text, words);
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
    section.querySelector(".controls").hidden = false;
    apply(); // after a reload, browsers restore the filter's text
  };

  const stack = (section) => {
    const controls = section.querySelector(".controls");
    if (!controls) return;
    const body = section.querySelector(".matrix tbody");
    const cards = section.querySelector(".labs");
    const [filter, states, order] = controls.querySelectorAll("input, select");
    const status = section.querySelector(".told");
    const labs = Array.from(cards.children, (card, index) => {
      const row = body.rows[index];
      const name = fold(card.querySelector("h3").textContent);
      const own = name + " " + fold(card.querySelector("p").textContent) + " ";
      const cells = Array.from(card.querySelectorAll("li"), (item) => ({
        item,
        cell: row.cells[Number(item.dataset.column) + 1],
        state: item.dataset.state,
        lacks: item.hasAttribute("data-lacks"),
        text: own + item.dataset.state + " " + fold(item.textContent),
      }));
      const folded = Array.from(card.querySelectorAll(".folded"));
      return { card, row, name, cells, index, age: Number(card.dataset.age), folded };
    });

    const apply = () => {
      const words = wordsOf(filter);
      const wanted = states.value;
      const fits = (one) => !wanted || (wanted === "attention" ? one.lacks || one.state === "unread" : one.state === wanted);
      let paths = 0;
      for (const { card, row, cells, folded } of labs) {
        let shown = 0;
        for (const one of cells) {
          const off = !(fits(one) && has(one.text, words));
          one.item.hidden = off;
          one.cell.classList.toggle("off", off);
          shown += !off;
        }
        card.hidden = row.hidden = cells.length > 0 ? shown === 0 : Boolean(wanted || words.length);
        for (const details of folded) {
          const number = details.querySelectorAll("li:not([hidden])").length;
          details.hidden = number === 0;
          details.querySelector(".number").textContent = number;
        }
        paths += shown;
      }
      const visible = labs.filter(({ card }) => !card.hidden).length;
      status.textContent = `${visible} of ${labs.length} labs shown, ${paths} image paths of labs.`;
    };

    const orders = {
      attention: (a, b) => a.index - b.index,
      name: (a, b) => collator.compare(a.name, b.name),
      age: (a, b) => b.age - a.age,
    };
    const sort = () => {
      const ordered = labs.slice().sort(orders[order.value]);
      cards.append(...ordered.map(({ card }) => card));
      body.append(...ordered.map(({ row }) => row));
    };

    filter.addEventListener("input", apply);
    states.addEventListener("change", apply);
    order.addEventListener("change", sort);
    controls.hidden = false;
    sort();
    apply();
  };

  document.querySelectorAll("section.stack").forEach(stack);
  document.querySelectorAll("section.images").forEach(catalog);
})();
