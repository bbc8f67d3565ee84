// The drawer: a dialog for a cell, a device or a model, as the address says. The browser keeps the focus inside and gives it back.
(() => {
  const KINDS = ["cell", "device", "model"];
  const title = H.el("h2", { id: "drawer-title", tabindex: "-1", autofocus: true });
  const where = H.el("p", { class: "where" });
  const place = H.el("span", { class: "dim" });
  const body = H.el("div", { class: "drawer-body", tabindex: "0", role: "region", "aria-labelledby": "drawer-title" });
  const button = (text, label, click, more) => H.el("button", { type: "button", "aria-label": label, title: label, on: { click }, ...more }, text);
  const steps = { previous: null, next: null };
  const step = (name) => { if (steps[name]) H.go(steps[name]); };
  const previous = button("‹", "Previous (left arrow)", () => step("previous"));
  const next = button("›", "Next (right arrow)", () => step("next"));
  const dialog = H.el("dialog", { class: "drawer", "aria-labelledby": "drawer-title" },
    H.el("header", {}, H.el("div", {}, title, where), H.el("nav", { "aria-label": "in the drawer" }, place, previous, next, button("✕", "Close (Escape)", () => H.close()))),
    body);
  let shown = null;
  let opener = null;

  dialog.addEventListener("cancel", (event) => {
    event.preventDefault();
    H.close();
  });
  dialog.addEventListener("close", () => { if (shown) H.close(); });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) H.close(); });
  dialog.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest(".scroll, pre, input, textarea, select")) return;
    if (event.key === "ArrowLeft") step("previous");
    else if (event.key === "ArrowRight") step("next");
    else return;
    event.preventDefault();
  });

  function close() {
    const last = shown;
    shown = null;
    if (!dialog.open) return;
    dialog.close();
    H.replace(body);
    if (opener !== document.body && opener?.isConnected) opener.focus();
    else if (last?.startsWith("cell=")) H.focusCell(H.index(last.slice(5)));
  }

  async function show(kind, name) {
    const wanted = `${kind}=${name}`;
    if (shown === wanted) return;
    if (shown === null) opener = document.activeElement;
    shown = wanted;
    const found = await (async () => H.show[kind](name))().catch((error) => ({ title: name, where: [], content: [H.el("p", {}, `This cannot be shown: ${error.message}`)] }));
    if (shown !== wanted) return; // the reader went on meanwhile
    const { content, ...head } = found ?? { title: name, where: [], content: [H.el("p", {}, `This report has no ${kind} of this name.`)] };
    Object.assign(steps, { previous: head.previous ?? null, next: head.next ?? null });
    H.replace(title, head.title);
    H.replace(where, head.where);
    H.replace(place, head.place ?? "");
    previous.disabled = !steps.previous;
    next.disabled = !steps.next;
    H.replace(body, content);
    body.scrollTop = 0;
    if (dialog.open) {
      if (!dialog.contains(document.activeElement) || document.activeElement.disabled) title.focus();
    } else {
      dialog.showModal();
    }
  }

  document.body.append(dialog);
  H.onRoute((route) => {
    const kind = KINDS.find((one) => route[one] !== undefined);
    if (kind) show(kind, route[kind]);
    else close();
  });
})();
