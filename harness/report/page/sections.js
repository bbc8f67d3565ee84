// Below the matrix: what changed, what was not measured, waivers and health.
(() => {
  const MOST = 20;
  const { number } = H.fmt;
  const all = () => Array.from({ length: H.cells }, (_, index) => index);
  const name = (index) => H.cellLink(index, H.brief(index).model);
  const where = (cell) => [H.deviceLink(cell.device), H.dim(" : ", cell.delegate)];

  const CHANGES = [["WORSE", "Worse"], ["BETTER", "Better"], ["NEW", "New"], ["UNCOMPARABLE", "Not comparable"]];
  H.panel("changes", "Every change since the baseline", () => {
    if (!H.data.baseline) return null;
    const groups = new Map(CHANGES.map(([key]) => [key, []]));
    for (let index = 0; index < H.cells; index += 1) groups.get(H.data.changes[H.col.change[index]])?.push(index);
    const gone = H.data.baseline.gone ?? [];
    const detail = (index) => H.data.change_rows?.[index] ?? [];
    const times = (value) => (value ? `${number(value)}×` : H.fmt.nothing);
    const parts = CHANGES.filter(([key]) => groups.get(key).length).map(([key, title]) => {
      const size = (index) => Math.max(detail(index)[1] ?? 0, detail(index)[2] ?? 0);
      const list = groups.get(key).sort((one, two) => H.col.outcome[one] - H.col.outcome[two] || size(two) - size(one) || one - two);
      const fresh = key === "NEW";
      const head = ["model", { text: "where", class: "text" }, ...(fresh ? [] : [{ text: "before", class: "text" }]), { text: fresh ? "outcome" : "now", class: "text" },
        ...(fresh ? [] : ["latency", "error", { text: "what", class: "text wide" }])];
      const line = (index) => {
        const cell = H.brief(index);
        const [before, latency, accuracy, why] = detail(index);
        const now = H.outcome(cell.outcome, cell.waived);
        return [name(index), where(cell), ...(fresh ? [now] : [before ? H.outcome(before) : H.fmt.nothing, now, times(latency), times(accuracy), why ?? ""])];
      };
      const body = H.folded(list, MOST, (some) => H.table(head, some.map(line), `cells that are ${title.toLowerCase()}`));
      return key === "WORSE" || key === "BETTER" ? [H.el("h3", {}, title, H.el("small", {}, ` ${list.length}`)), body]
        : H.el("details", {}, H.el("summary", {}, `${title} (${list.length})`), body);
    });
    if (gone.length) {
      parts.push(H.el("details", {}, H.el("summary", {}, `Gone (${gone.length})`),
        H.folded(gone, MOST, (some) => H.el("ul", { class: "plain" }, some.map((id) => H.el("li", {}, id))))));
    }
    return [H.el("p", {}, `Compared with ${H.data.baseline.run ?? "the baseline"}. Latency and error: times what they were.`),
      parts.length ? parts : H.el("p", {}, "Every cell is as good as it was.")];
  });

  const UNMEASURED = new Set(["NOT_RUN", "TIMEOUT", "ERROR", "UNSUPPORTED"]);
  H.panel("not-run", "Not measured, and why", () => {
    const groups = new Map();
    for (const index of all()) {
      const outcome = H.OUTCOMES[H.col.outcome[index]];
      if (!UNMEASURED.has(outcome)) continue;
      const reason = H.data.texts[H.col.reason[index]] ?? "no reason was recorded";
      const key = `${outcome} ${reason}`;
      if (!groups.has(key)) groups.set(key, { outcome, reason, cells: [] });
      groups.get(key).cells.push(index);
    }
    if (!groups.size) return null;
    const list = [...groups.values()].sort((one, two) => H.OUTCOMES.indexOf(one.outcome) - H.OUTCOMES.indexOf(two.outcome) || two.cells.length - one.cells.length);
    return H.folded(list, MOST, (some) => H.table([{ text: "outcome", class: "text" }, "cells", { text: "reason", class: "text wide" }, { text: "which", class: "text" }],
      some.map((group) => [H.outcome(group.outcome), { text: String(group.cells.length) }, group.reason,
        H.folded(group.cells, 6, (cells) => H.el("ul", { class: "plain" }, cells.map((index) => H.el("li", {}, name(index), " ", where(H.brief(index))))))]),
      "cells that were not measured"));
  });

  const STATUS = { used: ["used", "marginal"], unused: ["not needed", "pass"], unmatched: ["matches nothing", "not_run"], untested: ["not tested", "not_run"], expired: ["expired", "fail"] };
  H.panel("waivers", "Waivers", () => {
    if (!H.data.waivers.length) return null;
    const order = ["expired", "unmatched", "used", "untested", "unused"];
    const list = [...H.data.waivers].sort((one, two) => order.indexOf(one.status) - order.indexOf(two.status));
    const ticket = (text) => (/^https:\/\//.test(text) ? H.el("a", { href: text, rel: "noreferrer noopener" }, text) : text);
    const scope = (one) => [["model", one.model], ["device", one.device], ["delegate", one.delegate], ["gate", one.gate]].filter(([, glob]) => glob && glob !== "*").map(([key, glob]) => `${key} ${glob}`).join(", ") || "everything";
    return H.folded(list, MOST, (some) => H.table(["waiver", ...["status", "owner", "reason", "ticket", "until", "covers", "cells"].map((text) => ({ text, class: ["reason", "cells"].includes(text) ? "text wide" : "text" }))],
      some.map((one) => {
        const [word, kind] = STATUS[one.status] ?? [one.status, ""];
        return [[one.id, " ", H.dim(one.origin)], H.el("b", { class: `outcome ${kind}` }, word), one.owner, one.reason, ticket(one.ticket), one.expires, scope(one),
          one.cells.length ? H.folded(one.cells, 4, (cells) => H.el("ul", { class: "plain" }, cells.map((id) => H.el("li", {}, H.index(id) < 0 ? id : H.cellLink(H.index(id), id.split("::").pop()))))) : "none"];
      }), "waivers"));
  });

  H.panel("health", "Health of the devices", () => {
    if (!H.data.health.length) return null;
    return H.folded(H.data.health, MOST, (some) => H.table([{ text: "device", class: "text" }, { text: "health", class: "text wide" }], some.map(({ device, ...rest }) =>
      [device ? H.deviceLink(device) : "lab", Object.entries(rest).map(([key, value]) => `${H.fmt.label(key)} ${H.fmt.fact(value, key)}`).join(", ")]), "health of the devices"));
  });
})();
