/* The matrix by keyboard: one tab stop, arrow keys inside it; row -1 is the delegates' heading, column -1 the models'. */
(() => {
  const { grid } = H;
  const table = () => document.getElementById("grid");

  const target = ({ row, column }) => {
    const body = table().tBodies[0];
    if (row < 0) return column < 0 ? table().querySelector(".corner button") : table().querySelector(`th[data-column="${column}"] button`);
    const line = body.querySelector(`tr[data-row="${row}"]`);
    if (!line) return null;
    if (line.classList.contains("family")) return line.querySelector("th");
    return column < 0 ? line.querySelector("th a") : line.querySelector(`td[data-column="${column}"]`);
  };
  const setStop = (element) => {
    for (const other of table().querySelectorAll('[tabindex="0"]')) other.tabIndex = -1;
    if (element) element.tabIndex = 0;
  };
  /* After drawing: the tab stop is the active field, or the first one in view; focus is not lost with the field that had it. */
  H.holdFocus = (held) => {
    const element = target(grid.active);
    setStop(element || table().tBodies[0].querySelector("td[data-column], th a"));
    if (!held) return;
    if (element) element.focus({ preventScroll: true });
    else document.getElementById("scroller").focus({ preventScroll: true });
  };
  H.activate = (row, column, focus = true) => {
    grid.active = { row, column };
    H.reveal(row, column);
    const element = target(grid.active);
    setStop(element);
    if (focus && element) element.focus({ preventScroll: true });
  };
  H.focusHead = (key) => {
    const column = grid.arranged.columns.findIndex((entry) => entry.key === key);
    if (key === "model" || column >= 0) H.activate(-1, column);
  };
  /* The field of a cell, when a drawer closes; nothing if it is filtered out. */
  H.focusCell = (index) => {
    const { items, columns } = grid.arranged;
    const row = items.findIndex((item) => item.line && item.line.position === H.lineOf[index]);
    const column = columns.findIndex((entry) => entry.position === H.columnOf[index]);
    if (row >= 0 && column >= 0) H.activate(row, column);
  };

  const onKey = (event) => {
    if (event.altKey || event.metaKey) return;
    const { items, columns } = grid.arranged, last = { row: items.length - 1, column: columns.length - 1 };
    const page = Math.max(1, Math.floor(document.getElementById("scroller").clientHeight / grid.size.row) - 4);
    let { row, column } = grid.active;
    if (event.key === "ArrowDown") row += 1;
    else if (event.key === "ArrowUp") row -= 1;
    else if (event.key === "ArrowRight") column += 1;
    else if (event.key === "ArrowLeft") column -= 1;
    else if (event.key === "PageDown") row += page;
    else if (event.key === "PageUp") row -= page;
    else if (event.key === "Home") { column = event.ctrlKey ? 0 : -1; if (event.ctrlKey) row = 0; }
    else if (event.key === "End") { column = last.column; if (event.ctrlKey) row = last.row; }
    else if ((event.key === "Enter" || event.key === " ") && event.target.matches("td[data-cell]")) {
      event.preventDefault();
      H.openCell(Number(event.target.dataset.cell));
      return;
    } else return;
    event.preventDefault();
    H.activate(Math.max(-1, Math.min(last.row, row)), Math.max(-1, Math.min(last.column, column)));
  };

  H.startKeys = () => {
    document.getElementById("scroller").addEventListener("keydown", onKey);
    table().addEventListener("focusin", (event) => {
      const field = event.target.closest("td[data-column], th[data-column]"), line = event.target.closest("tr[data-row]");
      if (field || line) grid.active = { row: line ? Number(line.dataset.row) : -1, column: field ? Number(field.dataset.column) : -1 };
    });
    document.addEventListener("keydown", (event) => {
      const typing = event.target.matches("input, select, textarea") || document.querySelector("dialog[open]");
      if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
        event.preventDefault();
        document.getElementById("filter").focus();
      } else if (event.key === "Escape" && event.target.id === "filter" && event.target.value) {
        event.preventDefault();
        H.go({ q: null });
      }
    });
  };
})();
