"use strict";
(() => {
  const matrix = document.getElementById("matrix");
  const lines = matrix.querySelectorAll("tbody tr");
  const filter = document.getElementById("filter");
  const shown = document.getElementById("shown");
  const cells = [...document.querySelectorAll("details.cell")];
  document.querySelector(".tools").hidden = false;

  for (const input of document.querySelectorAll("input[name=view]")) {
    input.addEventListener("change", () => { matrix.dataset.view = input.value; });
  }

  filter.addEventListener("input", () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const matching = new Set();
    for (const cell of cells) {
      const text = cell.dataset.text.toLowerCase();
      const matches = words.every((word) => text.includes(word));
      cell.hidden = !matches;
      if (matches) matching.add(cell.id);
    }
    for (const row of lines) {
      let any = false;
      for (const field of row.querySelectorAll("td[data-cell]")) {
        const matches = matching.has(field.dataset.cell);
        field.classList.toggle("filtered", !matches);
        any = any || matches;
      }
      row.hidden = !any;
    }
    for (const row of document.querySelectorAll("tr[data-cells]")) {
      row.hidden = !row.dataset.cells.split(" ").some((id) => matching.has(id));
    }
    shown.textContent = words.length ? `${matching.size} of ${cells.length} cells` : "";
  });

  const open = () => {
    const target = document.getElementById(location.hash.slice(1));
    if (target instanceof HTMLDetailsElement) {
      target.hidden = false;
      target.open = true;
      target.scrollIntoView({ block: "start" });
      target.querySelector("summary").focus({ preventScroll: true });
    }
  };
  addEventListener("hashchange", open);
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#']");
    if (link && link.hash === location.hash) open();
  });
  open();
})();
