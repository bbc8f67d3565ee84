// Charts. Chart.js is unpacked when the first one comes into view; each chart has its figures as a table, too.
H.chart = (() => {
  const live = new Set();
  let library = null;

  function load() {
    library ??= H.unpack(document.getElementById("chart-library").textContent).then((source) => {
      const script = document.createElement("script");
      script.textContent = source;
      document.head.append(script);
      script.remove();
      return window.Chart;
    });
    return library;
  }

  // What the style sheet says now: light, dark or paper.
  function colours() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    return {
      ink: colour("ink"), dim: colour("dim"), line: colour("line"), page: colour("page"),
      pass: colour("pass"), fail: colour("fail"), marginal: colour("marginal"),
      series: [1, 2, 3, 4].map((number) => colour(`series-${number}`)),
    };
  }

  function draw(Chart, entry) {
    entry.drawn?.destroy();
    const palette = colours();
    const { options = {}, ...config } = entry.config(palette);
    entry.drawn = new Chart(entry.canvas, {
      ...config,
      options: {
        animation: false, responsive: true, maintainAspectRatio: false, color: palette.ink,
        font: { family: getComputedStyle(document.body).fontFamily, size: 12 },
        ...options,
        plugins: { legend: { display: false }, ...options.plugins },
      },
    });
  }

  const seen = new IntersectionObserver((changes) => {
    for (const change of changes) {
      if (!change.isIntersecting) continue;
      seen.unobserve(change.target);
      const entry = [...live].find((one) => one.canvas.parentElement === change.target);
      if (entry) load().then((Chart) => { if (entry.canvas.isConnected) draw(Chart, entry); });
    }
  });

  // Charts whose place is gone give back their memory.
  function prune() {
    for (const entry of live) {
      if (entry.placed && !entry.canvas.isConnected) {
        entry.drawn?.destroy();
        live.delete(entry);
      }
    }
  }

  async function redraw() {
    prune();
    if (!library) return;
    const Chart = await library;
    for (const entry of live) if (entry.drawn) draw(Chart, entry);
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

  /**
   * A figure with a chart.
   * title: what it shows; label: the same with its main figures, for who cannot see it; caption: what to know about it.
   * config: function of the colours that returns Chart.js' configuration; table: {head, rows} with the figures as text; height: in pixels.
   */
  return ({ title, label, caption, config, table, height = 210 }) => {
    const canvas = H.el("canvas", { role: "img", "aria-label": label });
    const frame = H.el("div", { class: "chart", style: { height: `${height}px` } }, canvas);
    const entry = { canvas, config, drawn: null, placed: false };
    prune();
    live.add(entry);
    requestAnimationFrame(() => {
      entry.placed = true;
      seen.observe(frame);
    });
    return H.el("figure", { class: "charted" },
      H.el("figcaption", {}, H.el("b", {}, title), caption ? ` ${caption}` : ""),
      frame,
      table && H.el("details", { class: "numbers" }, H.el("summary", {}, "Figures as a table", H.el("span", { class: "unseen" }, `: ${title}`)), H.table(table.head, table.rows, title)));
  };
})();

// Options of an axis: faint lines, a title, and a writer for its values.
H.axis = (palette, title, write, more = {}) => ({
  title: { display: Boolean(title), text: title, color: palette.dim },
  grid: { color: palette.line, ...more.grid },
  border: { color: palette.line },
  ...more,
  ticks: { color: palette.dim, maxTicksLimit: 6, ...(write && { callback: (value) => write(value) }), ...more.ticks },
});
