// A mask as a picture: each weight is a cell, and is blank from the level on that takes it. The cells come once; every
// level is painted here.
const GAP = -32768;  // the value of a cell that is no weight
const LARGEST = 32767;
const FAINTEST = 0.25;  // of what is kept, so that a small weight is told from none

function cells(given) {
  const unpacked = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const canvas = document.createElement("canvas");
  canvas.width = given.width;
  canvas.height = given.height;
  const values = new Int16Array(unpacked(given.values).buffer);
  return { ...given, canvas, values, survived: unpacked(given.survived) };
}

// A colour as numbers, whatever notation the style sheet has it in.
function rgb(colour) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const brush = canvas.getContext("2d");
  brush.fillStyle = colour;
  brush.fillRect(0, 0, 1, 1);
  return brush.getImageData(0, 0, 1, 1).data;
}

function paint(element, index) {
  const { canvas, values, survived } = element.cells;
  const style = getComputedStyle(element);
  const [plus, minus, gone] = [style.fill, style.stroke, style.color].map(rgb);
  const brush = canvas.getContext("2d");
  const picture = brush.createImageData(canvas.width, canvas.height);
  for (let i = 0; i < values.length; i++) {
    if (values[i] === GAP) continue;
    const kept = survived[i] > index;
    const colour = !kept ? gone : values[i] < 0 ? minus : plus;
    const strength = kept ? FAINTEST + (1 - FAINTEST) * Math.sqrt(Math.abs(values[i]) / LARGEST) : 0.09;
    picture.data.set([colour[0], colour[1], colour[2], 255 * strength], 4 * i);
  }
  brush.putImageData(picture, 0, 0);
  element.setAttribute("href", canvas.toDataURL("image/png"));
}

// What the cell under the pointer holds; null between the cells.
function told(element, event) {
  const { canvas, values, survived, scale, gone } = element.cells;
  const box = element.getBoundingClientRect();
  const x = Math.floor((event.clientX - box.left) / box.width * canvas.width);
  const y = Math.floor((event.clientY - box.top) / box.height * canvas.height);
  const place = y * canvas.width + x;
  if (!(place in values) || values[place] === GAP) return null;
  return `${(values[place] / LARGEST * scale).toPrecision(2).replace("-", "−")}: ${gone[survived[place]]}`;
}
