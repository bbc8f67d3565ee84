/* On paper: the matrix as shown, in tables as wide as a sheet, up to a size; tables that are cut at the edge help nobody. */
(() => {
  const ACROSS = 12, MOST = 4000;
  const { el } = H;
  const block = (columns, items, match, view) => {
    const groups = H.spans(columns, (column) => column.device);
    return el("table", { class: `matrix${view === H.VIEWS.outcome ? " words" : ""}` },
      el("thead", {},
        el("tr", {}, el("th", { scope: "col", rowspan: 2, class: "corner" }, "model"), groups.map(([first, stop]) => H.deviceHead(columns[first], stop - first))),
        el("tr", {}, columns.map((column) => el("th", { scope: "col", class: "delegate" }, column.delegateName)))),
      el("tbody", {}, items.map((item) => (item.family
        ? el("tr", { class: "family" }, el("th", { scope: "rowgroup", colspan: columns.length + 1 }, H.familyText(item)))
        : el("tr", {}, H.lineHead(item.line), columns.map((column) => H.cellField(H.at(item.line, column), match, view)))))));
  };
  /* Columns in blocks of at most ACROSS, whole devices where they fit. */
  const blocks = (columns) => {
    const found = [];
    for (const [first, stop] of H.spans(columns, (column) => column.device)) {
      const device = columns.slice(first, stop), last = found[found.length - 1];
      if (last && last.length + device.length <= ACROSS) last.push(...device);
      else for (let start = 0; start < device.length; start += ACROSS) found.push(device.slice(start, start + ACROSS));
    }
    return found;
  };
  /* Lists that are folded on the screen are not on paper. */
  const unfold = () => {
    for (const details of document.querySelectorAll("details.all:not([open])")) { details.open = true; details.dataset.folded = ""; }
  };
  const fold = () => {
    for (const details of document.querySelectorAll("details[data-folded]")) { details.open = false; delete details.dataset.folded; }
  };
  const build = () => {
    unfold();
    const paper = document.getElementById("paper"), { items, columns, match, lines } = H.grid.arranged, view = H.view();
    if (lines.length * columns.length > MOST) {
      H.replace(paper, el("p", {}, `The matrix has ${H.fmt.count(H.grid.arranged.count, "cell")}; up to ${MOST} are printed. Filter it before printing, or use matrix.csv beside this page.`));
    } else {
      H.replace(paper, el("p", {}, `Shown: ${view.label}. ${document.getElementById("shown").textContent}.`), blocks(columns).map((part) => block(part, items, match, view)));
    }
  };
  H.startPaper = () => {
    addEventListener("beforeprint", build);
    addEventListener("afterprint", () => { fold(); document.getElementById("paper").replaceChildren(); });
  };
})();
