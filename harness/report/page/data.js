/* The run as the page holds it: columns of all cells at once, whole rows in compressed chunks that are read on demand. */
(() => {
  H.unpack = async (text) => {
    const bytes = Uint8Array.from(atob(text.trim()), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  };
  /* The text of a compressed block of the page: H.asset("chart") is <script type="text/plain" id="asset-chart">. */
  H.asset = (name) => {
    const block = document.getElementById(`asset-${name}`);
    return block ? H.unpack(block.textContent) : Promise.reject(new Error(`the page has no ${name}`));
  };

  H.load = async () => {
    const data = JSON.parse(await H.asset("summary"));
    const { columns, chunk_cells: size } = data;
    H.data = data;
    H.col = columns;
    H.cells = columns.outcome.length;
    const byId = new Map(), chunks = new Map();
    const odd = data.odd_ids || {};
    H.id = (index) => odd[index] ?? `${data.suite_names[columns.suite[index]]}::${data.model_names[columns.model[index]]}[${data.device_names[columns.device[index]]}:${data.delegate_names[columns.delegate[index]]}]`;
    H.index = (id) => {
      if (!byId.size) for (let index = 0; index < H.cells; index += 1) byId.set(H.id(index), index);
      return byId.get(id) ?? -1;
    };
    const chunk = (number) => {
      if (!chunks.has(number)) chunks.set(number, H.asset(`rows-${number}`).then(JSON.parse));
      return chunks.get(number);
    };
    /* The whole row of a cell, as matrix.json has it (samples may be thinned out: `latency.samples_left_out`). */
    H.cell = async (index) => {
      const row = { ...(await chunk(Math.floor(index / size)))[index % size] };
      const { id, suite: _suite, ...brief } = H.brief(index);
      Object.assign(row, { id, model: brief.model, device: brief.device, delegate: brief.delegate, outcome: brief.outcome });
      if (row.latency && !row.latency.samples_us) {
        row.latency = { ...row.latency, samples_us: row.latency.rounds.flatMap((round) => round.samples_us) };
      }
      return row;
    };
    /* What is known of a cell without reading its chunk. */
    H.brief = (index) => ({
      index, id: H.id(index),
      suite: data.suite_names[columns.suite[index]], model: data.model_names[columns.model[index]],
      device: data.device_names[columns.device[index]], delegate: data.delegate_names[columns.delegate[index]],
      outcome: H.OUTCOMES[columns.outcome[index]], reason: data.texts[columns.reason[index]] ?? null,
      median_us: columns.median[index], p90_us: columns.p90[index], speedup: columns.speedup[index],
      max_abs_of_range: columns.error[index], nonfinite: columns.nonfinite[index] ?? 0,
      change: data.changes[columns.change[index]] ?? null,
      waived: Boolean(columns.flags[index] & 1), helper: Boolean(columns.flags[index] & 2), void: Boolean(columns.flags[index] & 4),
      emulated: Boolean(columns.flags[index] & 8), software: Boolean(columns.flags[index] & 16),
    });
    /* Indexes of the cells of a device, model or delegate: H.where({device: "pixel-8"}). */
    H.where = (wanted) => {
      const tests = Object.entries(wanted).map(([key, value]) => [columns[key], data[`${key}_names`].indexOf(value)]);
      const found = [];
      for (let index = 0; index < H.cells; index += 1) if (tests.every(([column, value]) => column[index] === value)) found.push(index);
      return found;
    };
    H.device = (name) => data.devices.find((device) => device.name === name) ?? null;
    H.model = (name) => data.models.find((model) => model.name === name) ?? null;
  };
})();
