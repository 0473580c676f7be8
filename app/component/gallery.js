// The rows of the gallery: one button a run, with the accuracy of each as a small line, all on one scale. A click
// tells Python the run's id; every text is set as text, so that nothing of a run's name is ever read as markup.
const NS = "http://www.w3.org/2000/svg";
const WIDE = 96, HIGH = 30, EDGE = 4;

function text(className, value, label) {
  const element = document.createElement("span");
  element.className = className;
  element.textContent = value;
  if (label) element.dataset.label = label;
  return element;
}

function shape(tag, attributes) {
  const element = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function line(row, low) {
  const svg = shape("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, class: "curve", "aria-hidden": "true" });
  svg.append(shape("line", { x1: 0, x2: WIDE, y1: HIGH - 0.5, y2: HIGH - 0.5, class: "rule" }));
  const last = Math.max(1, row.tasks - 1);
  const points = row.curve.map((value, i) => [
    EDGE + (i / last) * (WIDE - 2 * EDGE), EDGE + (1 - (value - low) / Math.max(1e-9, 1 - low)) * (HIGH - 2 * EDGE),
  ]);
  if (points.length > 1) {
    svg.append(shape("polyline", { points: points.map((p) => p.map((v) => v.toFixed(1)).join(",")).join(" "),
      class: `line ${row.look} ${row.dash}` }));
  }
  const end = points.at(-1);
  if (end) svg.append(shape("circle", { cx: end[0].toFixed(1), cy: end[1].toFixed(1), r: 3, class: `mark ${row.look}` }));
  return svg;
}

function entry(row, data, choose) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "row";
  button.dataset.run = row.id;
  button.setAttribute("aria-pressed", String(row.id === data.chosen));
  button.setAttribute("aria-label", row.spoken);
  const name = document.createElement("span");
  name.className = "name";
  name.append(text("called", row.name), text("about", row.about));
  button.append(line(row, data.low), name);
  row.cells.forEach((cell, i) => button.append(text(`cell c${i}`, cell, data.columns[i])));
  button.onclick = () => choose(row.id);
  const item = document.createElement("li");
  item.append(button);
  return item;
}

export default function (component) {
  const { parentElement, data, setTriggerValue } = component;
  const root = parentElement.querySelector(".gallery");
  const focused = parentElement.activeElement?.dataset?.run;
  const head = document.createElement("div");
  head.className = "head";
  head.setAttribute("aria-hidden", "true");
  head.append(text("", data.first), text("", data.second), ...data.columns.map((name, i) => text(`cell c${i}`, name)));
  const list = document.createElement("ul");
  for (const row of data.rows) list.append(entry(row, data, (id) => setTriggerValue("chosen", id)));
  root.replaceChildren(head, list);
  if (focused) [...root.querySelectorAll("button")].find((button) => button.dataset.run === focused)?.focus();
}
