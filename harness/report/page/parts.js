// Parts that several panels are made of.
(() => {
  // A table. head: texts, or {text, class}; rows: lists of texts, elements or {text, class}; the first of a row is its header.
  H.table = (head, rows, caption, kind = "figures") => {
    const field = (entry, number, tag, scope) => {
      const plain = entry === null || typeof entry !== "object" || entry instanceof Node || Array.isArray(entry);
      const { text, class: name = head[number]?.class } = plain ? { text: entry } : entry;
      return H.el(tag, { scope, class: name }, text);
    };
    return H.el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
      H.el("table", { class: kind },
        H.el("caption", { class: "unseen" }, caption),
        H.el("thead", {}, H.el("tr", {}, head.map((entry, number) => field(entry, number, "th", "col")))),
        H.el("tbody", {}, rows.map((row) => H.el("tr", {}, row.map((entry, number) => (number ? field(entry, number, "td") : field(entry, 0, "th", "row"))))))));
  };

  const empty = (value) => value === null || value === undefined || value === false || value === "" || (Array.isArray(value) && value.every(empty));

  // Names and values; a name without a value is left out.
  H.pairs = (pairs, kind = "fields") => {
    const known = pairs.filter(([, value]) => !empty(value));
    return known.length ? H.el("dl", { class: kind }, known.map(([name, value]) => H.el("div", {}, H.el("dt", {}, name), H.el("dd", {}, value)))) : null;
  };

  // A free-form object (facts, a device's state).
  H.facts = (mapping, kind) => H.pairs(Object.entries(mapping ?? {}).map(([key, value]) => [H.fmt.label(key), H.fmt.fact(value, key)]), kind);

  // A part of the drawer; null without content, so that it appears only when its fields are there.
  H.part = (title, small, ...content) => (empty(content) ? null
    : H.el("section", { class: "part" }, H.el("h3", {}, title, small ? H.el("small", {}, " ", small) : null), content));

  H.dim = (...content) => H.el("span", { class: "dim" }, content);

  // A long list: the first entries, and a button for more of them. wrap: makes an element of a list of entries; noun: what they are.
  const AT_ONCE = 500;
  H.folded = (entries, most, wrap, noun = "") => {
    if (entries.length <= most) return wrap(entries);
    const left = entries.length - most;
    const click = () => {
      H.replace(holder, H.folded(entries, most + AT_ONCE, wrap, noun));
      holder.querySelector("a, button, [tabindex]")?.focus();
    };
    const text = left > AT_ONCE ? `Show ${AT_ONCE} more of ${left.toLocaleString("en")}` : `Show all ${entries.length.toLocaleString("en")}${noun && ` ${noun}`}`;
    const holder = H.el("div", {}, wrap(entries.slice(0, most)), H.el("button", { type: "button", class: "more", on: { click } }, text));
    return holder;
  };

  // A button that copies text; where a page from disk may not use the clipboard, through a selection.
  H.copy = (text, what) => {
    const said = H.el("span", { role: "status", class: "dim" });
    const bySelection = () => {
      const field = H.el("textarea", { class: "unseen", tabindex: "-1", "aria-hidden": "true" });
      field.value = text;
      said.after(field);
      field.select();
      const copied = document.execCommand("copy");
      field.remove();
      return copied;
    };
    const click = async ({ currentTarget: button }) => {
      let copied = true;
      try {
        await navigator.clipboard.writeText(text);
      } catch {
        copied = bySelection();
        button.focus();
      }
      said.textContent = copied ? "copied" : "select the text and copy it by hand";
    };
    return H.el("span", { class: "copying" }, H.el("button", { type: "button", "aria-label": `Copy ${what}`, on: { click } }, "Copy"), " ", said);
  };

  // Cells as a table, for the pages of devices and models. what: the columns before the outcome, as functions of a cell.
  H.cellTable = (indexes, caption, columns) => H.folded(indexes, 200, (some) => H.table(
    [...columns.map(([name]) => ({ text: name, class: "text" })), { text: "outcome", class: "text" }, "median", "speed-up", "of range", { text: "reason", class: "text wide" }],
    some.map((index) => {
      const cell = H.brief(index);
      return [...columns.map(([, make]) => make(cell)), H.outcome(cell.outcome, cell.waived), H.fmt.us(cell.median_us), H.fmt.ratio(cell.speedup),
        cell.nonfinite ? { text: "NaN/Inf", class: "broken" } : H.fmt.share(cell.max_abs_of_range), cell.outcome === "PASS" ? "" : cell.reason];
    }), caption));
})();
