// What the drawer says of one model: its tensors and operations, what GPUs take of it, and all its cells.
(() => {
  const { count, shape, bytes, short } = H.fmt;

  const tensors = (title, list) => H.part(title, String(list.length), H.folded(list, 12, (some) => H.table(["name", { text: "type", class: "text" }, { text: "shape", class: "text" }],
    some.map((one) => [one.name, one.dtype, shape(one.shape)]), title.toLowerCase())));

  function operations(model) {
    const list = [...model.ops].sort((one, two) => two.count - one.count);
    const nodes = list.reduce((sum, op) => sum + op.count, 0);
    return H.part("Operations", `${count(nodes, "node")}, ${count(list.length, "kind")}`,
      H.folded(list, 15, (some) => H.table(["operation", "version", "nodes"], some.map((op) => [op.name, String(op.version), String(op.count)]), "operations")));
  }

  H.show = { ...H.show, model(name) {
    const model = H.model(name);
    if (!model) return null;
    const indexes = H.worstFirst(H.where({ model: name }));
    return {
      title: name, where: ["model · ", model.task],
      ...H.beside("model", H.data.models.map((one) => one.name), name),
      content: [
        H.el("p", { class: "lead" }, H.tally(indexes)),
        H.part("File", "", H.pairs([["size", bytes(model.bytes)], ["SHA-256", H.el("code", { title: model.sha256 }, short(model.sha256))], ["task", model.task], ["inputs from", model.input_source]])),
        H.el("div", { class: "pair" }, tensors("Inputs", model.inputs), tensors("Outputs", model.outputs)),
        operations(model),
        (model.compatibility ?? []).map((found) => H.part("Compatibility", `profile ${found.profile}`, H.prediction(found))),
        H.part("Cells", `${indexes.length}, worst first`, H.cellTable(indexes, `cells of ${name}`, [["device", (cell) => H.cellLink(cell.index, cell.device)], ["delegate", (cell) => cell.delegate]])),
      ],
    };
  } };
})();
