// The page: a drawing becomes an image like MNIST's, a network classifies it, and its activations are shown.
/* global bytes, run, softmax, tensor: of layers.js */

const find = id => document.getElementById(id);
const {models, digits: text, labels, mean, std} = JSON.parse(find("content").textContent, (_, value) =>
  value?.base64 ? tensor(value.shape, new Float32Array(bytes(value.base64).buffer)) : value);
const digits = bytes(text);
let model = models[0];

/** Grey values 0-255 of 28 x 28 pixels, normalised as in training. */
const toInput = pixels => tensor([1, SIDE, SIDE], Float32Array.from(pixels, grey => (grey / 255 - mean) / std));

/** The test digit of a number: 28 x 28 grey values. */
const testDigit = number => digits.subarray(number * SIDE * SIDE, (number + 1) * SIDE * SIDE);

// --- From a drawing to an image like MNIST's (LeCun, Cortes and Burges, http://yann.lecun.com/exdb/mnist) ---

const SIDE = 28, BOX = 20;  // pixels: of the image, and of the box that the ink fills
const LINE = 2.4;  // pixels: the median width of MNIST's lines, whatever the size of the drawing, so that no loop fills in
const PEN = 0.05;  // width of the pen on the pad, as a fraction of the pad's side
const DOT = 0.18;  // fraction of the pad's side: what is smaller is not enlarged to fill the box

/** Grey values 0-255 of antialiased lines; points in pixels. */
function rasterise(strokes) {
  const pixels = new Uint8Array(SIDE * SIDE), reach = LINE / 2 + 0.5;
  const within = value => Math.min(Math.max(Math.floor(value), 0), SIDE - 1);
  for (const stroke of strokes) {
    stroke.forEach(([x, y], i) => {
      const [fromX, fromY] = stroke[Math.max(i - 1, 0)], dx = x - fromX, dy = y - fromY;
      for (let row = within(Math.min(y, fromY) - reach); row <= within(Math.max(y, fromY) + reach); row++) {
        for (let column = within(Math.min(x, fromX) - reach); column <= within(Math.max(x, fromX) + reach); column++) {
          const px = column + 0.5 - fromX, py = row + 0.5 - fromY;
          const along = Math.min(Math.max((px * dx + py * dy) / (dx * dx + dy * dy || 1), 0), 1);
          const cover = Math.min(Math.max(reach - Math.hypot(px - along * dx, py - along * dy), 0), 1);
          const at = row * SIDE + column;
          pixels[at] = Math.max(pixels[at], Math.round(255 * cover));
        }
      }
    });
  }
  return pixels;
}

/** Strokes (lists of points in 0-1) as 28 x 28 grey values: scaled into the box, centre of mass moved to the centre. */
function toPixels(strokes) {
  const xs = strokes.flat().map(([x]) => x), ys = strokes.flat().map(([, y]) => y);
  const left = Math.min(...xs), top = Math.min(...ys), wide = Math.max(...xs) - left, high = Math.max(...ys) - top;
  const scale = (BOX - LINE) / Math.max(wide, high, DOT);
  const placed = (shiftX, shiftY) => strokes.map(stroke => stroke.map(([x, y]) =>
    [(x - left - wide / 2) * scale + SIDE / 2 + shiftX, (y - top - high / 2) * scale + SIDE / 2 + shiftY]));
  let mass = 0, momentX = 0, momentY = 0;
  rasterise(placed(0, 0)).forEach((grey, i) => {
    mass += grey;
    momentX += grey * (i % SIDE);
    momentY += grey * Math.floor(i / SIDE);
  });
  const margin = (SIDE - BOX) / 2;
  const shift = moment => Math.min(Math.max(Math.round(SIDE / 2 - moment / mass), -margin), margin);  // whole pixels
  return rasterise(placed(shift(momentX), shift(momentY)));
}

// --- The page ---

const pad = find("pad"), spoken = find("spoken");
const arc = (y, wide, high, from, to) => Array.from({length: 25}, (_, i) => {  // from angle to angle, in radians
  const angle = from + (to - from) * i / 24;
  return [0.48 + wide * Math.cos(angle), y + high * Math.sin(angle)];
});

let strokes = [[...arc(0.33, 0.17, 0.16, -2.6, 1.57), ...arc(0.66, 0.2, 0.17, -1.57, 2.6)]];  // lists of points in 0-1: a 3
let own = false;  // whether the visitor drew them
let shown = null, lastShown = -1;  // the number of the test digit on the pad, or null: the pad shows the strokes
let pen = {x: 0.5, y: 0.3, down: false, visible: false};  // the keyboard's
let figures = [], speaking, waiting = false;

const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).match(/\w\w/g)
  .map(level => parseInt(level, 16));
const percent = p => `${(100 * p).toFixed(p > 0.9995 || p < 0.0005 ? 0 : 1)}\u00a0%`;

/** A new element with text in it. */
const element = (name, text = "") => Object.assign(document.createElement(name), {textContent: text});

const bars = labels.slice(0, 10).map((_, digit) => {
  const item = element("li");
  item.innerHTML = `<b>${digit}</b><div aria-hidden="true"><i></i></div><span></span>`;
  find("bars").append(item);
  return item;
});

/** The activations of every layer that computes something: [title, tensor]. */
function activations(pixels) {
  let x = toInput(pixels);
  const seen = [];
  for (const layer of model.layers) {
    const y = run([layer], x);
    if (y.data !== x.data) seen.push([layer.title, y]);
    x = y;
  }
  return seen;
}

/** Take another model: its facts, and a figure for each of its layers. */
function choose(number) {
  model = models[number];
  find("parameters").textContent = model.parameters;
  const seen = activations(testDigit(0)), computed = seen.at(-1)[1].data;
  const off = Math.max(...model.logits.map((logit, i) => Math.abs(logit - computed[i])));
  const check = `its logits of a test digit are ${off < 1e-3 ? "" : "NOT "}PyTorch's, within ${off.toExponential(0)}`;
  find("facts").replaceChildren(...[...model.facts, ["Checked here", check]].flatMap(([name, fact]) =>
    [element("dt", name), element("dd", fact)]));
  find("figures").replaceChildren(...seen.map(([title, {shape}]) => {
    const figure = element("figure"), size = shape.join(" × ");
    figure.innerHTML = `<figcaption><b>${title}</b> ${size}</figcaption><div><canvas role="img"></canvas></div>`;
    figure.querySelector("canvas").ariaLabel = `After ${title}: ${shape.length > 1 ? "maps" : "values"}, ${size}`;
    return figure;
  }));
  figures = [...document.querySelectorAll("#figures canvas")];
}

/** Draw a tensor's channels side by side, the more in a row the smaller they are. */
function drawMaps(canvas, {shape: [channels, height = 1, width = 1], data}, positive, negative) {
  const [row, most, gap] = width > 4 ? [8, 48, 4] : width > 1 ? [16, 22, 4] : [24, 14, 3];
  const tile = Math.min(most, Math.floor((canvas.parentElement.clientWidth + gap) / row) - gap);
  const columns = Math.min(channels, row), ratio = devicePixelRatio;
  const rows = Math.ceil(channels / columns), strongest = data.reduce((a, b) => Math.max(a, Math.abs(b)), 1e-9);
  const wide = columns * (tile + gap) - gap, high = rows * (tile + gap) - gap;
  Object.assign(canvas, {width: wide * ratio, height: high * ratio});
  Object.assign(canvas.style, {width: `${wide}px`, height: `${high}px`});
  const context = canvas.getContext("2d"), small = new OffscreenCanvas(width, height), image = new ImageData(width, height);
  context.scale(ratio, ratio);
  context.imageSmoothingEnabled = false;
  for (let channel = 0; channel < channels; channel++) {
    for (let i = 0; i < width * height; i++) {
      const value = data[channel * width * height + i];
      image.data.set([...(value > 0 ? positive : negative), 255 * Math.abs(value) / strongest], 4 * i);
    }
    small.getContext("2d").putImageData(image, 0, 0);
    const x = channel % columns * (tile + gap), y = Math.floor(channel / columns) * (tile + gap);
    context.fillStyle = "rgb(128 128 128 / 12%)";
    context.fillRect(x, y, tile, tile);
    context.drawImage(small, x, y, tile, tile);
  }
}

/** Grey values on a canvas of their size. */
function putPixels(canvas, pixels, wide = SIDE, high = SIDE) {
  const image = new ImageData(wide, high);
  pixels.forEach((grey, i) => image.data.set([grey, grey, grey, 255], 4 * i));
  Object.assign(canvas, {width: wide, height: high}).getContext("2d").putImageData(image, 0, 0);
}

/** Show what the network sees, after its first layers if they only crop or shrink, and say how it came about. */
function drawView(pixels) {
  const first = model.layers.slice(0, model.layers.findIndex(({kind}) => !["pad", "resize", "averagePool"].includes(kind)));
  const {shape: [, high, wide], data} = run(first, toInput(pixels)), size = (a, b) => `${a}\u202f×\u202f${b}`;
  putPixels(find("seen"), data.map(value => Math.min(Math.max(255 * (value * std + mean), 0), 255)), wide, high);
  const made = `What the network sees: the drawing, scaled and centred as MNIST's digits were, ${size(SIDE, SIDE)} pixels`;
  const then = `, then after its own ${first.map(({title}) => title).join(" and ")}, ${size(high, wide)}`;
  find("view").textContent = `${made}${first.length ? then : ""}.`;
}

function drawPad() {
  pad.width = pad.height = pad.clientWidth * devicePixelRatio;
  const context = pad.getContext("2d");
  context.scale(pad.width, pad.width);
  if (shown !== null) {
    const small = new OffscreenCanvas(SIDE, SIDE);
    putPixels(small, testDigit(shown));
    context.imageSmoothingEnabled = false;
    context.drawImage(small, 0, 0, 1, 1);
  } else if (!own && !pen.visible) {
    Object.assign(context, {fillStyle: "#999", font: "0.055px system-ui, sans-serif", textAlign: "center"});
    context.fillText(strokes.length ? "draw your own here" : "draw here", 0.5, strokes.length ? 0.95 : 0.52);
  }
  Object.assign(context, {strokeStyle: "#fff", lineWidth: PEN, lineCap: "round", lineJoin: "round"});
  for (const stroke of strokes) {
    context.beginPath();
    stroke.forEach(([x, y]) => context.lineTo(x, y));
    context.lineTo(...stroke[0].map((value, axis) => stroke.length > 1 ? stroke.at(-1)[axis] : value));  // a dot shows
    context.stroke();
  }
  if (pen.visible) {
    context.beginPath();
    context.arc(pen.x, pen.y, PEN / 2, 0, 2 * Math.PI);
    Object.assign(context, {lineWidth: 0.012, strokeStyle: "#e69f00", fillStyle: "#e69f00"});
    context[pen.down ? "fill" : "stroke"]();
  }
}

/** Classify what is on the pad and show the result. */
function update() {
  waiting = false;
  drawPad();
  const blank = shown === null && !strokes.length;
  const pixels = shown !== null ? testDigit(shown) : blank ? new Uint8Array(SIDE * SIDE) : toPixels(strokes);
  drawView(pixels);
  const seen = activations(pixels), positive = colour("--good"), negative = colour("--bad");
  seen.forEach(([, x], i) => drawMaps(figures[i], blank ? tensor(x.shape) : x, positive, negative));
  const probabilities = blank ? Array(10).fill(0) : softmax(seen.at(-1)[1].data);
  const best = probabilities.indexOf(Math.max(...probabilities));
  bars.forEach((bar, digit) => {
    bar.className = !blank && digit === best ? "first" : "";
    bar.querySelector("i").style.width = `${100 * probabilities[digit]}%`;
    bar.querySelector("span").textContent = blank ? "" : percent(probabilities[digit]);
  });
  find("digit").textContent = blank ? "" : best;
  let verdict = blank ? "Nothing drawn yet." : `Prediction: ${best}, confidence ${percent(probabilities[best])}.`;
  if (shown !== null) verdict += labels[shown] === best ? " Correct." : ` The label is ${labels[shown]}.`;
  find("verdict").textContent = verdict;
  clearTimeout(speaking);
  speaking = setTimeout(() => { spoken.textContent = verdict; }, 500);  // to a screen reader, once things have settled
}

/** Update before the next frame, however many events ask for it. */
function updateSoon() {
  if (!waiting) requestAnimationFrame(update);
  waiting = true;
}

/** Put the pen down: the first stroke of one's own replaces what is there. */
function begin(x, y) {
  if (!own) strokes = [];
  [own, shown] = [true, null];
  strokes.push([[x, y]]);
}

function clearPad() {
  strokes = [];
  [own, shown, pen.down] = [false, null, false];
  updateSoon();
}

function nextDigit() {
  clearPad();
  shown = lastShown = (lastShown + 1) % labels.length;
}

// --- Mouse, finger, pen, keyboard ---

const place = event => {
  const frame = pad.getBoundingClientRect();
  return [(event.clientX - frame.left) / frame.width, (event.clientY - frame.top) / frame.height];
};
pad.addEventListener("pointerdown", event => {
  if (event.button || !event.isPrimary) return;
  pad.setPointerCapture(event.pointerId);
  Object.assign(pen, {down: false, visible: false});
  begin(...place(event));
  updateSoon();
});
pad.addEventListener("pointermove", event => {
  if (!pad.hasPointerCapture(event.pointerId) || !strokes.length) return;  // none after C is pressed on the way
  const points = event.getCoalescedEvents();
  strokes.at(-1).push(...(points.length ? points : [event]).map(place));
  updateSoon();
});
pad.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const step = 1 / SIDE, inside = value => Math.min(Math.max(value, PEN / 2), 1 - PEN / 2);
  const moves = {ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step]};
  const key = event.key.toLowerCase();
  if (moves[event.key]) {
    const [dx, dy] = moves[event.key];
    Object.assign(pen, {x: inside(pen.x + dx), y: inside(pen.y + dy), visible: true});
    if (pen.down) strokes.at(-1).push([pen.x, pen.y]);
  } else if (key === " ") {
    Object.assign(pen, {down: !pen.down, visible: true});
    if (pen.down) begin(pen.x, pen.y);
    spoken.textContent = pen.down ? "pen down" : "pen up";
  } else if (key === "c" || key === "n") {
    (key === "c" ? clearPad : nextDigit)();
  } else return;
  event.preventDefault();
  updateSoon();
});
find("clear").addEventListener("click", clearPad);
find("next").addEventListener("click", nextDigit);
find("model").addEventListener("change", event => {
  choose(event.target.value);
  updateSoon();
});
addEventListener("resize", updateSoon);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", updateSoon);
choose(0);
update();
