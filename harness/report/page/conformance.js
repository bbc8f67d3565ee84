// Which operations each GPU gets right: operations down, devices and delegates across, the worst case in each field.
(() => {
  const MOST_COLUMNS = 24;
  const MOST_OPS = 40;
  // Worst first. A sign beside the word: colour is never the only one.
  const VERDICTS = [["crashes", "E", "error"], ["wrong", "F", "fail"], ["not measured", "N", "not_run"], ["unsupported", "U", "unsupported"], ["fp16", "≈", "marginal"], ["exact", "✓", "pass"]];
  const rank = (verdict) => { const place = VERDICTS.findIndex(([word]) => word === verdict); return place < 0 ? 0 : place; };
  const badge = (verdict) => {
    const [, letter, kind] = VERDICTS[rank(verdict)];
    return H.el("b", { class: `outcome ${kind}` }, H.el("span", { class: "letter", "aria-hidden": "true" }, letter), verdict);
  };

  function cases(rows) {
    const sorted = [...rows].sort((one, two) => rank(one.verdict) - rank(two.verdict));
    return H.folded(sorted, 40, (some) => H.table(["case", { text: "values", class: "text" }, { text: "verdict", class: "text" }, "error", { text: "reason", class: "text wide" }, { text: "cell", class: "text" }],
      some.map((row) => {
        const index = H.index(row.cell);
        return [`${row.case} v${row.version}`, row.values, badge(row.verdict), H.fmt.error(row.error), row.reason ?? "", index < 0 ? "" : H.cellLink(index, "open")];
      }), "cases of this operation"));
  }

  function grid(ops, columns, fields) {
    const line = (op) => {
      const holder = H.el("td", { colspan: String(columns.length + 1), class: "expanded" });
      const below = H.el("tr", { hidden: true }, holder);
      const buttons = [];
      const field = (column) => {
        const rows = fields.get(op).get(column.key);
        if (!rows) return H.el("td", { class: "none" });
        const worst = rows.reduce((one, two) => (rank(two.verdict) < rank(one.verdict) ? two : one)).verdict;
        const bad = rows.filter((row) => row.verdict === worst).length;
        const button = H.el("button", { type: "button", "aria-expanded": "false", "aria-label": `${op} on ${column.text}: ${worst}, ${bad} of ${rows.length} cases; show them` },
          badge(worst), H.dim(` ${bad}/${rows.length}`));
        button.addEventListener("click", () => {
          const open = button.getAttribute("aria-expanded") === "true";
          for (const other of buttons) other.setAttribute("aria-expanded", "false");
          button.setAttribute("aria-expanded", String(!open));
          below.hidden = open;
          if (!open) H.replace(holder, H.el("h3", {}, `${op} on ${column.text}`), cases(rows));
        });
        buttons.push(button);
        return H.el("td", {}, button);
      };
      return [H.el("tr", {}, H.el("th", { scope: "row" }, op), columns.map(field)), below];
    };
    return H.el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "conformance of operations" },
      H.el("table", { class: "figures conformance" },
        H.el("caption", { class: "unseen" }, "worst case of each operation on each device and delegate"),
        H.el("thead", {}, H.el("tr", {}, H.el("th", { scope: "col" }, "operation"), columns.map((column) => H.el("th", { scope: "col" }, H.deviceLink(column.device), H.el("span", { class: "dim" }, ` ${column.delegate}`))))),
        H.el("tbody", {}, ops.map(line))));
  }

  H.panel("conformance", "Operations", () => {
    const list = H.data.conformance;
    if (!list?.length) return null;
    const fields = new Map();
    const columns = new Map();
    const worst = new Map();
    for (const row of list) {
      const key = JSON.stringify([row.device, row.delegate]);
      if (!columns.has(key)) columns.set(key, { key, device: row.device, delegate: row.delegate, text: `${row.device}, ${row.delegate}`, worst: 9 });
      columns.get(key).worst = Math.min(columns.get(key).worst, rank(row.verdict));
      worst.set(row.op, Math.min(worst.get(row.op) ?? 9, rank(row.verdict)));
      if (!fields.has(row.op)) fields.set(row.op, new Map());
      const line = fields.get(row.op);
      if (!line.has(key)) line.set(key, []);
      line.get(key).push(row);
    }
    const ops = [...fields.keys()].sort((one, two) => worst.get(one) - worst.get(two) || one.localeCompare(two));
    // With many devices those in trouble come first; else the order of the matrix is kept.
    const all = [...columns.values()];
    const ordered = all.length > MOST_COLUMNS ? all.sort((one, two) => one.worst - two.worst) : all;
    return [
      H.el("p", { class: "legend" }, "Worst case of each operation, and how many cases end so. fp16: within what half precision may do. Each field opens its cases. One with values that no gate judges can be wrong here although its cell passes."),
      H.el("p", {}, VERDICTS.map(([verdict]) => [verdict, list.filter((row) => row.verdict === verdict).length]).filter(([, number]) => number)
        .map(([verdict, number]) => [badge(verdict), ` ${number.toLocaleString("en")} `]), H.dim("of ", H.fmt.count(list.length, "case"))),
      H.folded(ordered, MOST_COLUMNS, (some) => H.folded(ops, MOST_OPS, (few) => grid(few, some, fields), "operations"), "columns"),
    ];
  });
})();
