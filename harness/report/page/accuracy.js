// Of one cell: how far its outputs are from each reference, and what its pictures show.
(() => {
  const { error, number, share, count, shape } = H.fmt;
  const decimals = (places) => (value) => (value === null || value === undefined ? H.fmt.nothing : value.toFixed(places));
  const METRICS = [
    ["nonfinite", "non-finite", (value) => (value ? { text: String(value), class: "broken" } : String(value ?? H.fmt.nothing))],
    ["range", "range", number],
    ["max_abs", "max abs", error],
    ["max_abs_of_range", "of range", share],
    ["mean_abs", "mean abs", error],
    ["rmse", "RMSE", error],
    ["max_rel", "max rel", error],
    ["p99_rel", "p99 rel", error],
    ["max_ulp", "ULP", number],
    ["max_steps", "steps", number],
    ["cosine", "cosine", decimals(6)],
    ["psnr_db", "PSNR dB", decimals(1)],
    ["snr_db", "SNR dB", decimals(1)],
    ["kl", "KL", error],
    ["top1_agreement", "top-1", share],
  ];
  const MEANING = {
    golden: "golden", same_device_cpu: "the CPU of the same device",
  };

  // A figure that no row has needs no column.
  const columnsOf = (rows) => METRICS.filter(([key]) => rows.some((row) => row[key] !== null && row[key] !== undefined));
  const figures = (row, columns) => columns.map(([key, , write]) => write(row[key]));

  // Flat position to coordinates: [0, 12, 3].
  function coordinates(flat, dimensions) {
    const place = [];
    for (const size of [...dimensions].reverse()) {
      place.unshift(flat % size);
      flat = Math.floor(flat / size);
    }
    return place.join(", ");
  }

  function nonfinite(output) {
    const found = output.nonfinite_values;
    if (!found || !(found.nan_measured || found.inf_measured || found.nan_reference || found.inf_reference)) return null;
    const places = found.positions.slice(0, 8).map(([sample, flat]) => `sample ${sample} [${coordinates(flat, output.shape)}]`);
    return H.el("p", {}, H.el("b", {}, `${output.index} ${output.name}`), ": ",
      `measured ${found.nan_measured} NaN, ${found.inf_measured} infinite; reference ${found.nan_reference} NaN, ${found.inf_reference} infinite`,
      places.length ? H.dim("; they first differ at ", places.join("; ")) : null);
  }

  function samples(outputs) {
    const each = outputs.filter((output) => output.per_sample?.length > 1);
    if (!each.length) return null;
    const rows = each.flatMap((output) => output.per_sample.map((row, sample) => ({ name: `${output.index} ${output.name}, sample ${sample}`, row })));
    const columns = columnsOf(rows.map(({ row }) => row));
    return H.el("details", { class: "numbers" }, H.el("summary", {}, `Each sample (${each[0].per_sample.length})`),
      H.folded(rows, 60, (some) => H.table(["output, sample", ...columns.map(([, head]) => head)], some.map(({ name, row }) => [name, ...figures(row, columns)]), "accuracy of each sample")));
  }

  function against(row) {
    const { reference, outputs } = row;
    const columns = columnsOf([row, ...outputs]);
    const name = [MEANING[reference.kind] ?? reference.kind, reference.device && reference.kind !== "same_device_cpu" && `on ${reference.device}`,
      reference.kernels && `${reference.kernels} kernels`, reference.runtime && `runtime ${reference.runtime}`].filter(Boolean).join(", ");
    const body = outputs.map((output) => [`${output.index} ${output.name}`, `${output.dtype} ${shape(output.shape)}`, ...figures(output, columns)]);
    if (outputs.length > 1) body.push([H.dim("worst"), "", ...figures(row, columns)]);
    const task = Object.entries(row.task ?? {}).map(([key, value]) => `${H.fmt.label(key)} ${share(value)}`);
    const below = [row.samples && count(row.samples, "input sample"), row.worst && `largest difference in output ${row.worst.output}, sample ${row.worst.sample}`, ...task].filter(Boolean);
    return H.part("Accuracy", [`against ${name} `, row.judged === false ? H.mark("not judged, for comparison") : null],
      reference.fallback_reason ? H.el("p", { class: "dim" }, reference.fallback_reason) : null,
      H.folded(body, 40, (some) => H.table(["output", { text: "type", class: "text" }, ...columns.map(([, head]) => head)], some, `accuracy of each output against ${name}`)),
      below.length ? H.el("p", { class: "dim" }, below.join(" · ")) : null,
      outputs.map(nonfinite), samples(outputs));
  }

  const BLAME = { delegate: "the delegate's error", model: "the model's error", both: "both are off", none: "no error" };
  function diagnosis(found) {
    if (!found) return null;
    return H.part("Whose error", "",
      H.el("p", {}, H.el("b", {}, BLAME[found.kind] ?? found.kind), found.words ? `: ${found.words}` : ""),
      H.pairs([["CPU, of range", found.cpu_max_abs_of_range !== null && share(found.cpu_max_abs_of_range)],
        ["this delegate", found.delegate_max_abs_of_range !== null && share(found.delegate_max_abs_of_range)]]));
  }

  // Pictures lie beside the page. One that is not there (a page sent alone) becomes its name.
  function pictures(row) {
    const paths = row.artifacts.filter((path) => /\.png$/i.test(path) && H.fileHref(path));
    if (!paths.length) return null;
    const order = (path) => ["reference", "device", "difference"].findIndex((word) => path.endsWith(`${word}.png`)) + 1 || 9;
    const folder = (path) => path.replace(/(reference|device|difference)[^/]*$/, "");
    paths.sort((one, two) => folder(one).localeCompare(folder(two)) || order(one) - order(two));
    return H.part("Pictures", "reference and device on one scale; magenta is not finite", H.folded(paths, 24, (some) => H.el("div", { class: "pictures" }, some.map((path) => {
      const name = path.split("/").pop();
      const image = H.el("img", { src: H.fileHref(path), alt: `${name.replace(/[_.-]+/g, " ").replace(/ png$/, "")} of ${row.model}`, loading: "lazy", decoding: "async" });
      image.addEventListener("error", () => image.replaceWith(H.dim("not beside this page")));
      return H.el("figure", {}, H.el("a", { href: H.fileHref(path) }, image), H.el("figcaption", {}, name));
    }))));
  }

  H.accuracy = (row) => [diagnosis(row.diagnosis), row.accuracy.map(against), pictures(row)];
})();
