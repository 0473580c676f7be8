// Instances that are selected in one figure are selected in all of them: a lasso or a box on a map, or a class and a
// range of scores from the keyboard; their images stand beside the maps. All of it happens here, in the browser.
const { buttons, link } = (() => {
const SHOWN = 48;  // images at once
const STILL = 4;  // a stroke shorter than this is a click

function fill(words, values) {
  return words.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

function buttons(root, scrub, animated, commit) {
  const box = document.createElement("fieldset");
  const legend = document.createElement("legend");
  box.className = "ways";
  legend.textContent = scrub.label;
  box.append(legend);
  const inputs = scrub.names.map((name, place) => {
    const label = document.createElement("label");
    const input = document.createElement("input");
    const dot = document.createElement("i");
    Object.assign(input, { type: "radio", name: "way", value: place, checked: place === scrub.index });
    dot.className = scrub.looks?.[place] ?? "";
    label.append(input, dot, name);
    box.append(label);
    input.addEventListener("change", () => { move(); commit(place); });
    return input;
  });
  const move = () => {
    const index = Math.max(0, inputs.findIndex((input) => input.checked));
    show(animated, index);
    root.dispatchEvent(new CustomEvent("way", { detail: index }));
  };
  return [box, move];
}

function inside(corners, [x, y]) {
  let within = false;
  for (let i = 0, j = corners.length - 1; i < corners.length; j = i++) {
    const [[a, b], [c, d]] = [corners[i], corners[j]];
    if (b > y !== d > y && x < ((c - a) * (y - b)) / (d - b) + a) within = !within;
  }
  return within;
}

function extent(path) {
  const [xs, ys] = [0, 1].map((axis) => path.map((point) => point[axis]));
  return Math.max(Math.max(...xs) - Math.min(...xs), Math.max(...ys) - Math.min(...ys));
}

function lasso(svg, mode, chosen) {
  const outline = document.createElementNS(NS, "path");
  outline.setAttribute("class", "outline");
  svg.append(outline);
  let path = null;
  const at = (event) => {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    return [point.x, point.y];
  };
  const corners = () => {
    const [[a, b], [c, d]] = [path[0], path[path.length - 1]];
    return mode() === "box" ? [[a, b], [c, b], [c, d], [a, d]] : path;
  };
  svg.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    path = [at(event)];
    svg.setPointerCapture(event.pointerId);
  });
  svg.addEventListener("pointermove", (event) => {
    if (!path) return;
    path.push(at(event));
    outline.setAttribute("d", `M${corners().map((point) => point.join(" ")).join("L")}Z`);
  });
  const end = (event) => {
    if (!path) return;
    const stroke = corners();
    const drawn = event.type === "pointerup" && extent(path) > STILL;
    path = null;
    outline.removeAttribute("d");
    if (event.type !== "pointerup") return;
    const places = [...svg.querySelectorAll("[data-item]")].map((element) => [element, element.getBBox()]);
    const found = places.filter(([, b]) => inside(stroke, [b.x + b.width / 2, b.y + b.height / 2]));
    chosen(drawn ? new Set(found.map(([element]) => Number(element.dataset.item))) : null, event.shiftKey);
  };
  svg.addEventListener("pointerup", end);
  svg.addEventListener("pointercancel", end);
}

function control(tag, words, settings, changed) {
  const label = document.createElement("label");
  const input = document.createElement(tag);
  label.append(words, input);
  Object.assign(input, settings);
  input.setAttribute("aria-label", words);  // the label around it would read out all options
  input.addEventListener("input", changed);
  return [label, input];
}

function options(select, names) {
  for (const [value, name] of names) {
    const option = document.createElement("option");
    Object.assign(option, { value, textContent: name });
    select.append(option);
  }
}

function photo(given, sheet, item) {
  const place = given.image[item];
  if (place < 0) {
    const none = document.createElement("span");
    none.textContent = given.words.no_image;
    return none;
  }
  const canvas = document.createElement("canvas");
  const { columns, width, height } = given.sheet;
  Object.assign(canvas, { width, height });
  const from = [(place % columns) * width, Math.floor(place / columns) * height, width, height];
  sheet.then((image) => canvas.getContext("2d").drawImage(image, ...from, 0, 0, width, height));
  return canvas;
}

function thumbnail(given, sheet, item, way) {
  const one = document.createElement("li");
  const weight = given.weights[way][item];
  const kind = given.kinds[given.kind[item]];
  const lines = [`${kind} · ${given.scores[item]}`, weight ? fill(given.words.weight, { weight }) : given.words.not_taken];
  one.dataset.item = item;
  one.className = weight ? `taken ${given.looks[way]}` : "";
  one.setAttribute("aria-label", fill(given.words.about, { kind, score: given.scores[item], weight: lines[1] }));
  one.append(photo(given, sheet, item));
  for (const line of lines) {
    const text = document.createElement("small");
    text.textContent = line;
    one.append(text);
  }
  return one;
}

function link(root, given) {
  const maps = [...root.querySelectorAll("svg[data-lasso]")];
  const state = { stroke: null, kind: "", low: 0, high: 100, way: Number(root.dataset.index ?? 0) };
  const last = given.order.length - 1;
  const image = Object.assign(new Image(), { src: given.sheet.href });
  const sheet = image.decode().then(() => image);
  const panel = document.createElement("section");
  const [tools, said, counts, list] = ["div", "p", "p", "ul"].map((tag) => document.createElement(tag));
  panel.className = "held";
  tools.className = "tools";
  counts.className = "counts";
  said.setAttribute("aria-live", "polite");
  list.tabIndex = 0;
  list.setAttribute("aria-label", given.words.images);

  const touched = () => { read(); update(); };
  const [modes, mode] = control("select", given.words.draw, {}, () => {});
  options(mode, [["lasso", given.words.lasso], ["box", given.words.box]]);
  const [kinds, kind] = control("select", given.words.kind, {}, touched);
  options(kind, [["", given.words.any], ...given.kinds.map((name, place) => [place, name])]);
  const range = { type: "range", min: 0, max: 100, step: 1 };
  const [lows, low] = control("input", given.words.from, { ...range, value: 0 }, touched);
  const [highs, high] = control("input", given.words.to, { ...range, value: 100 }, touched);
  const clear = Object.assign(document.createElement("button"), { type: "button", textContent: given.words.clear });
  clear.onclick = () => {
    [kind.value, low.value, high.value, state.stroke] = ["", 0, 100, null];
    touched();
  };
  tools.append(modes, kinds, lows, highs, clear);
  panel.append(tools, said, counts, list);
  maps[0].closest(".grid").append(panel);

  const scoreAt = (percent) => given.scores[given.order[last - Math.round((percent / 100) * last)]];
  const read = () => {
    [state.kind, state.low, state.high] = [kind.value, Number(low.value), Number(high.value)];
    for (const input of [low, high]) input.setAttribute("aria-valuetext", scoreAt(Number(input.value)));
  };
  const selected = () => {
    const whole = state.kind === "" && state.low === 0 && state.high === 100;
    if (whole && !state.stroke) return null;
    return given.order.filter((item, place) => {
      const percent = last ? (100 * (last - place)) / last : 0;
      return (!state.stroke || state.stroke.has(item)) && (state.kind === "" || given.kind[item] === Number(state.kind))
        && percent >= state.low && percent <= state.high;
    });
  };
  const update = () => {
    const held = selected();
    const shown = held ?? given.order.filter((item) => given.weights[state.way][item]);
    const set = new Set(held ?? []);
    root.toggleAttribute("data-choosing", held !== null);
    for (const map of maps) {
      for (const element of map.querySelectorAll("[data-item]")) {
        element.toggleAttribute("data-held", set.has(Number(element.dataset.item)));
      }
    }
    const values = { n: shown.length, way: given.ways[state.way], from: scoreAt(state.low), to: scoreAt(state.high) };
    said.textContent = fill(held ? given.words.selected : given.words.nothing, values);
    if (held && (state.low > 0 || state.high < 100)) said.textContent += fill(given.words.between, values);
    counts.textContent = held ? given.words.of_these + given.ways
      .map((name, way) => `${name} ${held.filter((item) => given.weights[way][item]).length}`).join(" · ") : "";
    list.replaceChildren(...shown.slice(0, SHOWN).map((item) => thumbnail(given, sheet, item, state.way)));
    if (shown.length > SHOWN) {
      const more = document.createElement("li");
      more.className = "more";
      more.textContent = fill(given.words.more, { n: shown.length - SHOWN });
      list.append(more);
    }
  };
  const ring = (event) => {
    const item = event.composedPath().find((element) => element.dataset?.item !== undefined)?.dataset.item;
    for (const element of root.querySelectorAll("[data-ring]")) element.removeAttribute("data-ring");
    if (item === undefined) return;
    for (const element of root.querySelectorAll(`[data-item="${Number(item)}"]`)) element.setAttribute("data-ring", "");
  };
  for (const map of maps) {
    lasso(map, () => mode.value, (found, more) => {
      state.stroke = found && more && state.stroke ? new Set([...state.stroke, ...found]) : found;
      update();
    });
    map.addEventListener("pointerover", ring);
  }
  list.addEventListener("pointerover", ring);
  panel.addEventListener("keydown", (event) => { if (event.key === "Escape") clear.click(); });
  root.addEventListener("way", (event) => {
    if (!panel.isConnected) return;
    state.way = event.detail;
    update();
  });
  touched();
}

return { buttons, link };
})();
