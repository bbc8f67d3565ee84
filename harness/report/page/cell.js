// What the drawer says of one cell.
(() => {
  const { us, number, bytes, seconds, short, count } = H.fmt;
  const UNITS = [[/_us$/, us], [/_bytes$/, bytes]];
  const figure = (gate, value) => (UNITS.find(([ending]) => ending.test(gate)) ?? [null, number])[1](value);

  // How near a figure is to its limit, as a bar with a notch at the limit; the words beside it say the same.
  function bar(gate, least) {
    const { value, limit } = gate;
    if (value === null || !(limit > 0) || !Number.isFinite(value)) return "";
    const span = Math.max(value, limit) * (value > limit * 1.2 ? 1 : 1.2);
    const fill = H.el("span", { class: `fill ${gate.verdict.toLowerCase()}`, style: { width: `${Math.min(100, Math.max(0, value / span) * 100)}%` } });
    const notch = H.el("span", { class: "notch", style: { left: `${(limit / span) * 100}%` } });
    const text = least ? `${figure(gate.gate, value)}, at least ${figure(gate.gate, limit)} demanded` : `${figure(gate.gate, value)}, at most ${figure(gate.gate, limit)} allowed`;
    return H.el("span", { class: "gauge", role: "img", "aria-label": text }, fill, notch);
  }

  function gates(row) {
    if (!row.gates.length) return null;
    const lower = new Set(H.data.lower_bounds ?? []);
    return H.part("Gates", "", H.table(["gate", "limit", "value", { text: "", class: "gauged" }, { text: "verdict", class: "text" }], row.gates.map((gate) => {
      const least = lower.has(gate.gate);
      const limit = gate.gate === "baseline_outcome" ? "no worse than it was" : `${least ? "≥" : "≤"} ${figure(gate.gate, gate.limit)}`;
      return [gate.gate, limit, figure(gate.gate, gate.value), { text: bar(gate, least), class: "gauged" },
        [H.outcome(gate.verdict), gate.waiver ? [" ", H.mark(`waived by ${gate.waiver}`)] : null]];
    }), "gates"));
  }

  function why(row, brief) {
    const marks = [brief.waived && "waived", brief.helper && "helper", brief.void && "timing void", ...(row.marks ?? [])].filter(Boolean);
    const reason = row.why ?? row.reason;
    const hints = (row.hints ?? []).filter((text) => !reason?.includes(text));
    const waiver = H.data.waivers.find((one) => row.gates.some((gate) => gate.waiver === one.id));
    return H.el("div", { class: "why" },
      H.el("p", { class: "lead" }, H.outcome(row.outcome), " ", reason, marks.map((text) => [" ", H.mark(text)])),
      hints.length ? H.el("ul", { class: "plain" }, hints.map((text) => H.el("li", {}, text))) : null,
      row.next ? H.el("p", { class: "next" }, "Next: ", row.next) : null,
      waiver ? H.el("p", {}, `Waiver ${waiver.id}, ${waiver.owner}, until ${waiver.expires}: ${waiver.reason} (${waiver.ticket})`) : null);
  }

  function notes(row) {
    const { error, regression } = row;
    const said = [
      error && ["error of class ", error.class, error.kind && `: ${error.kind}`, error.signal && `, signal ${error.signal}`, error.stage && `, while in stage ${error.stage}`],
      ...row.validity.reasons.map((text) => ["timing: ", text]), ...row.notes,
    ].filter(Boolean);
    return [
      said.length ? H.part("Notes", "", H.el("ul", { class: "plain" }, said.map((text) => H.el("li", {}, text)))) : null,
      regression ? H.part("Against the baseline", H.data.baseline?.run ?? "",
        H.el("p", {}, H.el("b", {}, regression.verdict), regression.reasons.length ? `: ${regression.reasons.join("; ")}` : ""),
        H.pairs([["outcome before", regression.outcome_before && H.outcome(regression.outcome_before)],
          ["latency", regression.latency_ratio && `${number(regression.latency_ratio)} times what it was`],
          ["accuracy", regression.accuracy_ratio && `${number(regression.accuracy_ratio)} times as far off`]])) : null,
    ];
  }

  function attempts(row) {
    if (!row.attempts.length) return null;
    return H.part("Attempts", "", H.folded(row.attempts, 20, (some) => H.table(["round, try", { text: "started", class: "text" }, "took", "moved", { text: "outcome", class: "text wide" }],
      some.map((one) => [`${one.round}, ${one.number}`, { text: one.started.slice(11, 19), class: "text" }, seconds(one.seconds), bytes(one.transfer_bytes), [H.outcome(one.outcome), one.reason && ` ${one.reason}`]]), "attempts")));
  }

  function origin(row) {
    const { runner, runtime } = row;
    const files = row.artifacts.filter((path) => !/\.png$/i.test(path));
    const inFolder = (path) => path.split("/").slice(path.startsWith("artifacts/") ? 2 : 0).join("/") || path;
    return H.part("How it was measured", "",
      runner?.command ? H.el("div", { class: "command" }, H.el("pre", { tabindex: "0", role: "region", "aria-label": "command" }, runner.command), H.copy(runner.command, "the command")) : null,
      H.pairs([
        ["cell", row.id],
        ["runner", runner && [runner.name, runner.version && ` ${runner.version}`, `, ${runner.context} `, runner.sha256 && H.dim(short(runner.sha256))]],
        ["runtime", runtime?.version && [runtime.version, " ", runtime.sha256 && H.dim(short(runtime.sha256))]],
        ["unit", row.unit], ["from run", row.from_run], ["inputs", row.inputs_sha256 && short(row.inputs_sha256)],
        ["files", files.length > 0 && H.folded(files, 30, (some) => H.el("ul", { class: "plain files" }, some.map((path) => H.el("li", {}, H.file(path, inFolder(path))))))],
      ]));
  }

  function state(row) {
    if (!row.device_state) return null;
    const { before, after } = row.device_state;
    const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])];
    return keys.length ? H.part("Device", "", H.table([{ text: "state", class: "text" }, { text: "before", class: "text" }, { text: "after", class: "text" }],
      keys.map((key) => [H.fmt.label(key), H.fmt.fact(before[key], key), H.fmt.fact(after[key], key)]), "state of the device")) : null;
  }

  H.show = { ...H.show, async cell(id) {
    const index = H.index(id);
    if (index < 0) return null;
    const [row, brief] = [await H.cell(index), H.brief(index)];
    const order = H.visibleCells?.() ?? [];
    const place = order.indexOf(index);
    const beside = (step) => (place < 0 || order[place + step] === undefined ? null : { cell: H.id(order[place + step]) });
    return {
      title: brief.model,
      where: [H.modelLink(brief.model, "model"), " · ", H.deviceLink(brief.device, brief.device), " · ", brief.delegate],
      previous: beside(-1), next: beside(1),
      place: place < 0 ? "" : `${place + 1} of ${count(order.length, "cell")}`,
      content: [why(row, brief), gates(row), H.latency(row), H.accuracy(row), H.localisation(row), H.delegation(row), notes(row), attempts(row), origin(row), state(row)],
    };
  } };
})();
