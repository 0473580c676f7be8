// Draws figures from plain data: an SVG a figure, built node by node, so that no text is ever read as markup.
// Where the figures depend on a level (the sparsity), a slider moves them here, in the browser; Python hears of the
// level when the slider is released.
const NS = "http://www.w3.org/2000/svg";
const TAGS = new Set(["g", "path", "rect", "circle", "line", "text", "tspan", "polygon", "image"]);
const ATTRIBUTES = new Set([
  "d", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "rx", "width", "height", "points", "transform", "class",
  "fill", "opacity", "text-anchor", "dominant-baseline", "href", "preserveAspectRatio", "font-size",
]);

function node(mark, animated) {
  if (!TAGS.has(mark.tag)) return null;
  const element = document.createElementNS(NS, mark.tag);
  for (const [name, value] of Object.entries(mark.at ?? {})) {
    if (!ATTRIBUTES.has(name)) continue;
    if (name === "href" && !String(value).startsWith("data:image/png;base64,")) continue;
    element.setAttribute(name, value);
  }
  for (const name of ["hue", "share"]) {
    if (mark[name] !== undefined) element.style.setProperty(`--${name}`, Number(mark[name]));
  }
  if (mark.text !== undefined) element.textContent = mark.text;
  if (mark.tip) element.dataset.tip = mark.tip;
  if (mark.pick !== undefined) element.dataset.pick = Number(mark.pick);
  if (mark.item !== undefined) element.dataset.item = Number(mark.item);
  if (mark.frames) animated.push([element, mark.frames]);
  if (mark.cells) {
    element.cells = cells(mark.cells);
    animated.push([element, {}]);
  }
  for (const child of mark.marks ?? []) {
    const inner = node(child, animated);
    if (inner) element.append(inner);
  }
  return element;
}

function graph(drawing, animated) {
  const svg = document.createElementNS(NS, "svg");
  svg.setAttribute("viewBox", `0 0 ${drawing.width} ${drawing.height}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", drawing.alt ?? "");
  if (drawing.alts) animated.push([svg, { "aria-label": drawing.alts }]);
  if (drawing.lasso) svg.dataset.lasso = "";
  for (const mark of drawing.marks) {
    const element = node(mark, animated);
    if (element) svg.append(element);
  }
  return svg;
}

function figure(drawing, animated, texts) {
  const box = document.createElement("figure");
  box.style.setProperty("--basis", `${drawing.basis ?? drawing.width}px`);
  box.style.setProperty("--width", drawing.width);
  const svg = graph(drawing, animated);
  box.append(svg);
  if (drawing.caption) {
    const caption = document.createElement("figcaption");
    caption.textContent = drawing.caption;
    box.append(caption);
  }
  if (drawing.save) box.append(saver(svg, drawing, texts.save));
  return box;
}

const STYLES = [
  "fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin", "stroke-linecap", "opacity",
  "font-family", "font-size", "font-weight", "font-style", "paint-order", "visibility",
];
const TWICE = 2;  // for print: twice the pixels of the screen

const EDGE = 14;  // around a picture, and between a figure and its key

// What is on the screen, theme and all: styles live in the page, so they are written into a copy first.
async function image(svg) {
  const copy = svg.cloneNode(true);
  const [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
  const originals = [svg, ...svg.querySelectorAll("*")];
  [copy, ...copy.querySelectorAll("*")].forEach((element, i) => {
    const style = getComputedStyle(originals[i]);
    for (const name of STYLES) element.style.setProperty(name, style.getPropertyValue(name));
  });
  copy.setAttribute("width", width);
  copy.setAttribute("height", height);
  const found = new Image();
  found.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(new XMLSerializer().serializeToString(copy));
  await found.decode();
  return { found, width, height };
}

// A figure, and below it what stands elsewhere on the page: the key of its marks, the source of published ones.
async function picture(svgs) {
  const parts = await Promise.all(svgs.map(image));
  const width = Math.max(...parts.map((part) => part.width)) + 2 * EDGE;
  const height = parts.reduce((sum, part) => sum + part.height + EDGE, EDGE);
  const canvas = document.createElement("canvas");
  canvas.width = width * TWICE;
  canvas.height = height * TWICE;
  const brush = canvas.getContext("2d");
  brush.scale(TWICE, TWICE);
  brush.fillStyle = getComputedStyle(svgs[0].closest(".drawings")).getPropertyValue("--st-background-color") || "#fff";
  brush.fillRect(0, 0, width, height);
  let y = EDGE;
  for (const part of parts) {
    brush.drawImage(part.found, EDGE, y);
    y += part.height + EDGE;
  }
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

// Out of sight and in the page, where styles are.
function unseen(drawing, svg) {
  const place = document.createElement("div");
  place.setAttribute("aria-hidden", "true");
  place.style.cssText = "position: fixed; left: -9999px";
  place.append(graph(drawing, []));
  svg.after(place);
  return place;
}

function saver(svg, drawing, label) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "save";
  button.textContent = label;
  button.setAttribute("aria-label", `${label}: ${drawing.save}`);
  button.onclick = async () => {
    const below = [drawing.key, drawing.source].filter(Boolean).map((part) => unseen(part, svg));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await picture([svg, ...below.map((place) => place.firstChild)]));
    below.forEach((place) => place.remove());
    link.download = `${drawing.save}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  return button;
}

function show(animated, index) {
  for (const [element, frames] of animated) {
    if (element.cells) paint(element, index);
    for (const [name, values] of Object.entries(frames)) {
      const value = values[index];
      if (name === "text") element.textContent = value;
      else if (name === "tip") element.dataset.tip = value;
      else if (name === "hue" || name === "share") element.style.setProperty(`--${name}`, Number(value));
      else if (value === null) element.setAttribute("visibility", "hidden");
      else {
        element.removeAttribute("visibility");
        element.setAttribute(name, value);
      }
    }
  }
}

function section(title, even) {
  const grid = document.createElement("div");
  grid.className = even ? "grid even" : "grid";
  if (!title) return [grid];
  const heading = document.createElement("h2");
  heading.textContent = title;
  return [heading, grid];
}

function facts(scrub, animated) {
  const list = document.createElement("dl");
  for (const fact of scrub.facts ?? []) {
    const item = document.createElement("div");
    const term = document.createElement("dt");
    const value = document.createElement("dd");
    term.textContent = fact.label;
    value.textContent = fact.values[scrub.index];
    item.append(value, term);
    list.append(item);
    animated.push([value, { text: fact.values }]);
  }
  return list;
}

function picks(root) {
  root.onclick = (event) => {
    const picked = event.composedPath().find((element) => element.dataset?.pick);
    const input = root.querySelector("input");
    if (!picked || !input) return;
    input.value = picked.dataset.pick;
    for (const kind of ["input", "change"]) input.dispatchEvent(new Event(kind, { bubbles: true }));
  };
}

function tips(root) {
  const tip = root.querySelector(".tip");
  const hide = () => { tip.hidden = true; };
  root.onpointerleave = hide;
  root.onpointermove = (event) => {
    const marked = event.composedPath().find((element) => element.dataset?.tip || element.cells);
    const words = marked?.cells ? told(marked, event) : marked?.dataset.tip;
    if (!words) return hide();
    tip.textContent = words;
    tip.hidden = false;
    const frame = root.getBoundingClientRect();
    const x = Math.min(event.clientX - frame.left + 14, frame.width - tip.offsetWidth - 4);
    tip.style.transform = `translate(${Math.max(0, x)}px, ${event.clientY - frame.top + 16}px)`;
  };
}

export default function (component) {
  const { parentElement, data, setStateValue } = component;
  const root = parentElement.querySelector(".drawings");
  if (root.dataset.held) return;  // a hand is on the slider: what arrives now would pull it away
  const focused = parentElement.activeElement?.dataset?.control;
  // How screen readers speak, and which of the signs that Chinese and Japanese share a font shows.
  const animated = [];
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  const parts = [tip];
  let move = null;
  if (data.scrub) {
    const stops = JSON.stringify(data.scrub.names);
    const local = data.scrub.local ?? false;  // Python does not hear of the step: it is kept here
    const index = local && root.dataset.stops === stops ? Number(root.dataset.index) : data.scrub.index;
    const scrub = { ...data.scrub, index };
    root.dataset.stops = stops;
    root.dataset.index = index;
    const [box, mover] = (data.linked ? buttons : slider)(root, scrub, animated, (chosen) => {
      root.dataset.index = chosen;
      if (!local) setStateValue("index", chosen);
    });
    move = mover;
    parts.push(box, facts(scrub, animated));
  }
  const texts = { save: "Save as PNG", ...data.texts };  // an exported file brings none
  for (const [place, drawing] of data.drawings.entries()) {
    if (place === 0 || drawing.section) parts.push(...section(drawing.section, data.even));
    parts[parts.length - 1].append(figure(drawing, animated, texts));
  }
  root.replaceChildren(...parts);
  if (data.linked) link(root, data.linked);
  if (move) move();
  if (focused) root.querySelector(`[data-control="${CSS.escape(focused)}"]`)?.focus();
  // The theme may have been changed since the cells were painted.
  root.onpointerenter = () => animated.some(([element]) => element.cells) && move?.();
  tips(root);
  picks(root);
}
