/* The tools above the matrix: they write into the address bar, and show what it says. */
(() => {
  const { el } = H;
  const field = (id) => document.getElementById(id);
  const count = (texts) => { const found = new Map(); for (const text of texts) found.set(text, (found.get(text) || 0) + 1); return found; };

  const choices = (select, all, texts) => {
    H.replace(select, el("option", { value: "" }, all), texts.map((text) => el("option", { value: text }, text)));
    select.closest("label").hidden = texts.length < 2;
  };
  const toggled = (text, name, on) => {
    const names = (text || "").split(",").filter((entry) => entry && entry !== name);
    return (on ? [...names, name] : names).join(",");
  };
  /* What it explains is the whole run's: it changes with the view alone, and not with every letter of a filter. */
  let explained = null;
  const drawLegend = (view) => {
    if (explained === view) return;
    explained = view;
    const swatches = view.steps.map((entry) => {
      const [step, ...words] = entry.split(" ");
      return el("li", {}, el("span", { class: `swatch ${step}`, "aria-hidden": "true" }), words.join(" "));
    });
    const present = H.OUTCOMES.filter((name) => H.data.summary[name.toLowerCase()]);
    const outcomes = present.map((name) => el("li", {}, el("span", { class: `swatch ${name.toLowerCase()} ${["PASS", "MARGINAL"].includes(name) ? "" : "bad"}`, "aria-hidden": "true" }, H.LETTERS[name]), H.word(name)));
    const seen = (test) => { for (let index = 0; index < H.cells; index += 1) if (test(index)) return true; return false; };
    const changes = H.data.changes;
    const signs = [
      ["w", "waived", (index) => H.col.flags[index] & 1], ["h", "helper: measured for a comparison", (index) => H.col.flags[index] & 2], ["!", "timing void", (index) => H.col.flags[index] & 4],
      ["\u25bc", "worse than in the baseline", (index) => changes[H.col.change[index]] === "WORSE"], ["\u25b2", "better", (index) => changes[H.col.change[index]] === "BETTER"], ["+", "new", (index) => changes[H.col.change[index]] === "NEW"],
    ].filter(([, , test]) => seen(test)).map(([sign, text]) => el("li", {}, el("span", { class: "sign", "aria-hidden": "true" }, sign), text));
    H.replace(field("legend"), el("p", {}, view.legend), el("ul", {}, swatches, outcomes, signs));
  };

  /* The tools as the address says. */
  H.showTools = () => {
    const route = H.route(), view = H.view();
    for (const input of document.querySelectorAll("input[name=view]")) input.checked = H.VIEWS[input.value] === view;
    if (field("filter").value !== (route.q || "")) field("filter").value = route.q || "";
    for (const [id, key] of [["on", "on"], ["by", "by"], ["of", "of"], ["kind", "kind"], ["cols", "cols"]]) field(`choose-${id}`).value = route[key] || "";
    const sort = route.sort || "", columnSort = sort.includes(":");
    field("choose-sort").querySelector("option[value=column]").hidden = !columnSort;
    field("choose-sort").value = columnSort ? "column" : sort;
    field("group").checked = route.group !== "off";
    for (const input of document.querySelectorAll("input[data-only]")) input.checked = (route.only || "").split(",").includes(input.dataset.only);
    for (const input of document.querySelectorAll("input[data-outcome]")) input.checked = (route.outcome || "").split(",").includes(input.dataset.outcome);
    const { arranged } = H.grid, filtered = H.isFiltered(route);
    field("clear").hidden = !filtered;
    const devices = new Set(arranged.columns.map((column) => column.device)).size;
    const text = `${arranged.count.toLocaleString("en")} of ${H.fmt.count(H.cells, "cell")}, ${H.fmt.count(arranged.lines.length, "model")} on ${H.fmt.count(devices, "device")}`;
    const shown = filtered ? text : `${H.fmt.count(H.cells, "cell")}, ${H.fmt.count(arranged.lines.length, "model")} on ${H.fmt.count(devices, "device")}`;
    if (field("shown").textContent !== shown) field("shown").textContent = shown;
    drawLegend(view);
  };

  H.startTools = () => {
    choices(field("choose-on"), "all devices", H.data.device_names);
    choices(field("choose-by"), "all delegates", H.data.delegate_names);
    choices(field("choose-of"), "all models", H.data.model_names);
    choices(field("choose-kind"), "all kinds", [...count(H.data.device_names.flatMap(H.kindsOf)).keys()].sort());
    for (const input of document.querySelectorAll("input[name=view]")) input.addEventListener("change", () => H.go({ view: input.value }));
    field("filter").addEventListener("input", () => H.go({ q: field("filter").value.trim() }));
    for (const id of ["on", "by", "of", "kind", "cols"]) field(`choose-${id}`).addEventListener("change", (event) => H.go({ [id]: event.target.value }));
    field("choose-sort").addEventListener("change", (event) => { if (event.target.value !== "column") H.go({ sort: event.target.value }); });
    field("group").addEventListener("change", (event) => H.go({ group: event.target.checked ? null : "off" }));
    for (const input of document.querySelectorAll("input[data-only]")) input.addEventListener("change", () => H.go({ only: toggled(H.route().only, input.dataset.only, input.checked) }));
    for (const input of document.querySelectorAll("input[data-outcome]")) input.addEventListener("change", () => H.go({ outcome: toggled(H.route().outcome, input.dataset.outcome, input.checked) }));
    const noFilter = { q: null, outcome: null, on: null, by: null, of: null, kind: null, change: null, only: null };
    for (const button of document.querySelectorAll("[data-clear]")) button.addEventListener("click", () => { H.go(noFilter); field("filter").focus(); });
    /* Links of the first screen that set filters: their address holds all they need. */
    document.addEventListener("click", (event) => {
      const link = event.target.closest("a[data-filter]");
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      H.go({ ...noFilter, cell: null, device: null, model: null, ...Object.fromEntries(new URLSearchParams(link.hash.slice(1))) }, { push: true });
      field("matrix").scrollIntoView({ block: "start" });
      H.activate(0, 0);
    });
  };
})();
