// Of one cell: how its latency is distributed, how it went run by run, and since when it is so.
(() => {
  const MOST_DOTS = 2000;
  const sorted = (values) => Float64Array.from(values).sort();
  const at = (values, share) => {
    const place = share * (values.length - 1);
    const low = Math.floor(place);
    return values[low] + (place - low) * (values[Math.min(low + 1, values.length - 1)] - values[low]);
  };
  const temperature = (state) => state?.temperature_c ?? state?.battery_temperature_c ?? null;

  // Where the scale ends: a few runs far beyond the rest must not squash it.
  function ceiling(values) {
    const [low, p90, high] = [values[0], at(values, 0.9), values[values.length - 1]];
    return p90 > low ? Math.min(high, p90 + 3 * (p90 - low)) : high;
  }

  // Freedman and Diaconis' width of a bin, between 8 and 48 bins.
  function bins(values) {
    const low = values[0];
    const high = ceiling(values);
    const width = 2 * (at(values, 0.75) - at(values, 0.25)) / Math.cbrt(values.length);
    const count = high > low ? Math.min(48, Math.max(8, Math.ceil((high - low) / (width || (high - low) / 12)))) : 1;
    const step = (high - low) / count || 1;
    const counts = new Array(count).fill(0);
    let beyond = 0;
    for (const value of values) {
      if (value > high) beyond += 1;
      else counts[Math.min(count - 1, Math.floor((value - low) / step))] += 1;
    }
    return { low, step, counts, beyond };
  }

  // Lines across a chart at some values of its x axis, with words above it where there is room.
  const lines = (marks) => ({
    id: "lines",
    afterDatasetsDraw(chart) {
      const { ctx, chartArea: area, scales: { x } } = chart;
      let free = -Infinity;
      ctx.save();
      ctx.font = Chart.helpers.toFont(chart.options.font).string;
      for (const { value, colour, text, dash = [], line = 0 } of marks) {
        const place = x.getPixelForValue(value);
        if (!(place >= area.left && place <= area.right)) continue;
        const width = ctx.measureText(text).width;
        const start = Math.min(Math.max(place - width / 2, area.left), area.right - width);
        ctx.strokeStyle = ctx.fillStyle = colour;
        ctx.setLineDash(dash);
        ctx.beginPath();
        ctx.moveTo(place, area.top - 14 * line);
        ctx.lineTo(place, area.bottom);
        ctx.stroke();
        if (line === 0 && start < free) continue;
        if (line === 0) free = start + width + 6;
        ctx.fillText(text, start, area.top - 4 - 14 * line);
      }
      ctx.restore();
    },
  });

  function distribution(latency, values) {
    const { low, step, counts, beyond } = bins(values);
    const { us } = H.fmt;
    return H.chart({
      title: "Distribution",
      caption: `${H.fmt.count(latency.count, "timed run")}${values.length < latency.count ? `, ${values.length.toLocaleString("en")} of them here` : ""}${beyond ? `; ${beyond} beyond the scale, the slowest ${us(latency.max_us)}` : ""}`,
      label: `Distribution of ${latency.count} timed runs from ${us(latency.min_us)} to ${us(latency.max_us)}, median ${us(latency.median_us)}` +
        (latency.p90_us === null ? "" : `, 90th percentile ${us(latency.p90_us)}`),
      table: {
        head: ["from", "to", "runs"],
        rows: [...counts.map((count, number) => [us(low + number * step), us(low + (number + 1) * step), String(count)]),
          ...(beyond ? [[us(low + counts.length * step), us(latency.max_us), String(beyond)]] : [])],
      },
      config: (palette) => ({
        type: "bar",
        data: { datasets: [{
          data: counts.map((count, number) => ({ x: low + (number + 0.5) * step, y: count })),
          backgroundColor: palette.series[0], barPercentage: 1, categoryPercentage: 0.94,
        }] },
        options: {
          parsing: false,
          layout: { padding: { top: 30 } },
          scales: {
            x: H.axis(palette, "", us, { type: "linear", min: low, max: low + counts.length * step, offset: false, grid: { display: false } }),
            y: H.axis(palette, "runs", null, { beginAtZero: true, ticks: { precision: 0 } }),
          },
          plugins: { tooltip: { callbacks: {
            title: ([item]) => `${us(low + item.dataIndex * step)} to ${us(low + (item.dataIndex + 1) * step)}`,
            label: (item) => H.fmt.count(counts[item.dataIndex], "run"),
          } } },
        },
        plugins: [lines([
          { value: latency.median_us, colour: palette.ink, line: 1, text: `median ${us(latency.median_us)}` },
          ...(latency.p90_us === null ? [] : [{ value: latency.p90_us, colour: palette.dim, dash: [4, 3], text: `p90 ${us(latency.p90_us)}` }]),
        ])],
      }),
    });
  }

  // Every run in the order it ran; degrees where a round began, and after the last one.
  function trace(row) {
    const { latency } = row;
    const { us } = H.fmt;
    const rounds = latency.rounds.filter((round) => round.samples_us.length);
    const total = rounds.reduce((sum, round) => sum + round.samples_us.length, 0);
    const stride = Math.ceil(total / MOST_DOTS);
    const step = Math.round(latency.count / total); // more than 1 where the page holds only every nth run
    const values = sorted(rounds.flatMap((round) => round.samples_us));
    const high = ceiling(values);
    const beyond = values.length - values.filter((value) => value <= high).length;
    const dots = [];
    const degrees = [];
    const starts = [];
    let run = 0;
    for (const round of rounds) {
      starts.push(run);
      const celsius = temperature(round.device_state);
      if (celsius !== null) degrees.push({ x: run, y: celsius });
      for (const sample of round.samples_us) {
        if (run % (stride * step) === 0) dots.push({ x: run, y: Math.min(sample, high), true_us: sample });
        run += step;
      }
    }
    const last = temperature(row.device_state?.after);
    if (degrees.length && last !== null) degrees.push({ x: run, y: last });
    const warmth = degrees.length ? `, ${degrees[0].y} °C at the start, ${degrees[degrees.length - 1].y} °C at the end` : "";
    const rows = rounds.map((round) => {
      const values = sorted(round.samples_us);
      const celsius = temperature(round.device_state);
      return [`${round.round}`, `${values.length}`, us(values[0]), us(at(values, 0.5)), us(at(values, 0.9)), us(values[values.length - 1]), ...(degrees.length ? [celsius === null ? "–" : `${celsius} °C`] : [])];
    });
    return H.chart({
      title: "Run by run",
      caption: `${H.fmt.count(rounds.length, "round")}${degrees.length ? "; line: temperature" : ""}${beyond ? `; ${beyond} beyond the scale, drawn at its edge` : ""}${stride * step > 1 ? `; one dot per ${stride * step} runs` : ""}`,
      label: `Latency of ${H.fmt.count(latency.count, "timed run")} in the order they ran, ${H.fmt.count(rounds.length, "round")}${warmth}; the table has each round's figures`,
      table: { head: ["round", "runs", "min", "median", "p90", "max", ...(degrees.length ? ["at its start"] : [])], rows },
      config: (palette) => ({
        type: "scatter",
        data: { datasets: [
          { label: "latency", data: dots, pointRadius: dots.length > 300 ? 2 : 3, pointHoverRadius: 5, backgroundColor: palette.series[0], borderWidth: 0, clip: 6 },
          ...(degrees.length ? [{ label: "temperature", type: "line", yAxisID: "celsius", data: degrees, borderColor: palette.series[1], backgroundColor: palette.series[1], borderWidth: 2, pointRadius: 3, stepped: false }] : []),
        ] },
        options: {
          parsing: false,
          layout: { padding: { top: 16 } },
          scales: {
            x: H.axis(palette, "run", null, { min: 0, max: run, grid: { display: false }, ticks: { precision: 0 } }),
            y: H.axis(palette, "", us),
            ...(degrees.length && { celsius: H.axis(palette, "°C", (value) => value.toFixed(1), { position: "right", grace: "20%", grid: { display: false }, title: { display: true, text: "°C", color: palette.series[1] } }) }),
          },
          plugins: { tooltip: { callbacks: {
            label: ({ raw, dataset }) => dataset.yAxisID ? `${raw.y} °C` : `run ${raw.x + 1}: ${us(raw.true_us)}`,
          } } },
        },
        plugins: [lines(starts.slice(1).map((value, number) => ({ value: value - 0.5, colour: palette.dim, dash: [2, 3], text: `round ${rounds[number + 1].round}` })))],
      }),
    });
  }

  // Runs before this one: row.history where it is, else the two points that the comparison with the baseline gives.
  function history(row) {
    const now = { run: H.data.run.id, outcome: row.outcome, median_us: row.latency?.median_us ?? null };
    const before = row.regression?.latency_ratio && row.latency
      ? [{ run: H.data.baseline?.run ?? "baseline", outcome: row.regression.outcome_before, median_us: row.latency.median_us / row.regression.latency_ratio }]
      : [];
    const points = row.history?.length ? [...row.history, now] : before.length ? [...before, now] : [];
    if (points.length < 2) return null;
    const { us } = H.fmt;
    const known = points.filter((point) => point.median_us);
    return H.chart({
      title: "History",
      caption: `median of ${H.fmt.count(points.length, "run")}, this one last`,
      label: `Median latency over ${points.length} runs: ${known.map((point) => us(point.median_us)).join(", ")}`,
      height: 130,
      table: { head: ["run", { text: "outcome", class: "text" }, "median"], rows: points.map((point) => [point.run, point.outcome ?? "–", us(point.median_us ?? null)]) },
      config: (palette) => ({
        type: "line",
        data: { labels: points.map((point) => point.run), datasets: [{
          data: points.map((point) => point.median_us), borderColor: palette.series[0], spanGaps: true, borderWidth: 2, pointRadius: points.map((_, number) => number === points.length - 1 ? 5 : 3),
          pointBackgroundColor: points.map((point) => ["PASS", "MARGINAL"].includes(point.outcome) ? palette.series[0] : palette.fail),
        }] },
        options: {
          layout: { padding: { left: 6, right: 6 } },
          scales: { x: { display: false }, y: H.axis(palette, "", (value) => (value ? us(value) : "0"), { beginAtZero: true, ticks: { maxTicksLimit: 3 } }) },
          plugins: { tooltip: { callbacks: { label: (item) => `${points[item.dataIndex].outcome ?? ""} ${us(item.raw)}` } } },
        },
      }),
    });
  }

  // The cell that a speed-up is taken over, by its delegate.
  const over = (id) => (H.index(id) < 0 ? id : H.cellLink(H.index(id), H.brief(H.index(id)).delegate));

  function figures(row) {
    const { latency } = row;
    const { us, ratio, bytes } = H.fmt;
    return H.pairs([
      ["median", latency && [us(latency.median_us), " ", H.dim(`(${us(latency.median_ci95_us[0])} to ${us(latency.median_ci95_us[1])})`)]],
      ["p90, p99", latency && latency.p90_us !== null && `${us(latency.p90_us)}, ${us(latency.p99_us)}`],
      ["min, max", latency && `${us(latency.min_us)}, ${us(latency.max_us)}`],
      ["mean, deviation", latency?.count > 1 && `${us(latency.mean_us)}, ${us(latency.stdev_us)}`],
      ["first run", latency && latency.first_us !== null && [us(latency.first_us), " ", H.dim(latency.start)]],
      ["initialisation", latency && latency.init_us !== null && us(latency.init_us)],
      ["timed", latency?.scope],
      ["speed-up", row.speedup && [ratio(row.speedup.value), " ", H.dim(`(${ratio(row.speedup.ci95[0])} to ${ratio(row.speedup.ci95[1])}) over `, over(row.speedup.over))]],
      ["peak memory", row.memory && bytes(row.memory.peak_rss_bytes)],
    ].map(([name, value]) => [name, value || null]));
  }

  // Rounds of a runner that keeps no single runs.
  function stated(latency) {
    const rounds = latency.rounds.filter((round) => round.summary);
    const { us } = H.fmt;
    return rounds.length ? [
      H.el("p", { class: "dim" }, "The runner keeps no single runs. It states of each round:"),
      H.table(["round", "runs", "min", "p5", "median", "p95", "max"],
        rounds.map(({ round, summary: one }) => [`${round}`, `${one.count}`, us(one.min_us), us(one.p5_us), us(one.median_us), us(one.p95_us), us(one.max_us)]), "stated latencies"),
    ] : [];
  }

  H.latency = (row) => {
    if (!row.latency) return null;
    const values = sorted(row.latency.rounds.flatMap((round) => round.samples_us));
    return H.part("Latency", row.validity.void ? "void: not to be used" : "",
      H.el("div", { class: "charts" },
        values.length > 1 ? distribution(row.latency, values) : null,
        values.length > 1 ? trace(row) : null,
        history(row),
        figures(row)),
      ...stated(row.latency));
  };
})();
