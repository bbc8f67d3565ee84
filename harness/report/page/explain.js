// Of one cell: where its nodes ran, what was predicted, and where an output first goes wrong.
(() => {
  const { share, count, shape, number } = H.fmt;
  const known = (value) => (value === null || value === undefined ? "not told" : String(value));

  function refused(list) {
    if (!list.length) return null;
    return H.folded(list, 30, (some) => H.table([{ text: "left to the CPU", class: "text" }, "nodes", { text: "why", class: "text wide" }],
      some.map((op) => [`${op.op} v${op.version}`, { text: String(op.nodes.length) }, op.why]), "operations left to the CPU"));
  }

  // A prediction alone, as a model's page has it.
  H.prediction = (found) => [
    H.el("p", {}, found.compiles ? `${found.nodes_delegated} of ${count(found.nodes_total, "node")} on the GPU, ${count(found.partitions, "partition")}` : `does not compile${found.why ? `: ${found.why}` : ""}`,
      " ", H.mark(found.checked ? "checked against the accelerator" : "not checked here")),
    refused(found.refused),
  ];

  H.delegation = (row) => {
    const split = row.delegation;
    const found = row.compatibility;
    if (!split && !found) return null;
    const predicted = found?.predicted;
    const verdict = found && (found.agrees === null ? "the runner does not tell what happened" : found.agrees ? "as predicted" : "not as predicted");
    return H.part("Delegation", row.split ?? "",
      split?.fallback ? H.el("p", {}, "The rest ran elsewhere.") : null,
      split?.unsupported_ops.length ? H.el("ul", { class: "plain ops" }, split.unsupported_ops.map((op) => H.el("li", {}, op))) : null,
      split?.evidence ? H.el("p", { class: "dim" }, `Evidence: ${split.evidence}`) : null,
      found && H.el("p", {}, H.el("b", {}, verdict), H.dim(` by profile ${predicted.profile}${predicted.checked ? "" : ", not checked here"}`)),
      found && H.table(["", "predicted", "actual"], [
        ["compiles", predicted.compiles ? "yes" : "no", split ? (split.nodes_delegated ? "yes" : "no") : "not told"],
        ["nodes on the accelerator", `${predicted.nodes_delegated} of ${predicted.nodes_total}`, known(found.nodes_delegated)],
        ["partitions", String(predicted.partitions), known(found.partitions)],
      ], "prediction beside what happened"),
      found?.differences.length ? H.el("ul", { class: "plain ops" }, found.differences.map((text) => H.el("li", {}, text))) : null,
      predicted?.why ? H.el("p", {}, predicted.why) : null,
      predicted ? refused(predicted.refused) : null);
  };

  const STATUS = {
    culprit: "One operation is the culprit", gradual: "The error grows gradually: precision, no single operation", segment: "Narrowed down to a segment",
    not_found: "Not found", gave_up: "Given up", refused: "Not tried",
  };

  function search(found) {
    const tried = found.cuts.map((cut, turn) => ({ turn: turn + 1, op: cut.op, error: cut.error ?? null, status: cut.status ?? "" }));
    if (!tried.length) return null;
    const points = tried.filter((cut) => cut.error !== null && cut.op !== null).sort((one, two) => one.op - two.op);
    const rows = tried.map((cut) => [String(cut.turn), known(cut.op), cut.error === null ? H.fmt.nothing : share(cut.error), cut.status]);
    const table = { head: ["turn", "cut after operation", "error", { text: "status", class: "text" }], rows };
    if (points.length < 2) return H.table(table.head, table.rows, "cuts tried");
    const floor = Math.min(...points.map((cut) => cut.error).filter((value) => value > 0), 1e-7) / 2;
    return H.chart({
      title: "Error along the model", caption: `after each cut tried; ${count(tried.length, "cut")}`,
      label: `Error of range after operation: ${points.slice(0, 20).map((cut) => `${cut.op}: ${share(cut.error)}`).join(", ")}`,
      table,
      config: (palette) => ({
        type: "line",
        data: { datasets: [{
          data: points.map((cut) => ({ x: cut.op, y: Math.max(cut.error, floor) })), borderColor: palette.series[0], borderWidth: 2, pointRadius: 4,
          pointBorderWidth: 0, pointBackgroundColor: points.map((cut) => (found.op && cut.op >= found.op.index ? palette.fail : palette.series[0])),
        }] },
        options: {
          parsing: false,
          scales: {
            x: H.axis(palette, "operation", null, { type: "linear", ticks: { precision: 0 } }),
            y: H.axis(palette, "of range", share, { type: "logarithmic" }),
          },
          plugins: { tooltip: { callbacks: { title: ([item]) => `after operation ${item.raw.x}`, label: (item) => share(points[item.dataIndex].error) } } },
        },
      }),
    });
  }

  H.localisation = (row) => {
    const found = row.localisation;
    if (!found) return null;
    const op = found.op;
    const segment = found.first !== null && found.last !== null && (!op || found.first !== found.last) ? `operations ${found.first} to ${found.last}` : null;
    return H.part("Where it goes wrong", "",
      H.el("p", {}, H.el("b", {}, STATUS[found.status] ?? found.status), found.words ? `: ${found.words}` : ""),
      H.el("div", { class: "charts" },
        H.pairs([
          ["operation", op && [H.el("b", {}, `#${op.index} ${op.type}`), ` v${op.version} `, H.dim(op.name)]],
          ["shapes", op && `${op.inputs.map(shape).join(", ")} → ${op.outputs.map(shape).join(", ")}`],
          ["segment", segment],
          ["error before", found.error_before !== null && share(found.error_before)],
          ["error after", found.error_after !== null && share(found.error_after)],
          ["growth", found.growth],
          ["compared with", found.reference],
          ["effort", `${count(found.invocations, "invocation")}, ${number(found.seconds)} s`],
          ["reproduction", found.bundle && [H.file(found.bundle, found.bundle.split("/").pop()), H.dim(": unpack it, run ", H.el("code", {}, "python reproduce.py"))]],
        ]),
        search(found)));
  };
})();
