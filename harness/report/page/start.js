/* Brings the page to life, when the run is unpacked; without this, the page still holds the verdict and what is not passing. */
(async () => {
  const page = document.documentElement;
  try {
    await H.load();
  } catch (error) {
    page.dataset.state = "failed";
    document.getElementById("trouble").hidden = false;
    H.append(document.getElementById("trouble"), [` (${error.message || error})`]);
    return;
  }
  H.place();
  document.getElementById("interactive").hidden = false;
  H.startTools();
  H.startMatrix();
  H.startKeys();
  H.startPaper();
  const SHOWN = ["view", "q", "outcome", "on", "by", "of", "kind", "change", "only", "sort", "cols", "group"];
  let shown = null;
  H.onRoute((route) => {
    const wanted = JSON.stringify(SHOWN.map((key) => route[key] || ""));
    if (wanted === shown) return;
    shown = wanted;
    H.arrangeAndDraw();
    H.showTools();
  });
  H.tell();
  page.dataset.state = "ready";

  /* Panels come when the matrix is there and the browser has nothing better to do. */
  const later = window.requestIdleCallback || ((task) => setTimeout(task, 1));
  const waiting = [...H.panels];
  const next = async () => {
    const panel = waiting.shift();
    if (!panel) { page.dataset.panels = "ready"; return; }
    const content = await Promise.resolve().then(panel.render).catch((error) => H.el("p", { class: "trouble" }, `This part could not be drawn: ${error.message}`));
    if (content !== null && content !== undefined) {
      document.getElementById("panels").append(H.el("section", { id: panel.id, "aria-labelledby": `${panel.id}-title` }, H.el("h2", { id: `${panel.id}-title` }, panel.title), content));
    }
    later(next);
  };
  later(next);
})();
