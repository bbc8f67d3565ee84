/* Which cells are shown, and in what order: from the address bar's keys to lines and columns of the matrix. */
(() => {
  const FLAGS = [["waived", 1], ["helper", 2], ["void", 4], ["emulated", 8], ["software", 16]];
  const list = (text) => new Set((text || "").split(",").filter(Boolean));
  const few = (names, texts) => names.map((name, position) => `${name} ${texts ? texts[position] : ""}`.toLowerCase());
  let hay = null;

  const haystacks = () => {
    const { data } = H;
    const about = data.device_names.map((name) => {
      const device = H.device(name);
      return device ? [device.kind, device.serial, device.adapter, ...(device.labels || []), ...Object.values(device.facts || {})].filter((value) => typeof value === "string").join(" ") : "";
    });
    return {
      model: few(data.model_names), device: few(data.device_names, about), delegate: few(data.delegate_names), suite: few(data.suite_names),
      outcome: few(H.OUTCOMES, H.OUTCOMES.map(H.word)), reason: few(data.texts), change: few(data.changes),
    };
  };

  /* One byte per cell: 1 where all conditions hold. */
  const matching = (route) => {
    hay ??= haystacks();
    const found = new Uint8Array(H.cells).fill(1), { col, data } = H;
    const keep = (test) => { for (let index = 0; index < H.cells; index += 1) if (found[index] && !test(index)) found[index] = 0; };
    for (const word of (route.q || "").toLowerCase().split(/\s+/).filter(Boolean)) {
      const hits = Object.entries(hay).map(([key, texts]) => [col[key], texts.map((text) => text.includes(word))]).filter(([, hit]) => hit.includes(true));
      const mask = FLAGS.reduce((bits, [name, bit]) => (name.startsWith(word) ? bits | bit : bits), 0);
      keep((index) => (col.flags[index] & mask) !== 0 || hits.some(([column, hit]) => hit[column[index]] === true));
    }
    const outcomes = list(route.outcome);
    if (outcomes.size) { const wanted = H.OUTCOMES.map((name) => outcomes.has(name)); keep((index) => wanted[col.outcome[index]]); }
    for (const [key, column, names] of [["on", col.device, data.device_names], ["by", col.delegate, data.delegate_names], ["of", col.model, data.model_names]]) {
      if (!route[key]) continue;
      const wanted = names.indexOf(route[key]);
      keep((index) => column[index] === wanted);
    }
    if (route.kind) {
      const wanted = data.device_names.map((name) => H.kindsOf(name).includes(route.kind));
      keep((index) => wanted[col.device[index]]);
    }
    const changes = list(route.change);
    if (changes.size) keep((index) => changes.has(H.changeOf(index)));
    const only = list(route.only);
    if (only.has("failing")) keep((index) => !H.isGood(index));
    if (only.has("changed")) keep(H.isChanged);
    return found;
  };
  /* What a device can be filtered by besides its name: its kind, its labels, whether it is emulated. */
  H.kindsOf = (name) => {
    const device = H.device(name);
    return device ? [device.kind, ...(device.labels || []).map((label) => `label ${label}`), ...(device.emulated ? ["emulated"] : [])] : [];
  };

  /* How bad a line or column is: its cells that do not pass, the worst kinds first. */
  const badness = (cells) => {
    const counts = new Array(H.OUTCOMES.length).fill(0);
    for (const index of cells) counts[H.col.outcome[index]] += 1;
    return counts.slice(0, 5).reduce((sum, count) => sum * 1000 + Math.min(999, count), 0);
  };

  const byText = (a, b) => a.localeCompare(b, "en", { numeric: true });
  const sortLines = (lines, route, cellsOf) => {
    const key = (route.sort || "").replace(/^-/, ""), sign = (route.sort || "").startsWith("-") ? -1 : 1;
    if (key === "model") return lines.sort((a, b) => sign * byText(a.label, b.label));
    if (key === "worst") {
      const bad = new Map(lines.map((line) => [line, badness(cellsOf.get(line) || [])]));
      return lines.sort((a, b) => bad.get(b) - bad.get(a) || a.position - b.position);
    }
    const column = H.columns.find((entry) => entry.key === key);
    if (!column) return lines;
    const view = H.view();
    const value = (line) => { const index = H.at(line, column); return index < 0 ? null : view.value(index); };
    return lines.sort((a, b) => {
      const [first, second] = [value(a), value(b)];
      if (first === null || second === null) return (first === null) - (second === null) || a.position - b.position;
      return sign * (first - second) || a.position - b.position;
    });
  };

  const sortColumns = (columns, route, cellsOf) => {
    if (route.cols === "name") columns.sort((a, b) => byText(a.deviceName, b.deviceName) || a.position - b.position);
    if (route.cols === "worst") {
      const cells = new Map();
      for (const column of columns) cells.set(column.device, [...(cells.get(column.device) || []), ...(cellsOf.get(column) || [])]);
      const bad = new Map([...cells].map(([device, indexes]) => [device, badness(indexes)]));
      columns.sort((a, b) => bad.get(b.device) - bad.get(a.device) || a.position - b.position);
    }
    return columns;
  };

  /* Entries with the same key side by side, in order of their first. */
  const together = (entries, key) => {
    const groups = new Map();
    for (const entry of entries) groups.set(key(entry), [...(groups.get(key(entry)) || []), entry]);
    return groups;
  };

  H.view = () => H.VIEWS[H.route().view] || H.VIEWS.outcome;
  H.isFiltered = (route) => Boolean(route.q || route.outcome || route.on || route.by || route.of || route.kind || route.change || route.only);

  /* The matrix to show: `match` per cell, `count`; `items`, each {line} or {family, lines}, from top to bottom; `columns`, from left to right,
     and whether devices have a row of groups above them. */
  H.arrange = (route) => {
    const match = matching(route), linesWith = new Map(), columnsWith = new Map();
    let count = 0;
    for (let index = 0; index < H.cells; index += 1) {
      if (!match[index]) continue;
      count += 1;
      const line = H.lines[H.lineOf[index]], column = H.columns[H.columnOf[index]];
      if (linesWith.has(line)) linesWith.get(line).push(index); else linesWith.set(line, [index]);
      if (columnsWith.has(column)) columnsWith.get(column).push(index); else columnsWith.set(column, [index]);
    }
    const grouped = route.group !== "off";
    let columns = sortColumns(H.columns.filter((column) => columnsWith.has(column)), route, columnsWith);
    const kinds = together(columns, (column) => column.group);
    const groups = grouped && kinds.size > 1 && new Set(columns.map((column) => column.device)).size > kinds.size;
    if (groups) columns = [...kinds.values()].flat();
    const lines = sortLines(H.lines.filter((line) => linesWith.has(line)), route, linesWith);
    const families = together(lines, (line) => line.family);
    const large = [...families].filter(([, members]) => members.length > 1);
    if (!grouped || large.length === 0 || (large.length === 1 && families.size === 1)) return { match, count, columns, groups, items: lines.map((line) => ({ line })), lines };
    const rest = lines.filter((line) => families.get(line.family).length === 1);
    const parts = rest.length ? [...large, ["other models", rest]] : large;
    const items = parts.flatMap(([family, members]) => [
      { family, lines: members.length, failing: members.flatMap((line) => linesWith.get(line)).filter((index) => !H.isGood(index)).length },
      ...members.map((line) => ({ line })),
    ]);
    return { match, count, columns, groups, items, lines: parts.flatMap(([, members]) => members) };
  };
})();
