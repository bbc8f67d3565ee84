/* What the matrix shows of a cell: the views, their scales, and the places of cells in it. */
(() => {
  const GOOD = new Set(["PASS", "MARGINAL"]);
  H.isGood = (index) => GOOD.has(H.OUTCOMES[H.col.outcome[index]]);
  H.isWaived = (index) => Boolean(H.col.flags[index] & 1);
  /* As harness/report/changes.py has it: FIXED is a BETTER that did not pass in the baseline. */
  H.changeOf = (index) => {
    const change = H.data.changes[H.col.change[index]], before = H.data.change_rows[index]?.[0];
    return before && !GOOD.has(before) && H.isGood(index) && change !== "WORSE" ? "FIXED" : change;
  };
  H.isChanged = (index) => ["WORSE", "FIXED", "BETTER", "NEW"].includes(H.changeOf(index));

  /* Steps of a scale: the number of limits that a value reaches. */
  const step = (value, limits) => limits.reduce((found, limit) => found + (value >= limit), 0);
  const SPEED = [0.5, 0.8, 0.97, 1.03, 2, 4];
  const ERROR = [1e-5, 1e-3, 1e-2, 5e-2];

  /* Per view: what it is called, the figure of a cell (null: none), its text, its step on the scale (a class of matrix.css),
     whether a small figure is a good one, and what the scale means. */
  H.VIEWS = {
    outcome: {
      label: "outcome", scale: "outcome", rising: true,
      value: (index) => H.OUTCOMES.length - H.col.outcome[index],
      text: (index) => H.word(H.OUTCOMES[H.col.outcome[index]]),
      heat: () => "",
      legend: "What became of each cell.", steps: [],
    },
    speedup: {
      label: "speed-up", scale: "diverging", rising: false,
      value: (index) => H.col.speedup[index],
      text: (index) => H.fmt.ratio(H.col.speedup[index]),
      heat: (index) => `d${step(H.col.speedup[index], SPEED)}`,
      legend: "How many times faster than the best CPU of the same device; under 1 it is slower.",
      steps: ["d0 under 0.5\u00d7", "d1 0.5\u00d7", "d2 0.8\u00d7", "d3 equal", "d4 1.03\u00d7", "d5 2\u00d7", "d6 4\u00d7 and more"],
    },
    latency: {
      label: "latency", scale: "sequential", rising: true,
      value: (index) => H.col.median[index],
      text: (index) => H.fmt.ms(H.col.median[index]),
      heat: (index) => `q${latencyStep(index)}`,
      legend: "Median in ms. The colour compares with the same model elsewhere: from its fastest cell to its slowest.",
      steps: ["q0 fastest", "q1", "q2", "q3", "q4 slowest"],
    },
    accuracy: {
      label: "accuracy", scale: "sequential", rising: true,
      value: (index) => (H.col.nonfinite[index] ? Number.MAX_VALUE : H.col.error[index]),
      text: (index) => (H.col.nonfinite[index] ? "NaN/Inf" : H.fmt.share(H.col.error[index])),
      heat: (index) => `q${H.col.nonfinite[index] ? 4 : step(H.col.error[index], ERROR)}`,
      legend: "Largest difference from the reference, in % of the output's range.",
      steps: ["q0 under 0.001%", "q1 0.001%", "q2 0.1%", "q3 1%", "q4 5% and more, NaN or infinite"],
    },
  };

  /* Fastest and slowest median of each model. */
  let ranges = null;
  const latencyStep = (index) => {
    if (!ranges) {
      ranges = new Map();
      H.col.median.forEach((value, cell) => {
        if (value === null) return;
        const range = ranges.get(H.col.model[cell]);
        if (!range) ranges.set(H.col.model[cell], [value, value]);
        else { range[0] = Math.min(range[0], value); range[1] = Math.max(range[1], value); }
      });
    }
    const [low, high] = ranges.get(H.col.model[index]);
    if (!(high > low * 1.05) || low <= 0) return 0;
    return Math.min(4, Math.floor((Math.log(H.col.median[index] / low) / Math.log(high / low)) * 5));
  };

  /* Lines (suite and model) and columns (device and delegate) of the matrix, in the order of the run; the cell at a place or -1. */
  H.place = () => {
    const { model, suite, device, delegate } = H.col;
    const lines = new Map(), columns = new Map();
    for (let index = 0; index < H.cells; index += 1) {
      const line = suite[index] * 1e6 + model[index], column = device[index] * 1e6 + delegate[index];
      if (!lines.has(line)) lines.set(line, { suite: suite[index], model: model[index] });
      if (!columns.has(column)) columns.set(column, { device: device[index], delegate: delegate[index] });
    }
    const manySuites = H.data.suite_names.length > 1;
    H.lines = [...lines.values()].sort((a, b) => a.suite - b.suite || a.model - b.model);
    H.columns = [...columns.values()].sort((a, b) => a.device - b.device || a.delegate - b.delegate);
    H.lines.forEach((line, position) => {
      line.position = position;
      line.name = H.data.model_names[line.model];
      line.label = manySuites ? `${H.data.suite_names[line.suite]}::${line.name}` : line.name;
      line.family = family(line.name);
    });
    H.columns.forEach((column, position) => {
      column.position = position;
      column.deviceName = H.data.device_names[column.device];
      column.delegateName = H.data.delegate_names[column.delegate];
      column.key = `${column.deviceName}:${column.delegateName}`;
      column.group = kindOf(H.device(column.deviceName));
    });
    const lineAt = new Map(H.lines.map((line) => [line.suite * 1e6 + line.model, line.position]));
    const columnAt = new Map(H.columns.map((column) => [column.device * 1e6 + column.delegate, column.position]));
    H.lineOf = new Int32Array(H.cells);
    H.columnOf = new Int32Array(H.cells);
    const places = new Int32Array(H.lines.length * H.columns.length).fill(-1);
    for (let index = 0; index < H.cells; index += 1) {
      H.lineOf[index] = lineAt.get(suite[index] * 1e6 + model[index]);
      H.columnOf[index] = columnAt.get(device[index] * 1e6 + delegate[index]);
      places[H.lineOf[index] * H.columns.length + H.columnOf[index]] = index;
    }
    H.at = (line, column) => places[line.position * H.columns.length + column.position];
  };

  /* What stands before a dot that is not a number's (depth_to_space.batch -> depth_to_space), else the first part without its
     number: mobilenet_v1_1.0_224 -> mobilenet, deeplabv3_257 -> deeplab. */
  const family = (name) => {
    const dot = name.search(/\.\D|\D\./);
    if (dot >= 0) return name.slice(0, name[dot] === "." ? dot : dot + 1) || name;
    return name.split(/[._\-]/)[0].replace(/(.)v?\d+$/i, "$1") || name;
  };
  /* Devices of one kind and model are twins: "android, Pixel 8". */
  const kindOf = (device) => {
    if (!device) return "unknown";
    const model = device.facts && (device.facts.model ?? device.facts.cpu_model);
    return typeof model === "string" ? `${device.kind}, ${model}` : device.kind;
  };
})();
