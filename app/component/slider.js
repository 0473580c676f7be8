// The slider over levels or steps, and what moves it: a hand, the keyboard, or play.
const SIGNS = {
  play: "M3 1.5 L12.5 7 L3 12.5 Z",
  pause: "M3 2 H5.8 V12 H3 Z M8.2 2 H11 V12 H8.2 Z",
  back: "M11 2 L5 7 L11 12 Z M2.6 2 H4.4 V12 H2.6 Z",
  forward: "M3 2 L9 7 L3 12 Z M9.6 2 H11.4 V12 H9.6 Z",
};

const STEPS = /^(Arrow|Page|Home$|End$)/;  // keys that move a slider by themselves

function control(name, label, act) {
  const element = document.createElement("button");
  const sign = document.createElementNS(NS, "svg");
  const shape = document.createElementNS(NS, "path");
  element.type = "button";
  element.className = "control";
  element.dataset.control = name;
  sign.setAttribute("viewBox", "0 0 14 14");
  sign.setAttribute("aria-hidden", "true");
  sign.append(shape);
  element.append(sign);
  element.onclick = act;
  element.say = (which, words) => {
    shape.setAttribute("d", SIGNS[which]);
    element.setAttribute("aria-label", words);
    element.title = words;
  };
  element.say(name, label);
  return element;
}

// Buttons that step and play. While it plays a hand counts as being on the slider; when it stops, the level is told.
function player(root, scrub, input, move, release) {
  const words = scrub.play, last = scrub.names.length - 1;
  let timer = null;
  const go = (index) => { input.value = index; move(); };
  const halt = () => {
    clearInterval(timer);
    timer = null;
    middle.say("play", words.play);
  };
  const stop = () => { halt(); release(); };
  const tick = () => {
    if (!root.isConnected) return halt();  // the page is another by now
    if (Number(input.value) >= last) return stop();
    go(Number(input.value) + 1);
  };
  const toggle = () => {
    if (timer !== null) return stop();
    root.dataset.held = "1";
    if (Number(input.value) >= last) go(0);
    timer = setInterval(tick, words.interval);
    middle.say("pause", words.pause);
  };
  const step = (by) => {
    halt();
    go(Math.min(last, Math.max(0, Number(input.value) + by)));
    release();
  };
  const middle = control("play", words.play, toggle);
  const row = document.createElement("div");
  row.className = "player";
  row.append(
    control("back", words.back, () => step(-1)), middle, control("forward", words.forward, () => step(1)),
  );
  input.addEventListener("pointerdown", () => timer !== null && halt());
  // A hand that lets go where it took hold changes nothing, and nothing would be told.
  input.addEventListener("pointerup", () => setTimeout(() => root.dataset.held && timer === null && release()));
  input.addEventListener("keydown", (event) => {
    if (event.key === " ") {
      event.preventDefault();
      toggle();
    } else if (timer !== null && STEPS.test(event.key)) stop();
  });
  return row;
}

function slider(root, scrub, animated, commit) {
  const label = document.createElement("label");
  const name = document.createElement("span");
  const output = document.createElement("output");
  const input = document.createElement("input");
  name.textContent = scrub.label;
  Object.assign(input, { type: "range", min: 0, max: scrub.names.length - 1, step: 1, value: scrub.index });
  input.setAttribute("aria-label", scrub.label);
  input.dataset.marked = scrub.marked ?? "";
  input.dataset.control = "slider";
  const move = () => {
    const index = Number(input.value);
    output.textContent = scrub.names[index];
    input.setAttribute("aria-valuetext", scrub.names[index]);
    input.style.setProperty("--at", index / Math.max(1, scrub.names.length - 1));
    show(animated, index);
  };
  const release = () => { delete root.dataset.held; commit(Number(input.value)); };
  input.addEventListener("input", () => { root.dataset.held = "1"; requestAnimationFrame(move); });
  input.addEventListener("change", release);
  const row = document.createElement("div");
  row.className = "track";
  row.append(input);
  if (scrub.marked !== undefined && scrub.marked !== null) {
    const mark = document.createElement("i");
    mark.style.setProperty("--at", scrub.marked / Math.max(1, scrub.names.length - 1));
    mark.textContent = scrub.marked_label ?? "";
    row.append(mark);
  }
  label.append(name, output);
  const head = document.createElement("div");
  head.className = "head";
  head.append(label);
  if (scrub.play) {
    head.append(player(root, scrub, input, move, release));
    input.title = scrub.play.hint;
  }
  const box = document.createElement("div");
  box.className = "slider";
  box.append(head, row);
  return [box, move];
}
