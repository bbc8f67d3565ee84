"use strict";
/* What every part of the page stands on: elements, numbers as text, outcomes, the address bar.
   Text of devices, models and users only ever becomes a text node or an attribute's value: nothing here parses HTML. */
const H = {};
/* Shown wherever scripts do not run: switched off, or forbidden by the place that the page is served from. */
document.getElementById("without-scripts").hidden = true;

(() => {
  const SAFE_LINK = /^(?!\/)(?!.*(?:^|\/)\.\.(?:\/|$))[^\\]*$/;

  /* An element. Attributes: `class`, `dataset: {...}`, `on: {click: f}`, `style: {...}` (through CSSOM, which the page's policy
     allows), booleans, else text. Children: elements, text, numbers, arrays of those; null, undefined and false are left out. */
  H.el = (tag, attributes, ...children) => {
    if (/^(script|iframe|object|embed|base|link|meta|style)$/i.test(tag)) throw new Error(`no <${tag}> from data`);
    const element = H.svg.has(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
      else if (name === "dataset") Object.assign(element.dataset, value);
      else if (name === "style") for (const [key, entry] of Object.entries(value)) element.style.setProperty(key, entry);
      else if (/^on/i.test(name)) throw new Error(`listeners go into "on", not ${name}`);
      else element.setAttribute(name, value === true ? "" : String(value));
    }
    H.append(element, children);
    return element;
  };
  H.svg = new Set(["svg", "path", "polyline", "circle", "rect", "line", "g", "text"]);
  H.append = (element, children) => {
    for (const child of children.flat(Infinity)) {
      if (child === null || child === undefined || child === false) continue;
      element.append(child instanceof Node ? child : String(child));
    }
    return element;
  };
  H.replace = (element, ...children) => { element.replaceChildren(); return H.append(element, children); };

  /* A relative link to a file beside the page; what leads elsewhere stays text. */
  H.fileHref = (path) => (path && SAFE_LINK.test(path) ? path.split("/").map(encodeURIComponent).join("/") : null);
  H.file = (path, text) => {
    const href = H.fileHref(path);
    return href ? H.el("a", { href }, text || path) : H.el("span", {}, text || path);
  };

  /* ---- Numbers as text; the same rules as harness/report/figures.py ---- */
  const NOTHING = "\u2013";
  const known = (value) => value !== null && value !== undefined && !Number.isNaN(value);
  const digits = (value) => {
    const rounded = Math.abs(Number(value.toPrecision(3)));
    return value.toFixed(rounded >= 100 ? 0 : rounded >= 10 ? 1 : rounded >= 1 ? 2 : 3);
  };
  const exponent = (value, decimals) => {
    const [mantissa, power] = value.toExponential(decimals).split("e");
    return `${mantissa}e${Number(power)}`;
  };
  const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
  const fmt = {
    nothing: NOTHING,
    count,
    us(value) {
      if (!known(value)) return NOTHING;
      for (const [scale, unit] of [[1, "\u00b5s"], [1e3, "ms"]]) {
        if (Number((value / scale).toPrecision(3)) < 1000) return `${digits(value / scale)}\u00a0${unit}`;
      }
      return `${digits(value / 1e6)}\u00a0s`;
    },
    ms: (value) => (known(value) ? digits(value / 1e3) : NOTHING),
    ratio(value) {
      if (!known(value)) return NOTHING;
      if (value > 0 && value < 0.0005) return "<0.001\u00d7";
      return `${value.toFixed(value >= 99.5 ? 0 : value >= 0.95 ? 1 : value >= 0.095 ? 2 : 3)}\u00d7`;
    },
    error(value) {
      if (!known(value)) return NOTHING;
      if (value === 0) return "0";
      const size = Math.abs(value);
      if (size >= 1e-2 && size < 1e3) return size < 99.5 ? String(Number(value.toPrecision(2))) : value.toFixed(0);
      return exponent(value, 1);
    },
    number(value) {
      if (!known(value)) return NOTHING;
      if (Number.isInteger(value) && Math.abs(value) < 1e6) return String(value);
      const size = Math.abs(value);
      return size !== 0 && (size < 1e-4 || size >= 1e3) ? exponent(value, 2).replace(/\.?0+e/, "e") : String(Number(value.toPrecision(3)));
    },
    share(value) {
      if (!known(value)) return NOTHING;
      const percent = value * 100;
      if (percent === 0) return "0%";
      if (percent < 1e-4) return "<0.0001%";
      if (percent >= 1e4) return `${fmt.error(percent)}%`;
      return `${percent.toFixed(Math.max(0, 1 - Math.floor(Math.log10(Number(percent.toPrecision(2))))))}%`;
    },
    bytes(value) {
      if (!known(value)) return NOTHING;
      let size = value, unit = 0;
      const units = ["B", "KiB", "MiB", "GiB"];
      while (Number(size.toPrecision(3)) >= 1000 && unit < 3) { size /= 1024; unit += 1; }
      return unit === 0 ? `${value}\u00a0B` : `${digits(size)}\u00a0${units[unit]}`;
    },
    seconds(value) {
      if (!known(value)) return NOTHING;
      const whole = Math.max(0, Math.ceil(value)), hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
      return hours ? `${hours}\u00a0h ${minutes}\u00a0min` : minutes ? `${minutes}\u00a0min ${whole % 60}\u00a0s` : `${whole}\u00a0s`;
    },
    short: (digest) => (digest ? (digest.length <= 12 ? digest : `${digest.slice(0, 12)}\u2026`) : NOTHING),
    shape: (shape) => (shape && shape.length ? shape.join("\u00d7") : "scalar"),
    /* Free-form fields (facts, device state): name without its unit, value with it. */
    label: (key) => key.replace(/_(bytes|us|s|percent|c|mhz)$/, "").replaceAll("_", " "),
    fact(value, key = "") {
      const unit = key === "sensors" || key.endsWith("_c") ? "\u00a0\u00b0C" : key.endsWith("_percent") ? "\u00a0%" : key.endsWith("_mhz") ? "\u00a0MHz" : "";
      if (!known(value)) return NOTHING;
      if (typeof value === "string") return value;
      if (Array.isArray(value)) return value.length ? value.map((entry) => fmt.fact(entry)).join(", ") + unit : NOTHING;
      if (typeof value === "object") {
        return Object.entries(value).map(([name, entry]) => `${fmt.label(name)} ${fmt.fact(entry, key === "sensors" ? key : name)}`).join(", ") || NOTHING;
      }
      if (typeof value === "number" && key.endsWith("_bytes")) return fmt.bytes(value);
      if (typeof value === "number" && key.endsWith("_us")) return fmt.us(value);
      if (typeof value === "number" && key.endsWith("_s")) return fmt.seconds(value);
      return `${value}${typeof value === "number" ? unit : ""}`;
    },
  };
  H.fmt = fmt;

  /* ---- Outcomes: a letter and a word, colour comes second. Worst first. ---- */
  H.OUTCOMES = ["FAIL", "ERROR", "TIMEOUT", "NOT_RUN", "UNSUPPORTED", "MARGINAL", "PASS"];
  H.LETTERS = { FAIL: "F", ERROR: "E", TIMEOUT: "T", NOT_RUN: "N", UNSUPPORTED: "U", MARGINAL: "M", PASS: "\u2713" };
  H.word = (outcome) => String(outcome).replaceAll("_", " ");
  H.outcome = (outcome, waived = false) => [
    H.el("b", { class: `outcome ${String(outcome).toLowerCase()}` },
      H.LETTERS[outcome] ? H.el("span", { class: "letter", "aria-hidden": "true" }, H.LETTERS[outcome]) : null, H.word(outcome)),
    waived ? [" ", H.mark("waived")] : null,
  ];
  H.mark = (text) => H.el("span", { class: "mark" }, text);

  /* ---- The address bar: #view=latency&q=pixel&cell=... keeps what is shown, so that a link can be sent ---- */
  const listeners = [];
  const parse = () => (location.hash.includes("=") ? Object.fromEntries(new URLSearchParams(location.hash.slice(1))) : {});
  let current = parse();
  H.route = () => ({ ...current });
  H.onRoute = (listener) => { listeners.push(listener); };
  const tell = H.tell = () => { for (const listener of listeners) listener(H.route()); };
  /* Changes some of the keys; null, "" and undefined remove one. `push`: the Back button leads back to what was there. */
  H.go = (changes, { push = false } = {}) => {
    const next = { ...current, ...changes };
    for (const key of Object.keys(next)) if (next[key] === null || next[key] === undefined || next[key] === "") delete next[key];
    const hash = `#${new URLSearchParams(next)}`;
    if (hash === `#${new URLSearchParams(current)}`) return;
    current = next;
    try {
      history[push ? "pushState" : "replaceState"](null, "", hash === "#" ? location.pathname + location.search : hash);
    } catch { location.hash = hash; }
    tell();
  };
  const follow = () => {
    if (location.hash && !location.hash.includes("=")) return;
    const before = new URLSearchParams(current).toString();
    current = parse();
    if (new URLSearchParams(current).toString() !== before) tell();
  };
  addEventListener("hashchange", follow);
  addEventListener("popstate", follow);
  const CLOSED = { cell: null, device: null, model: null };
  H.openCell = (index) => H.go({ ...CLOSED, cell: H.id(index) }, { push: true });
  H.close = () => H.go(CLOSED);
  /* Links that also work with the middle button, because they are addresses. */
  const link = (key, value, text, extra) => H.el("a", { ...extra, href: `#${new URLSearchParams({ [key]: value })}`, on: { click(event) {
    if (event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    H.go({ ...CLOSED, [key]: value }, { push: true });
  } } }, text ?? value);
  H.cellLink = (index, text, extra) => link("cell", H.id(index), text ?? H.id(index), extra);
  H.deviceLink = (name, text, extra) => link("device", name, text, extra);
  H.modelLink = (name, text, extra) => link("model", name, text, extra);

  /* ---- Panels: parts of the page below the matrix, drawn once the matrix is there. `render` returns content or null (no panel). ---- */
  H.panels = [];
  H.panel = (id, title, render) => { H.panels.push({ id, title, render }); };
})();
