// What one cut costs, beside the plane: the loss along the way, and every estimate of the rise on a logarithmic axis.
const LINES = { rise: "dense", slope: "pruned thin dash", taylor: "warm dot-dash", bound: "purple dotted" };
const WAY = { width: 340, height: 215, left: 40, right: 10, top: 26, bottom: 26 };

function number(value) {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size < 5e-4) return "0";
  const text = size >= 1000 ? Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, "\u00a0") : Number(value.toPrecision(3)).toString();
  return text.replace("-", "−");
}

function chart(width, height, alt) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", alt);
  return svg;
}

function round_step(span) {
  const rough = 10 ** Math.floor(Math.log10(span / 4));
  return [1, 2, 5, 10].map((m) => m * rough).find((step) => span / step <= 4.5);
}

// The loss along the way: the truth, its tangent and parabola at the start, the parabola of the bound.
function way(data) {
  const svg = chart(WAY.width, WAY.height, data.words.way);
  const clip = add_to(add_to(svg, "defs"), "clipPath", { id: "way" });
  svg.classList.add("way");
  const box = [WAY.left, WAY.top, WAY.width - WAY.left - WAY.right, WAY.height - WAY.top - WAY.bottom];
  add_to(clip, "rect", { x: box[0], y: box[1] - 2, width: box[2], height: box[3] + 4 });
  const axes = add_to(svg, "g");
  const lines = add_to(svg, "g", { "clip-path": "url(#way)" });
  const draw = (known, state) => {
    axes.replaceChildren();
    lines.replaceChildren();
    const curves = profile(state, state.theta, state.cut);
    const shown = [...curves.rise, ...curves.taylor, ...(data.lines.includes("slope") ? curves.slope : [])];
    const most = Math.max(0.02, ...shown), least = Math.min(0, ...shown);
    const [top, foot] = [most + 0.3 * (most - least), least];
    const x = (a) => box[0] + a * box[2];
    const y = (value) => box[1] + box[3] * (top - value) / (top - foot);
    add_to(axes, "text", { x: 0, y: 13, class: "title" }, data.words.way_axis);
    const step = round_step(top - foot);
    for (let value = Math.ceil(foot / step) * step; value <= top; value += step) {
      add_to(axes, "path", { d: `M${box[0]} ${y(value)}H${box[0] + box[2]}`, class: Math.abs(value) < step / 9 ? "axis" : "rule" });
      add_to(axes, "text", { x: box[0] - 7, y: y(value) + 4, class: "tick", "text-anchor": "end" }, number(value));
    }
    const below = WAY.height - WAY.bottom + 18;
    for (const [a, words, anchor] of [[0, "θ", "middle"], [0.5, "½", "middle"], [1, "θ + d", "end"]]) {
      add_to(axes, "text", { x: x(a) + (a === 1 ? 8 : 0), y: below, class: "tick", "text-anchor": anchor }, words);
    }
    for (const name of data.lines) {
      const d = `M${curves.places.map((a, i) => `${x(a).toFixed(1)} ${Math.max(-999, y(curves[name][i])).toFixed(1)}`).join("L")}`;
      add_to(lines, "path", { d, class: `line ${LINES[name]}` });
    }
    if (data.lines.includes("bound")) {
      for (const [a, value] of curves.nodes) add_to(lines, "circle", { cx: x(a), cy: y(value), r: 4, class: "open green" });
    }
    svg.setAttribute("aria-label", `${data.words.way}: ${data.words.rise} ${number(known.rise)}, ${data.words.taylor} ${number(known.taylor)}`);
  };
  return [svg, draw];
}

// What each line of the chart is.
function key(data) {
  const list = document.createElement("ul");
  list.className = "key";
  for (const name of data.lines) {
    const [item, sample] = [document.createElement("li"), document.createElementNS(SVG, "svg")];
    sample.setAttribute("viewBox", "0 0 30 10");
    sample.setAttribute("aria-hidden", "true");
    sample.classList.add("way");
    add_to(sample, "path", { d: "M2 5H28", class: `line ${LINES[name]}` });
    item.append(sample, data.words[`line_${name}`]);
    list.append(item);
  }
  return list;
}

// Bars on a logarithmic axis, with the true rise as a line through all of them: what falls short of it is said in words.
const BARS = { width: 340, row: 29, left: 116, right: 104, top: 26, bottom: 24 };
const DECADES = [-2, -1, 0, 1, 2];
const SAME = 0.005;  // half a per cent apart is the same to the eye
const short = (value) => number(Number(value.toPrecision(2)));

function verdict(value, truth, words) {
  if (truth <= 5e-4) return "";
  if (Math.abs(value - truth) <= SAME * truth) return words.equal;
  if (value <= 0) return words.below;
  const factor = value / truth;
  return words[factor < 1 ? "part" : "times"].replace("#", short(factor < 1 ? 100 * factor : factor));
}

function bars(data) {
  const height = BARS.top + BARS.row * data.bars.length + BARS.bottom;
  const svg = chart(BARS.width, height, data.words.bars);
  const drawn = add_to(svg, "g");
  const span = BARS.width - BARS.left - BARS.right;
  const x = (value) => BARS.left + span * Math.min(1, Math.max(0, (Math.log10(value) - DECADES[0]) / (DECADES.at(-1) - DECADES[0])));
  const draw = (known) => {
    drawn.replaceChildren();
    const foot = height - BARS.bottom;
    add_to(drawn, "text", { x: 0, y: 12, class: "title" }, data.words.bars_axis);
    for (const power of DECADES) {
      const at = x(10 ** power);
      add_to(drawn, "path", { d: `M${at} ${BARS.top}V${foot}`, class: "rule" });
      add_to(drawn, "text", { x: at, y: foot + 16, class: "tick", "text-anchor": "middle" }, String(10 ** power));
    }
    const truth = known[data.bars[0]];
    data.bars.forEach((name, row) => {
      const top = BARS.top + row * BARS.row + 5;
      const value = known[name];
      const look = data.looks[name];
      add_to(drawn, "text", { x: BARS.left - 8, y: top + 15, "text-anchor": "end", class: "label" }, data.words[name]);
      if (value > 10 ** DECADES[0]) {
        const beyond = value > 10 ** DECADES.at(-1);
        add_to(drawn, "rect", { x: BARS.left, y: top, width: x(value) - BARS.left, height: 20, class: `bar ${look}` });
        if (beyond) add_to(drawn, "text", { x: x(value) - 6, y: top + 15, class: "on-bar", "text-anchor": "end" }, "→");
      }
      const said = row && data.compares ? verdict(value, truth, data.words) : "";
      add_to(drawn, "text", { x: BARS.width - BARS.right + 8, y: top + 15, class: "value" }, number(value));
      add_to(drawn, "text", { x: BARS.width, y: top + 15, class: "tick", "text-anchor": "end" }, said);
    });
    if (truth > 10 ** DECADES[0] && data.compares) add_to(drawn, "path", { d: `M${x(truth)} ${BARS.top}V${foot}`, class: "truth" });
    const told = data.bars.map((name) => `${data.words[name]} ${number(known[name])}`).join(", ");
    svg.setAttribute("aria-label", `${data.words.bars}: ${told}`);
  };
  return [svg, draw];
}
