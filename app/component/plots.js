// Plotly figures side by side that share one camera. New data goes through Plotly.react, so nothing is mounted anew,
// and the camera outlives the data, the run, the task, the colours and the page.
const KEPT = "esacl-camera";
const PLAIN = { displaylogo: false, responsive: false, modeBarButtonsToRemove: ["lasso2d", "select2d", "tableRotation"] };
const NARROW = 440;  // pixels
let loading = null;
let camera = null;
try { camera = JSON.parse(sessionStorage.getItem(KEPT)); } catch { camera = null; }

function plotly(source, missing) {
  if (window.Plotly) return Promise.resolve(window.Plotly);
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = source;
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => { loading = null; reject(new Error(missing)); };
    document.head.append(script);
  });
  return loading;
}

function themed(value, theme) {
  if (typeof value === "string") return theme[value] ?? value;
  if (Array.isArray(value)) return typeof value[0] === "number" ? value : value.map((part) => themed(part, theme));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, themed(part, theme)]));
}

// Large type, which assets/theme.css switches on: every letter, what makes room for them, and the height.
function enlarged(value, factor, name = "") {
  if (factor === 1 || value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return typeof value[0] === "number" ? value : value.map((part) => enlarged(part, factor));
  return Object.fromEntries(Object.entries(value).map(([key, part]) => {
    const letters = key === "size" && (name === "font" || name === "textfont");
    const room = key === "height" || key === "yshift" || (name === "margin" && key !== "t");
    return [key, (letters || room) && typeof part === "number" ? part * factor : enlarged(part, factor, key)];
  }));
}

function themeOf(element) {
  const style = getComputedStyle(element);
  return { "@ink": style.getPropertyValue("--st-text-color").trim() || style.color,
    "@font": style.getPropertyValue("--st-font").trim() || style.fontFamily,
    "@large": Number(style.getPropertyValue("--large")) || 1 };
}

function moved(root, from, change, library) {
  const seen = change["scene.camera"];
  if (!seen || root.following) return;
  camera = seen;
  try { sessionStorage.setItem(KEPT, JSON.stringify(camera)); } catch { /* a private window keeps nothing */ }
  if (root.waiting) return;
  root.waiting = requestAnimationFrame(async () => {
    root.waiting = 0;
    root.following = true;
    const others = [...root.querySelectorAll(".plot")].filter((plot) => plot !== from && plot.layout?.scene);
    await Promise.all(others.map((plot) => library.relayout(plot, { "scene.camera": camera })));
    root.following = false;
  });
}

function panel() {
  const box = document.createElement("figure");
  const [title, plot, note] = ["figcaption", "div", "figcaption"].map((tag) => document.createElement(tag));
  title.className = "name";
  plot.className = "plot";
  note.className = "note";
  plot.setAttribute("role", "group");  // an img may hold no buttons, and this one does
  box.append(title, plot, note);
  return box;
}

// Everything but the drawing, at its final height: what stands beneath does not move when plotly.js has come.
function lay(root, data, theme) {
  const grid = root.querySelector(".panels");
  const surplus = grid.dataset.kind === data.kind ? [...grid.children].slice(data.panels.length) : [...grid.children];
  for (const old of surplus) {
    window.Plotly?.purge(old.children[1]);
    old.remove();
  }
  grid.dataset.kind = data.kind;
  while (grid.children.length < data.panels.length) grid.append(panel());
  for (const [place, given] of data.panels.entries()) {
    const [title, plot, note] = grid.children[place].children;
    title.textContent = given.title;
    note.textContent = given.note;
    plot.setAttribute("aria-label", given.alt);
    plot.style.height = `${given.figure.layout.height * theme["@large"]}px`;
  }
  root.querySelector(".scales").replaceChildren(legend(data.scale));
  return grid.children;
}

async function fill(root, box, given, theme, library) {
  const plot = box.children[1];
  const { data, layout } = enlarged(themed(given.figure, theme), theme["@large"]);
  layout.width = box.clientWidth;
  if (layout.scene && camera) layout.scene.camera = structuredClone(camera);
  else if (layout.scene && layout.width < NARROW) {
    for (const axis of "xyz") layout.scene.camera.eye[axis] *= 1.2;  // the names of the axes need room beside the sheet
  }
  const fresh = !plot.layout;
  await library.react(plot, data, layout, PLAIN);
  if (!fresh) return;
  plot.on("plotly_relayouting", (change) => moved(root, plot, change, library));
  plot.on("plotly_relayout", (change) => moved(root, plot, change, library));
}

function legend(scale) {
  const box = document.createElement("div");
  box.className = "scale";
  const title = document.createElement("span");
  const bar = document.createElement("div");
  title.textContent = scale.title;
  bar.style.background = `linear-gradient(to right, ${scale.colours.join(", ")})`;
  for (const tick of scale.ticks) {
    const mark = document.createElement("i");
    mark.style.left = `${100 * tick.at}%`;
    mark.textContent = tick.text;
    bar.append(mark);
  }
  box.append(title, bar);
  return box;
}

async function show(root, data) {
  const theme = themeOf(root);
  const boxes = lay(root, data, theme);
  const library = await plotly(data.source, data.texts.missing);
  for (const [place, given] of data.panels.entries()) await fill(root, boxes[place], given, theme, library);
}

export default function (component) {
  const root = component.parentElement.querySelector(".esacl-plots");
  const latest = component.data;
  root.latest = latest;
  const draw = () => {
    root.drawing = (root.drawing ?? Promise.resolve())
      .then(() => (root.latest === latest ? show(root, latest) : null))
      .catch((error) => { root.querySelector(".trouble").textContent = error.message; });
  };
  draw();
  const widths = new ResizeObserver(() => {
    for (const plot of root.querySelectorAll(".plot")) {
      if (plot.layout && plot.parentElement.clientWidth && plot.layout.width !== plot.parentElement.clientWidth) {
        window.Plotly.relayout(plot, { width: plot.parentElement.clientWidth });
      }
    }
  });
  widths.observe(root);
  // The theme changes without word to this component: its colours are looked at when the page's change.
  const dressed = JSON.stringify(themeOf(root));
  const theme = setInterval(() => {
    if (root.isConnected && JSON.stringify(themeOf(root)) !== dressed) { clearInterval(theme); draw(); }
  }, 500);
  return () => { widths.disconnect(); clearInterval(theme); };
}
