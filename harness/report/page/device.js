// What the drawer says of one device: facts, health, how it compares with its twins, and all its cells.
(() => {
  const OUTLIER = 1.15;
  const MOST_UNITS = 8;
  const byDistance = (one, two) => Math.abs(Math.log(two.ratio)) - Math.abs(Math.log(one.ratio));
  const middle = (values) => {
    const sorted = [...values].sort((one, two) => one - two);
    const half = sorted.length >> 1;
    return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
  };

  // Units of the same model of device; alone there is nothing to compare.
  function twins(device) {
    const name = device.facts?.model;
    const same = name ? H.data.devices.filter((one) => one.kind === device.kind && one.facts?.model === name).map((one) => one.name) : [];
    return same.length > 1 ? same : [];
  }

  // What units took for the same work, with each unit's ratio to the median of all; of two units, to the other one.
  function sideBySide(names) {
    const found = new Map();
    for (const name of names) {
      for (const index of H.where({ device: name })) {
        const cell = H.brief(index);
        if (cell.median_us === null || cell.median_us === undefined || cell.void) continue;
        const key = JSON.stringify([cell.suite, cell.model, cell.delegate]);
        if (!found.has(key)) found.set(key, { model: cell.model, delegate: cell.delegate, units: new Map() });
        found.get(key).units.set(name, cell);
      }
    }
    const rows = [...found.values()].filter((row) => row.units.size > 1);
    for (const row of rows) {
      const times = new Map([...row.units].map(([name, cell]) => [name, cell.median_us]));
      const usual = (name) => middle([...times].filter(([other]) => times.size > 2 || other !== name).map(([, time]) => time));
      row.ratio = new Map([...times].map(([name, time]) => [name, time / usual(name)]));
    }
    return rows;
  }

  function comparison(device) {
    const units = twins(device);
    const rows = sideBySide(units);
    if (!rows.length) return null;
    const measured = units.filter((name) => rows.some((row) => row.units.has(name)));
    const compared = measured.map((name) => {
      const ratios = rows.map((row) => row.ratio.get(name)).filter((value) => value !== undefined);
      return { name, ratio: middle(ratios), cells: ratios.length };
    });
    // Of two units nobody can say which one is wrong: the slower one is marked.
    const odd = (ratio, number = measured.length) => ratio > OUTLIER || (number > 2 && ratio < 1 / OUTLIER);
    const outliers = compared.filter(({ ratio }) => odd(ratio)).sort(byDistance);
    // Of many units: this one and those that differ most.
    const overall = [...compared].sort((one, two) => (two.name === device.name) - (one.name === device.name) || byDistance(one, two)).slice(0, MOST_UNITS)
      .sort((one, two) => measured.indexOf(one.name) - measured.indexOf(two.name));
    const names = overall.map(({ name }) => name);
    const more = measured.length - names.length;
    const worst = rows.map((row) => ({ row, most: Math.max(...[...row.ratio.values()].map((value) => Math.abs(Math.log(value)))) })).sort((one, two) => two.most - one.most);
    const { us, ratio: times, count } = H.fmt;
    return H.part("Unit to unit", `${count(measured.length, "unit")} of ${device.facts.model}${more ? `; below: this one and the ${names.length - 1} that differ most` : ""}`,
      H.el("p", {}, outliers.length
        ? [H.el("b", {}, outliers.length > 1 ? "Outliers: " : "Outlier: "), outliers.slice(0, MOST_UNITS).map(({ name, ratio }, number) => [number ? ", " : "", H.deviceLink(name), ` takes ${times(ratio)} the usual time`])]
        : "No unit stands out.",
        outliers.length > MOST_UNITS ? ` and ${outliers.length - MOST_UNITS} more` : "", " ", H.dim(`Medians over ${count(rows.length, "piece")} of equal work; marked from ${OUTLIER}×.`)),
      H.chart({
        title: "Time of each unit", caption: "as a multiple of the median unit's, over equal work",
        label: `Time relative to the median unit: ${overall.map(({ name, ratio }) => `${name} ${times(ratio)}`).join(", ")}`,
        height: 50 + 26 * names.length,
        table: { head: ["unit", "time", "cells"], rows: overall.map(({ name, ratio, cells }) => [name, times(ratio), String(cells)]) },
        config: (palette) => ({
          type: "bar",
          data: { labels: overall.map(({ name }) => name), datasets: [{
            data: overall.map(({ ratio }) => ratio), maxBarThickness: 22,
            backgroundColor: overall.map(({ ratio }) => (odd(ratio) ? palette.fail : palette.series[0])),
          }] },
          options: { indexAxis: "y", scales: { x: H.axis(palette, "", (value) => (value ? times(value) : "0"), { beginAtZero: true }), y: H.axis(palette, "", null, { grid: { display: false }, ticks: { autoSkip: false, maxTicksLimit: 60 } }) },
            plugins: { tooltip: { callbacks: { label: ({ raw }) => times(raw) } } } },
        }),
      }),
      H.folded(worst, 20, (some) => H.table(["model", { text: "delegate", class: "text" }, ...names],
        some.map(({ row }) => [row.model, row.delegate, ...names.map((name) => {
          const cell = row.units.get(name);
          if (!cell) return H.fmt.nothing;
          const ratio = row.ratio.get(name);
          return odd(ratio, row.units.size) ? { text: [H.cellLink(cell.index, us(cell.median_us)), " ", H.mark(`outlier ${times(ratio)}`)], class: "odd" } : H.cellLink(cell.index, us(cell.median_us));
        })]), "medians of equal work, largest difference first")));
  }

  // The state after the last thing measured there, which only whole rows have.
  async function lastState(indexes) {
    const measured = indexes.filter((index) => H.col.median[index]).slice(-1);
    for (const index of measured) {
      const row = await H.cell(index);
      if (row.device_state) return [row.device_state.after, row.id];
    }
    return [null, null];
  }

  // Outcomes are numbered worst first.
  H.worstFirst = (indexes) => [...indexes].sort((one, two) => H.col.outcome[one] - H.col.outcome[two] || one - two);

  H.beside = (key, names, name) => {
    const place = names.indexOf(name);
    const at = (step) => (names[place + step] === undefined ? null : { [key]: names[place + step] });
    return { previous: at(-1), next: at(1), place: `${place + 1} of ${H.fmt.count(names.length, key)}` };
  };

  H.tally = (indexes) => H.OUTCOMES.map((outcome) => [outcome, indexes.filter((index) => H.OUTCOMES[H.col.outcome[index]] === outcome).length])
    .filter(([, number]) => number).map(([outcome, number]) => [H.outcome(outcome), ` ${number}  `]);

  H.show = { ...H.show, async device(name) {
    const device = H.device(name);
    if (!device) return null;
    const inOrder = H.where({ device: name });
    const indexes = H.worstFirst(inOrder);
    const [state, from] = await lastState(inOrder);
    const health = H.data.health.filter((entry) => entry.device === name);
    const marks = [device.emulated && "emulated", device.adapter_software && "software adapter"].filter(Boolean);
    return {
      title: name, where: ["device · ", device.kind, marks.map((text) => [" ", H.mark(text)])],
      ...H.beside("device", H.data.devices.map((one) => one.name), name),
      content: [
        H.el("p", { class: "lead" }, H.tally(indexes)),
        H.part("Facts", "", H.pairs([["serial", device.serial], ["machine", device.machine], ["adapter", device.adapter], ["labels", device.labels?.join(", ")]], "fields across"), H.facts(device.facts, "fields across")),
        health.length ? H.part("Health", "", health.map((entry) => H.facts(Object.fromEntries(Object.entries(entry).filter(([key]) => key !== "device")), "fields across"))) : null,
        state ? H.part("State", ["after ", H.cellLink(H.index(from))], H.facts(state, "fields across")) : null,
        comparison(device),
        H.part("Cells", `${indexes.length}, worst first`, H.cellTable(indexes, `cells of ${name}`, [["model", (cell) => H.cellLink(cell.index, cell.model)], ["delegate", (cell) => cell.delegate]])),
      ],
    };
  } };
})();
