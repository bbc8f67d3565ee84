/* Draws the matrix: a real table, of which a large run only holds the part in view. */
(() => {
  const ALL = 800, SPARE_ROWS = 10, FEW_ROWS = 2, SPARE_COLUMNS = 6;
  const grid = { arranged: null, shown: null, active: { row: 0, column: 0 }, size: { row: 0, column: 0, name: 0, head: 0 } };
  H.grid = grid;
  const { el } = H;
  const table = () => document.getElementById("grid");
  const scroller = () => document.getElementById("scroller");

  /* ---- Parts that the paper shares ---- */
  const summaryOf = (index) => {
    const brief = H.brief(index);
    return [
      `${brief.model} on ${brief.device}, ${brief.delegate}`,
      [H.word(brief.outcome), brief.waived && "waived", brief.helper && "helper", brief.void && "timing void", brief.change && brief.change !== "SAME" && `baseline: ${brief.change.toLowerCase()}`].filter(Boolean).join(", "),
      [brief.median_us !== null && H.fmt.us(brief.median_us), brief.speedup !== null && `speed-up ${H.fmt.ratio(brief.speedup)}`, (brief.max_abs_of_range !== null || brief.nonfinite > 0) && `off by ${H.VIEWS.accuracy.text(index)}`].filter(Boolean).join(", "),
      brief.reason,
    ].filter(Boolean).join("\n");
  };
  /* Shorter than H.el, because hundreds are made whenever a filter changes. */
  const span = (name, text, silent = false) => {
    const made = document.createElement("span");
    made.className = name;
    made.textContent = text;
    if (silent) made.setAttribute("aria-hidden", "true");
    return made;
  };
  const CHANGE_SIGNS = { WORSE: ["\u25bc", "worse than in the baseline"], BETTER: ["\u25b2", "better than in the baseline"], NEW: ["+", "not in the baseline"] };
  H.cellField = (index, match, view) => {
    const field = document.createElement("td");
    if (index < 0) { field.className = "none"; field.append(el("span", { class: "unseen" }, "not planned")); return field; }
    const outcome = H.OUTCOMES[H.col.outcome[index]], good = H.isGood(index), value = view.value(index);
    const heat = good && value !== null ? view.heat(index) : "";
    const classes = [heat && `heat ${heat}`, good ? "" : "bad", outcome.toLowerCase()];
    if (!match[index]) classes.push("filtered");
    if (H.isWaived(index)) classes.push("waived");
    field.className = classes.filter(Boolean).join(" ");
    field.dataset.cell = index;
    const change = CHANGE_SIGNS[H.data.changes[H.col.change[index]]], flags = H.col.flags[index];
    const words = view === H.VIEWS.outcome;
    field.append(span("letter", H.LETTERS[outcome], true));
    if (!words) field.append(span("unseen", `${H.word(outcome)} `));
    field.append(span("value", words ? H.word(outcome) : value === null ? (good ? H.fmt.nothing : H.word(outcome).toLowerCase()) : view.text(index)));
    const signs = [flags & 1 && ["w", "waived"], flags & 2 && ["h", "helper"], flags & 4 && ["!", "timing void"], change].filter(Boolean);
    for (const [sign, text] of signs) field.append(el("span", { class: "sign" }, span("", sign, true), span("unseen", ` ${text}`)));
    return field;
  };
  const marksOf = (name) => {
    const device = H.device(name);
    return device ? [device.emulated && "emulated", device.adapter_software && "software"].filter(Boolean) : [];
  };
  H.deviceHead = (column, span, attributes = {}) => {
    const marks = marksOf(column.deviceName);
    return el("th", { scope: "colgroup", colspan: span, class: "device start", ...attributes },
      el("span", { class: "held" }, H.deviceLink(column.deviceName, column.deviceName, { tabindex: -1, title: [column.deviceName, column.group, ...marks].join("\n"), class: "clip" }), marks.map(H.mark)));
  };
  H.lineHead = (line, attributes = {}) => el("th", { scope: "row", ...attributes }, H.modelLink(line.name, line.label, { tabindex: -1, title: line.label, class: "clip" }));
  /* Neighbouring columns with the same key: [first, one after the last]. */
  H.spans = (columns, key) => {
    const found = [];
    columns.forEach((column, position) => {
      if (position && key(columns[position - 1]) === key(column)) found[found.length - 1][1] = position + 1;
      else found.push([position, position + 1]);
    });
    return found;
  };
  H.familyText = (item) => [el("b", {}, item.family), ` ${H.fmt.count(item.lines, "model")}`, item.failing ? `, ${H.fmt.count(item.failing, "cell")} not passing` : ""];

  /* ---- Which part is in view ---- */
  const measure = () => {
    const style = getComputedStyle(table());
    const length = (name) => {
      const value = Number.parseFloat(style.getPropertyValue(name));
      if (Number.isFinite(value)) return value;
      /* A browser without @property (Firefox before 128) gives the formula: an element is as wide as that says. */
      const probe = el("span", { style: { position: "absolute", width: `var(${name})` } });
      table().caption.append(probe);
      const { width } = probe.getBoundingClientRect();
      probe.remove();
      return width;
    };
    grid.size = { row: length("--row"), column: length("--column"), name: length("--name") };
  };
  /* Rows and columns to hold: those in view and, once the reader scrolls, some beyond, so that not every step draws;
     what is drawn already stays as long as it covers the view. */
  const range = (was) => {
    const { items, columns } = grid.arranged, box = scroller(), { row, column, name } = grid.size;
    if (items.length * columns.length <= ALL) return { top: 0, bottom: items.length, left: 0, right: columns.length };
    const seen = (start, length, size, count) => {
      const first = Math.max(0, Math.min(count - 1, Math.floor(start / size)));
      return [first, Math.max(first + 1, Math.min(count, Math.ceil((start + length) / size)))];
    };
    const [top, bottom] = seen(box.scrollTop, box.clientHeight - table().tHead.offsetHeight, row, items.length);
    let [left, right] = seen(box.scrollLeft, box.clientWidth - name, column, columns.length);
    const part = { ...was }, sides = was ? SPARE_COLUMNS : 0;
    const across = !was || left < was.left || right > was.right;
    /* With other columns every row is drawn anew: then as few as will do. */
    const rows = across ? FEW_ROWS : SPARE_ROWS;
    if (across || top < was.top || bottom > was.bottom) {
      part.top = Math.max(0, top - rows);
      part.bottom = Math.min(items.length, bottom + rows);
    }
    if (across) {
      left = Math.max(0, left - sides);
      right = Math.min(columns.length, right + sides);
      while (left > 0 && columns[left - 1].device === columns[left]?.device) left -= 1;
      while (right < columns.length && columns[right].device === columns[right - 1]?.device) right += 1;
      Object.assign(part, { left, right });
    }
    return part;
  };

  /* ---- Drawing ---- */
  const gap = (kind, size) => (size > 0 ? [el(kind, { class: "gap", "aria-hidden": "true" })] : []);
  const frame = (part) => {
    const { columns } = grid.arranged, { column, name } = grid.size;
    const before = part.left * column, after = (columns.length - part.right) * column;
    const col = (width) => el("col", { style: { width: `${width}px` } });
    const widths = [name, ...(before ? [before] : []), ...columns.slice(part.left, part.right).map(() => column), ...(after ? [after] : [])];
    H.replace(table().querySelector("colgroup"), widths.map(col));
    table().style.width = `${name + columns.length * column}px`;
  };
  const sortOf = (key) => {
    const sort = H.route().sort || "";
    return sort === key ? "ascending" : sort === `-${key}` ? "descending" : null;
  };
  const sortButton = (key, text) => el("button", { type: "button", tabindex: -1, class: "sort", dataset: { sort: key }, title: `sort models by ${text}` },
    el("span", { class: "clip" }, text), el("span", { class: "arrow", "aria-hidden": "true" }, { ascending: "\u25b2", descending: "\u25bc" }[sortOf(key)] || ""));
  const drawHead = (part) => {
    const { columns, groups } = grid.arranged, shown = columns.slice(part.left, part.right);
    const row = (fields) => [...gap("td", part.left), ...fields, ...gap("td", columns.length - part.right)];
    const rows = groups ? 3 : 2;
    const corner = el("th", { scope: "col", rowspan: rows, class: "corner", "aria-sort": sortOf("model") || "none", "aria-colindex": 1 }, sortButton("model", "model"));
    const at = (position) => part.left + position + 2;
    const groupRow = () => row(H.spans(shown, (column) => column.group).map(([first, stop]) =>
      el("th", { scope: "colgroup", colspan: stop - first, class: "group start", "aria-colindex": at(first) }, el("span", { class: "clip", title: shown[first].group }, shown[first].group))));
    const deviceRow = row(H.spans(shown, (column) => column.device).map(([first, stop]) => H.deviceHead(shown[first], stop - first, { "aria-colindex": at(first) })));
    const delegateRow = row(shown.map((column, position) =>
      el("th", { scope: "col", class: `delegate${position === 0 || shown[position - 1].device !== column.device ? " start" : ""}`, "aria-sort": sortOf(column.key) || "none", "aria-colindex": at(position), dataset: { column: part.left + position } },
        sortButton(column.key, column.delegateName))));
    const lines = [...(groups ? [groupRow()] : []), deviceRow, delegateRow];
    H.replace(table().tHead, lines.map((cells, position) => el("tr", { "aria-rowindex": position + 1 }, position === 0 ? corner : null, cells)));
  };
  const drawRow = (item, position, part, heads) => {
    const { columns, match } = grid.arranged, view = H.view();
    if (item.family) {
      return el("tr", { class: "family", "aria-rowindex": position + heads + 1, dataset: { row: position } },
        el("th", { scope: "row", tabindex: -1, "aria-colindex": 1 }, el("span", { class: "clip" }, H.familyText(item))),
        ...gap("td", part.left), el("td", { colspan: Math.max(1, part.right - part.left), "aria-hidden": "true" }), ...gap("td", columns.length - part.right));
    }
    const row = el("tr", { "aria-rowindex": position + heads + 1, dataset: { row: position } }, H.lineHead(item.line, { "aria-colindex": 1 }), ...gap("td", part.left));
    for (let number = part.left; number < part.right; number += 1) {
      const field = H.cellField(H.at(item.line, columns[number]), match, view);
      if (number === part.left || columns[number].device !== columns[number - 1].device) field.classList.add("start");
      field.setAttribute("aria-colindex", number + 2);
      field.dataset.column = number;
      field.tabIndex = -1;
      row.append(field);
    }
    return H.append(row, gap("td", columns.length - part.right));
  };
  /* Rows that are drawn already and stay in view are kept, unless all are to be drawn anew. */
  const drawBody = (part, anew) => {
    const { items } = grid.arranged, heads = table().tHead.rows.length, body = table().tBodies[0];
    const held = body.contains(document.activeElement);
    const blank = () => el("tr", { class: "blank", "aria-hidden": "true" }, el("td", {}));
    if (anew) H.replace(body, blank(), blank());
    const above = body.rows[0], below = body.rows[body.rows.length - 1];
    const kept = new Set();
    for (const row of [...body.querySelectorAll("tr[data-row]")]) {
      const number = Number(row.dataset.row);
      if (number < part.top || number >= part.bottom) row.remove();
      else kept.add(number);
    }
    let next = above.nextSibling;
    for (let number = part.top; number < part.bottom; number += 1) {
      if (kept.has(number)) next = next.nextSibling;
      else body.insertBefore(drawRow(items[number], number, part, heads), next);
    }
    for (const [row, count] of [[above, part.top], [below, items.length - part.bottom]]) {
      row.hidden = count === 0;
      row.style.height = `${count * grid.size.row}px`;
    }
    H.holdFocus(held);
  };

  /* Draw what came into view, or everything anew. */
  H.draw = (anew = false) => {
    const was = anew ? null : grid.shown, part = range(was);
    if (was && ["top", "bottom", "left", "right"].every((side) => was[side] === part[side])) return;
    const columns = !was || was.left !== part.left || was.right !== part.right;
    if (columns) { frame(part); drawHead(part); }
    grid.shown = part;
    drawBody(part, columns);
  };

  /* Bring an item and a column into view; both may be -1 for their headings. */
  H.reveal = (row, column) => {
    const box = scroller(), head = table().tHead.offsetHeight, { size } = grid;
    const line = row * size.row, left = column * size.column;
    if (row >= 0 && line < box.scrollTop) box.scrollTop = line;
    else if (row >= 0 && line + size.row > box.scrollTop + box.clientHeight - head) box.scrollTop = line + size.row - box.clientHeight + head;
    if (column >= 0 && left < box.scrollLeft) box.scrollLeft = left;
    else if (column >= 0 && left + size.column > box.scrollLeft + box.clientWidth - size.name) box.scrollLeft = left + size.column - box.clientWidth + size.name;
    H.draw();
  };

  H.visibleCells = () => {
    const { items, columns, match } = grid.arranged;
    return items.filter((item) => item.line).flatMap((item) => columns.map((column) => H.at(item.line, column))).filter((index) => index >= 0 && match[index]);
  };

  /* Filter, sort and group anew, as the address says. */
  H.arrangeAndDraw = () => {
    const route = H.route();
    grid.arranged = H.arrange(route);
    const { items, columns, count } = grid.arranged;
    table().setAttribute("aria-rowcount", items.length + (grid.arranged.groups ? 3 : 2));
    table().setAttribute("aria-colcount", columns.length + 1);
    grid.active = { row: Math.min(grid.active.row, items.length - 1), column: Math.min(grid.active.column, columns.length - 1) };
    document.getElementById("empty").hidden = count > 0;
    scroller().hidden = count === 0;
    table().classList.toggle("words", H.view() === H.VIEWS.outcome);
    measure();
    H.draw(true);
  };

  H.startMatrix = () => {
    const longest = (texts) => Math.max(...texts.map((text) => text.length), 0);
    const style = table().style;
    style.setProperty("--name-letters", Math.min(34, longest(H.lines.map((line) => line.label))));
    /* A device with few delegates still has room for its name and marks. */
    const heads = H.spans(H.columns, (column) => column.device).map(([first, stop]) => {
      const name = H.columns[first].deviceName;
      return Math.ceil([name, ...marksOf(name)].join("    ").length / (stop - first));
    });
    style.setProperty("--column-letters", Math.max(13, Math.min(16, longest(H.columns.map((column) => column.delegateName)) + 1), Math.min(innerWidth > 700 ? 28 : 16, Math.max(...heads, 0))));
    let waiting = false;
    scroller().addEventListener("scroll", () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => { waiting = false; H.draw(); });
    }, { passive: true });
    /* Also told when it first gets its height, which depends on what was drawn. */
    new ResizeObserver(() => { measure(); H.draw(); }).observe(scroller());
    for (const event of ["mouseover", "focusin"]) {
      table().addEventListener(event, ({ target }) => {
        const field = target.closest("td[data-cell]");
        if (field && !field.title) field.title = summaryOf(Number(field.dataset.cell));
      });
    }
    table().addEventListener("click", (event) => {
      const button = event.target.closest("button[data-sort]"), field = event.target.closest("td[data-cell]");
      if (button) {
        const key = button.dataset.sort, now = H.route().sort;
        H.go({ sort: now === key ? `-${key}` : now === `-${key}` ? null : key });
        H.focusHead(key);
      } else if (field) {
        H.activate(Number(field.parentNode.dataset.row), Number(field.dataset.column));
        H.openCell(Number(field.dataset.cell));
      }
    });
  };
})();
