// One live figure of the lesson: the plane, the charts beside it, the controls, the numbers. All of it answers here, in
// the browser; Python says how the figure starts and what is written on it, and hears of nothing.
const SLIDERS = {  // name -> [lowest, highest, step], of the decimal logarithm for the eigenvalues
  sharp: [-1, 1.3, 0.05], flat: [-2, 1.3, 0.05], angle: [-90, 90, 1], beta: [2, 40, 1], shrunk: [0, 1, 0.02],
};
const READ = {
  sharp: (state) => Math.log10(state.sharp), flat: (state) => Math.log10(state.flat),
  angle: (state) => state.angle * 180 / Math.PI, beta: (state) => state.beta, shrunk: (state) => state.shrunk,
};
const WRITE = {
  sharp: (state, value) => { state.sharp = 10 ** value; state.flat = Math.min(state.flat, state.sharp); },
  flat: (state, value) => { state.flat = 10 ** value; state.sharp = Math.max(state.flat, state.sharp); },
  angle: (state, value) => { state.angle = value * Math.PI / 180; },
  beta: (state, value) => { state.beta = value; },
  shrunk: (state, value) => { state.shrunk = value; },
};
const WRITTEN = {
  sharp: (state) => number(state.sharp), flat: (state) => number(state.flat),
  angle: (state) => `${Math.round(state.angle * 180 / Math.PI)}°`.replace("-", "−"), beta: (state) => number(state.beta),
  shrunk: (state) => `${Math.round(100 * state.shrunk)}\u00a0%`,
};

function make(tag, look, text) {
  const element = document.createElement(tag);
  if (look) element.className = look;
  if (text !== undefined) element.textContent = text;
  return element;
}

function knob(name, data, state, changed) {
  const [label, value, input] = [make("label", "knob-row"), make("b"), make("input")];
  const [min, max, step] = SLIDERS[name];
  Object.assign(input, { type: "range", min, max, step });
  input.setAttribute("aria-label", data.words[`slider_${name}`]);
  input.addEventListener("input", () => { WRITE[name](state, Number(input.value)); changed(); });
  label.append(make("span", "", data.words[`slider_${name}`]), value, input);
  const draw = () => {
    input.value = READ[name](state);
    value.textContent = WRITTEN[name](state);
    input.setAttribute("aria-valuetext", value.textContent);
    if (name === "beta") label.hidden = state.shape !== "bends";
  };
  return [label, draw];
}

function choices(name) {
  const group = make("div", "choices");
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", name);
  group.append(make("span", "", name));
  return group;
}

function cuts(data, state, changed) {
  const group = choices(data.words.cut);
  const boxes = [0, 1].map((weight) => {
    const [label, input] = [make("label"), make("input")];
    input.type = "checkbox";
    input.addEventListener("change", () => { state.cut[weight] = input.checked; changed(); });
    label.append(input, make("span", "", data.words[`weight_${weight + 1}`]));
    group.append(label);
    return input;
  });
  return [group, () => boxes.forEach((box, weight) => { box.checked = state.cut[weight]; })];
}

function shapes(data, state, key, changed) {
  const group = choices(data.words.shape);
  const buttons = data.shapes.map((shape) => {
    const [label, input] = [make("label"), make("input")];
    Object.assign(input, { type: "radio", name: `shape-${key}`, value: shape });
    input.addEventListener("change", () => { state.shape = shape; changed(); });
    label.append(input, make("span", "", data.words[`shape_${shape}`]));
    group.append(label);
    return input;
  });
  return [group, () => buttons.forEach((button) => { button.checked = button.value === state.shape; })];
}

const SHARES = new Set(["in_sharp", "saved"]);

// The cut, weight by weight: theta, mask and displacement as columns.
function columns(data) {
  const table = make("table");
  const head = make("tr");
  for (const name of ["", "θ", "m", "d"]) head.append(make("th", "", name));
  const cells = [1, 2].map((weight) => {
    const row = make("tr");
    const found = [0, 1, 2].map(() => make("td"));
    row.append(make("th", "", data.words[`weight_${weight}`]), ...found);
    table.append(row);
    return found;
  });
  table.prepend(head);
  const draw = (known, state) => cells.forEach((row, i) => {
    row[0].textContent = number(state.theta[i]);
    row[1].textContent = state.cut[i] ? "0" : "1";
    row[2].textContent = number(known.d[i]);
  });
  return [table, draw];
}

function numbers(data) {
  const list = make("dl");
  const values = data.numbers.map((name) => {
    const [item, value] = [make("div"), make("dd")];
    item.append(value, make("dt", "", data.words[name]));
    list.append(item);
    return [name, value];
  });
  return [list, (known) => values.forEach(([name, value]) => {
    value.textContent = SHARES.has(name) ? `${Math.round(100 * known[name])}\u00a0%`.replace("-", "−") : number(known[name]);
  })];
}

// With SDP, what training pays and what the cut then pays, beside a cut at once.
function with_sdp(state) {
  state.place = settled(state, state.cut, state.shrunk);
  const known = cost(state, state.place, state.cut);
  const at_once = cost(state, state.minimum, state.cut);
  return { ...known, at_once: at_once.rise, training: known.before, at_cut: known.rise, total: known.after,
    saved: at_once.rise > 0 ? 1 - known.after / at_once.rise : 0 };
}

function build(root, data, state) {
  const draws = [];
  let waiting = 0;
  const show = () => {
    waiting = 0;
    const known = data.shows.includes("trail") ? with_sdp(state) : cost(state, state.theta, state.cut);
    for (const draw of draws) draw(known, state);
  };
  const changed = () => { waiting ||= requestAnimationFrame(show); };
  const put = (parent, [element, draw]) => { parent.append(element); draws.push(draw); };
  const [board, side, controls, knobs, last] = ["board", "side", "controls", "knobs", "last"].map((look) => make("div", look));
  put(board, plane(data, state, data.key, changed));
  if (data.shows.includes("columns")) put(side, columns(data));
  if (data.shows.includes("way")) { put(side, way(data)); side.append(key(data)); }
  if (data.bars.length) put(side, bars(data));
  for (const name of data.sliders) put(knobs, knob(name, data, state, changed));
  put(last, cuts(data, state, changed));
  if (data.shapes.length) put(controls, shapes(data, state, data.key, changed));
  const again = make("button", "save", data.words.again);
  again.type = "button";
  again.onclick = () => { Object.assign(state, structuredClone(data.start)); changed(); };
  last.append(again);
  controls.append(knobs, last);
  board.append(side);
  const [list, tell] = numbers(data);
  draws.push(tell);
  root.replaceChildren(board);
  (data.shapes.length ? root : side).append(controls, list);
  show();
}

export default function (component) {
  const root = component.parentElement.querySelector(".lesson");
  const given = JSON.stringify(component.data);
  if (root.given === given) return;  // the page was drawn anew; what the reader has moved stays
  const start = JSON.stringify(component.data.start);
  const state = root.start === start ? root.state : structuredClone(component.data.start);
  Object.assign(root, { given, start, state });
  build(root, component.data, state);
}
