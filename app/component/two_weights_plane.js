// The plane of the two weights: tinted contours, the axes of the valley, the step of a cut, and handles for hand and keys.
const SVG = "http://www.w3.org/2000/svg";
const LOW = -1, HIGH = 3;  // both weights
const SQUARE = 312, LEFT = 24, RIGHT = LEFT + SQUARE, TOP = 24, FOOT = TOP + SQUARE;  // pixels of the map
const WIDE = RIGHT + 4, HIGH_AS = FOOT + 36;
const LEVELS = Array.from({ length: 10 }, (_, i) => 10 ** (-2 + i / 2.25));  // 0.01 to 100 nats
const STEP = 0.1, FINE = 0.01;  // of an arrow key, and with Shift

const scale = SQUARE / (HIGH - LOW);
const toPixel = ([x, y]) => [LEFT + (x - LOW) * scale, FOOT - (y - LOW) * scale];
const toWeights = ([x, y]) => [LOW + (x - LEFT) / scale, LOW + (FOOT - y) / scale];
const within = (value) => Math.min(HIGH - 0.08, Math.max(LOW + 0.08, value));

function add_to(parent, tag, at = {}, text) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(at)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
}

function frame(svg, words) {
  for (const value of [-1, 0, 1, 2, 3]) {
    const [x, y] = toPixel([value, value]);
    add_to(svg, "text", { x, y: FOOT + 16, class: "tick", "text-anchor": "middle" }, String(value).replace("-", "−"));
    add_to(svg, "text", { x: LEFT - 7, y: y + 4, class: "tick", "text-anchor": "end" }, String(value).replace("-", "−"));
  }
  add_to(svg, "text", { x: RIGHT, y: FOOT + 33, class: "title", "text-anchor": "end" }, words.weight_1);
  add_to(svg, "text", { x: 0, y: 13, class: "title" }, words.weight_2);
}

const outline = (points) => `M${points.map((p) => toPixel(p).map((n) => n.toFixed(1)).join(" ")).join("L")}Z`;

function contours(group, valley) {
  group.replaceChildren();
  add_to(group, "rect", { x: LEFT, y: TOP, width: SQUARE, height: SQUARE, class: "band", style: "--share:1" });
  [...LEVELS].reverse().forEach((level, i) => {
    const share = (LEVELS.length - 1 - i) / LEVELS.length;
    add_to(group, "path", { d: outline(contour(valley, level)), class: "band", style: `--share:${share.toFixed(2)}` });
  });
}

function arrow(group, start, end, look, label) {
  const [a, b] = [toPixel(start), toPixel(end)];
  const size = Math.hypot(b[0] - a[0], b[1] - a[1]);
  if (size < 2) return;
  const way = [(b[0] - a[0]) / size, (b[1] - a[1]) / size];
  const neck = [b[0] - 13 * way[0], b[1] - 13 * way[1]];
  add_to(group, "path", { d: `M${a}L${neck}`, class: `step ${look}` });
  const wing = (side) => [neck[0] - 3 * way[0] - side * 6 * way[1], neck[1] - 3 * way[1] + side * 6 * way[0]];
  add_to(group, "path", { d: `M${[b[0] - 4 * way[0], b[1] - 4 * way[1]]}L${wing(1)}L${neck}L${wing(-1)}Z`, class: `arrowhead ${look}` });
  if (!label) return;
  const middle = [(a[0] + b[0]) / 2 - 13 * Math.abs(way[1]), (a[1] + b[1]) / 2 - 9 * Math.abs(way[0])];
  add_to(group, "text", { x: middle[0], y: middle[1] + 4, class: "lettering strong", "text-anchor": "middle" }, label);
}

function axis_of_valley(group, state, angle, label, far) {
  const way = [Math.cos(angle), Math.sin(angle)];
  const ends = [-8, 8].map((r) => toPixel([state.minimum[0] + r * way[0], state.minimum[1] + r * way[1]]));
  add_to(group, "path", { d: `M${ends[0]}L${ends[1]}`, class: "valley-axis" });
  const at = toPixel([state.minimum[0] + far * way[0], state.minimum[1] + far * way[1]]);
  add_to(group, "text", { x: at[0] + 6, y: at[1] - 6, class: "lettering" }, label);
}

function where_cuts_lead(group, state) {
  const zero = toPixel([0, 0]);
  const look = (cut) => (cut ? "weight-axis strong" : "weight-axis");
  add_to(group, "path", { d: `M${zero[0]} ${TOP}V${FOOT}`, class: look(state.cut[0]) });
  add_to(group, "path", { d: `M${LEFT} ${zero[1]}H${RIGHT}`, class: look(state.cut[1]) });
}

function dearest(group, state, known) {
  if (known.length < 0.02) return;
  const centre = toPixel(state.theta);
  add_to(group, "circle", { cx: centre[0], cy: centre[1], r: known.length * scale, class: "reach" });
  for (const side of [1, -1]) {
    const end = outOfValley(state, [side * known.length, 0]);
    const [x, y] = toPixel([state.theta[0] + end[0], state.theta[1] + end[1]]);
    add_to(group, "path", { d: `M${centre}L${x} ${y}`, class: "reach" });
    add_to(group, "path", { d: `M${x} ${y - 6}L${x + 6} ${y}L${x} ${y + 6}L${x - 6} ${y}Z`, class: "open purple" });
  }
}

function trail(group, state) {
  const ends = [0, 1].map((t) => settled(state, state.cut, t));
  add_to(group, "path", { d: `M${toPixel(ends[0])}L${toPixel(ends[1])}`, class: "trail" });
  const at_once = state.minimum.map((weight, i) => (state.cut[i] ? 0 : weight));
  const [x, y] = toPixel(at_once);
  add_to(group, "rect", { x: x - 5, y: y - 5, width: 10, height: 10, class: "open faint-mark" });
}

// A point that is moved by pointer and arrow keys; `moved(place)` is told where to.
function handle(svg, look, name, moved, shape) {
  const group = add_to(svg, "g", { class: `handle ${look}`, tabindex: 0, role: "slider", "aria-label": name });
  group.setAttribute("aria-valuemin", LOW);
  group.setAttribute("aria-valuemax", HIGH);
  add_to(group, "circle", { r: 19, class: "hit" });
  add_to(group, "circle", { r: 14, class: "ring" });
  add_to(group, ...shape);
  const to = (event) => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    return toWeights([at.x, at.y]);
  };
  group.onpointerdown = (event) => { group.setPointerCapture(event.pointerId); group.focus(); event.preventDefault(); };
  group.onpointermove = (event) => { if (group.hasPointerCapture(event.pointerId)) moved(to(event), null); };
  group.onkeydown = (event) => {
    const size = event.shiftKey ? FINE : STEP;
    const way = { ArrowLeft: [-size, 0], ArrowRight: [size, 0], ArrowUp: [0, size], ArrowDown: [0, -size] }[event.key];
    if (!way) return;
    event.preventDefault();
    moved(null, way);
  };
  return group;
}

function place(group, point, value, text) {
  group.setAttribute("transform", `translate(${toPixel(point).map((n) => n.toFixed(2)).join(" ")})`);
  group.setAttribute("aria-valuenow", value.toFixed(2));
  group.setAttribute("aria-valuetext", text);
}

const ARM = 1.15;  // how far from the minimum the valley is taken hold of

function handles(svg, data, state, changed) {
  const words = data.words;
  const move = (name, others) => (to, by) => {
    const old = state[name];
    const place = (to ?? [old[0] + by[0], old[1] + by[1]]).map((part) => within(Math.round(part * 100) / 100));
    for (const key of [name, ...others]) state[key] = [...place];
    changed();
  };
  const turn = (to, by) => {
    const arm = to && [to[0] - state.minimum[0], to[1] - state.minimum[1]];
    const angle = arm ? Math.atan2(arm[1], arm[0]) : state.angle + Math.sign(by[0] + by[1]) * (Math.PI / 180) * (Math.hypot(...by) / FINE / 2);
    state.angle = half_turn(angle);
    changed();
  };
  const made = {};
  if (data.handles.includes("turn")) {
    made.turn = handle(svg, "turn", words.turn, turn, ["circle", { r: 7, class: "knob" }]);
  }
  if (data.handles.includes("minimum")) {
    made.minimum = handle(svg, "minimum", words.minimum, move("minimum", []),
      ["path", { d: "M-7 -7L7 7M-7 7L7 -7", class: "saltire" }]);
  }
  if (data.handles.includes("theta")) {
    made.theta = handle(svg, "theta", words.theta, move("theta", data.joined ? ["minimum"] : []), ["circle", { r: 8.5, class: "knob" }]);
  }
  return made;
}

// An axis has no front and no back: angles from -90 to 90 degrees are enough.
const half_turn = (angle) => { const turned = ((angle % Math.PI) + Math.PI) % Math.PI; return turned > Math.PI / 2 ? turned - Math.PI : turned; };

// Builds the plane once; returns what draws it anew.
function plane(data, state, key, changed) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${WIDE} ${HIGH_AS}`);
  svg.setAttribute("role", "group");
  svg.setAttribute("aria-label", data.words.plane);
  const clip = add_to(add_to(svg, "defs"), "clipPath", { id: `plane-${key}` });
  add_to(clip, "rect", { x: LEFT, y: TOP, width: SQUARE, height: SQUARE });
  frame(svg, data.words);
  const inside = add_to(svg, "g", { "clip-path": `url(#plane-${key})` });
  const [hills, marks] = [add_to(inside, "g"), add_to(inside, "g")];
  const made = handles(svg, data, state, changed);
  const draw = (known) => {
    contours(hills, state);
    marks.replaceChildren();
    if (data.shows.includes("valley")) {
      axis_of_valley(marks, state, state.angle, data.words.sharp_axis, 1.45);
      axis_of_valley(marks, state, state.angle + Math.PI / 2, data.words.flat_axis, -0.6);
    }
    where_cuts_lead(marks, state);
    if (data.shows.includes("reach")) dearest(marks, state, known);
    if (data.shows.includes("trail")) trail(marks, state);
    const start = state.place ?? state.theta;
    const end = [start[0] + known.d[0], start[1] + known.d[1]];
    arrow(marks, start, end, "", known.length > 0.35 ? "d" : "");
    const [x, y] = toPixel(end);
    if (known.length > 0) add_to(marks, "text", { x: x + (state.cut[0] ? -9 : 9), y: y + 20, class: "lettering", "text-anchor": state.cut[0] ? "end" : "start" }, "θ + d");
    if (known.length > 0) add_to(marks, "rect", { x: x - 5.5, y: y - 5.5, width: 11, height: 11, class: "pruned-mark" });
    const [tx, ty] = toPixel(start);
    add_to(marks, "text", { x: tx + 12, y: ty - 10, class: "lettering strong" }, "θ");
    if (state.place) { const [px, py] = toPixel(state.place); add_to(marks, "circle", { cx: px, cy: py, r: 6, class: "trained" }); }
    const told = (point) => `${data.words.weight_1} ${number(point[0])}, ${data.words.weight_2} ${number(point[1])}; ${data.words.rise} ${number(known.rise)}`;
    if (made.theta) place(made.theta, state.theta, state.theta[0], told(state.theta));
    if (made.minimum) made.minimum.classList.toggle("beneath", Math.hypot(state.theta[0] - state.minimum[0], state.theta[1] - state.minimum[1]) < 0.04);
    if (made.minimum) place(made.minimum, state.minimum, state.minimum[0], told(state.minimum));
    const tip = [state.minimum[0] + ARM * Math.cos(state.angle), state.minimum[1] + ARM * Math.sin(state.angle)];
    if (made.turn) place(made.turn, tip.map(within), state.angle, `${Math.round(state.angle * 180 / Math.PI)}°; ${data.words.rise} ${number(known.rise)}`);
  };
  return [svg, draw];
}
