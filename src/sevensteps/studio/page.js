"use strict";

// The drawing is a list of strokes, so that it can be taken back; the server is asked one look at a time, and the
// newest picture is always looked at last. Text from the server is only ever set as text.

const $ = (id) => document.getElementById(id);
const LONG_SIDE = 448; // of the canvas, in its own pixels; the network gets it scaled down
const SHORT_LABEL = 4; // characters
const context = $("canvas").getContext("2d");
const strokes = []; // each {width, points: [[x, y], …]}, in shares of the canvas
const pen = { x: 0.5, y: 0.5, down: false };
let facts = null;
let file = null; // a picture that was brought; it takes the place of the drawing
let pointer = null; // the finger or mouse button that draws
let busy = false;
let again = false;

const percent = (p) => (p > 0.9995 ? "> 99.9 %" : p < 0.0005 ? "< 0.1 %" : `${(100 * p).toFixed(1)} %`);

// --- the head ---

async function start() {
  facts = await (await fetch("facts")).json();
  const { channels, height, width, rule } = facts.preprocessing;
  document.title = `${facts.name} · sevensteps studio`;
  $("name").textContent = facts.name;
  const parts = [facts.architecture, `${facts.parameters.toLocaleString("en")} parameters`, `${facts.classes.length} classes`];
  $("model").textContent = parts.join(" · ");
  $("seen-size").textContent = `${width} × ${height} pixels, ${channels === 1 ? "grey" : "red, green, blue"}`;
  $("rule").textContent = rule;
  $("report").hidden = !facts.report;
  $("similar").hidden = !facts.baseline;
  for (const frame of document.querySelectorAll(".stage, .frame")) frame.style.aspectRatio = `${width} / ${height}`;
  $("brush").value = Math.max(9, 130 / Math.min(width, height)); // a stroke is more than one of the network's pixels
  const scale = LONG_SIDE / Math.max(width, height);
  $("canvas").width = Math.max(1, Math.round(width * scale));
  $("canvas").height = Math.max(1, Math.round(height * scale));
  if (facts.scores) showScores(facts.scores);
  if (facts.classes.length > 10) $("more").textContent = `The ten most probable of ${facts.classes.length} classes.`;
  changed();
}

function showScores({ split, network, baseline }) {
  const pictures = split === "test" ? "test pictures" : "validation pictures, which also chose the best epoch";
  $("scored").textContent = `Right answers on ${network.n.toLocaleString("en")} ${pictures}; 95\u00a0% interval`;
  const low = Math.max(0, Math.floor(100 * Math.min(network.interval[0], baseline.interval[0]) - 1));
  const place = (share) => `${((100 * share - low) / (100 - low)) * 100}%`;
  const rows = [["network", facts.architecture, network], ["baseline", "pixel similarity", baseline]].map(([kind, name, score]) => {
    const [row, range, interval, dot] = [element("div", `score ${kind}`), element("div", "range"), element("i"), element("b")];
    interval.style.left = place(score.interval[0]);
    interval.style.right = `calc(100% - ${place(score.interval[1])})`;
    dot.style.left = place(score.accuracy);
    range.append(interval, dot);
    const value = element("div", "value", `${(100 * score.accuracy).toFixed(2)} % `);
    value.append(element("span", "", score.interval.map((end) => (100 * end).toFixed(2)).join(" to ")));
    row.append(element("div", "what", name), range, value);
    return row;
  });
  const [foot, axis] = [element("div", "score"), element("div", "axis")];
  axis.append(element("span", "", `${low} %`), element("span", "", "100 %"));
  foot.append(element("div", "what"), axis);
  $("rows").replaceChildren(...rows, foot);
  $("scores").hidden = false;
}

const element = (tag, className = "", textContent = "") => Object.assign(document.createElement(tag), { className, textContent });

// --- the drawing ---

function draw() {
  const { width, height } = $("canvas");
  context.fillStyle = "#000";
  context.fillRect(0, 0, width, height);
  context.strokeStyle = "#fff";
  context.lineCap = context.lineJoin = "round";
  for (const stroke of strokes) {
    const points = stroke.points.map(([x, y]) => [x * width, y * height]);
    context.lineWidth = stroke.width * Math.min(width, height);
    context.beginPath();
    context.moveTo(...points[0]);
    for (let i = 1; i < points.length - 1; i++) { // through the middles, so that corners are round
      context.quadraticCurveTo(...points[i], (points[i][0] + points[i + 1][0]) / 2, (points[i][1] + points[i + 1][1]) / 2);
    }
    context.lineTo(...points[points.length - 1]);
    context.stroke();
  }
}

function begin(x, y) {
  if (file) bring(null);
  strokes.push({ width: Number($("brush").value) / 100, points: [[x, y]] });
  changed();
}

function extend(x, y) {
  strokes[strokes.length - 1].points.push([x, y]);
  changed();
}

function changed() {
  draw();
  const something = Boolean(file || strokes.length);
  $("undo").disabled = Boolean(file) || !strokes.length;
  $("clear").disabled = !something;
  $("invitation").hidden = something;
  const ink = $("invert").checked ? "Black ink on white, for models that know dark on light." : "White ink on black, as MNIST has it.";
  const size = file && (file.size < 1e5 ? `${file.size.toLocaleString("en")} bytes` : `${(file.size / 1e6).toFixed(1)} MB`);
  $("about").textContent = file ? `${file.name || "a pasted picture"}, ${size}` : `${ink} Draw large, in the middle.`;
  look();
}

function clear() {
  strokes.length = 0;
  pen.down = false;
  showPen();
  bring(null);
}

const undo = () => { if (!file && strokes.pop()) changed(); };

function position(event) {
  const box = $("canvas").getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
}

$("canvas").addEventListener("pointerdown", (event) => {
  if (event.button !== 0 || pointer !== null) return;
  pointer = event.pointerId;
  $("canvas").setPointerCapture(pointer);
  $("pen").hidden = true;
  begin(...position(event));
});
$("canvas").addEventListener("pointermove", (event) => {
  if (event.pointerId !== pointer) return;
  const steps = event.getCoalescedEvents?.() ?? [];
  for (const step of steps.length ? steps : [event]) extend(...position(step));
});
for (const end of ["pointerup", "pointercancel"]) $("canvas").addEventListener(end, () => { pointer = null; });

function showPen() {
  $("pen").hidden = document.activeElement !== $("canvas");
  $("pen").style.left = `${100 * pen.x}%`;
  $("pen").style.top = `${100 * pen.y}%`;
  $("pen").classList.toggle("down", pen.down);
}

$("canvas").addEventListener("keydown", (event) => {
  const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (!move && event.key !== " " && event.key !== "Escape") return;
  event.preventDefault();
  if (event.key === "Escape") return clear();
  if (event.key === " ") {
    pen.down = !pen.down;
    if (pen.down) begin(pen.x, pen.y);
  } else {
    pen.x = Math.min(1, Math.max(0, pen.x + move[0] / 28));
    pen.y = Math.min(1, Math.max(0, pen.y + move[1] / 28));
    if (pen.down) extend(pen.x, pen.y);
  }
  showPen();
});
$("canvas").addEventListener("blur", () => { pen.down = false; showPen(); });

// --- a picture that is brought ---

function bring(picture) {
  if ($("picture").src) URL.revokeObjectURL($("picture").src);
  $("picture").removeAttribute("src");
  $("picture").hidden = !picture;
  file = picture;
  if (picture) {
    strokes.length = 0;
    $("picture").src = URL.createObjectURL(picture);
    $("picture").alt = picture.name || "the pasted picture";
  }
  changed();
}

$("picture").addEventListener("error", () => { // the network may know a format that the browser does not
  $("picture").hidden = true;
  if (file) $("about").textContent += "; this browser cannot show it";
});
$("file").addEventListener("change", () => {
  if ($("file").files.length) bring($("file").files[0]);
  $("file").value = ""; // the same one may be chosen again
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData?.files.length) bring(event.clipboardData.files[0]);
});
document.addEventListener("dragover", (event) => { event.preventDefault(); $("stage").classList.add("over"); });
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) $("stage").classList.remove("over"); });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  $("stage").classList.remove("over");
  if (event.dataTransfer.files.length) bring(event.dataTransfer.files[0]);
});

// --- the answer ---

async function look() {
  again = busy;
  if (busy || !facts) return;
  busy = true;
  do {
    again = false;
    try {
      if (file || strokes.length) {
        const body = file || (await new Promise((done) => $("canvas").toBlob(done, "image/png")));
        const headers = { "Content-Type": "application/octet-stream" };
        const response = await fetch(`look?invert=${Number($("invert").checked)}`, { method: "POST", headers, body });
        const answer = await response.json();
        show(response.ok ? answer : { refusal: answer.error.message });
      } else {
        show({});
      }
    } catch {
      show({ refusal: "the studio does not answer: is its program still running?" });
    }
  } while (again);
  busy = false;
}

function show({ seen, top, similar, refusal }) {
  const [label, probability] = top ? top[0] : ["?", null];
  $("refusal").hidden = !refusal;
  $("refusal").textContent = refusal ? `${refusal[0].toUpperCase()}${refusal.slice(1)}.` : "";
  $("says").hidden = Boolean(refusal);
  $("says").className = `says${label.length > SHORT_LABEL ? " long" : ""}${top ? "" : " empty"}`;
  $("label").textContent = label;
  $("probability").textContent = top ? percent(probability) : "";
  for (const [id, source] of [["seen", seen], ["mean", similar?.mean]]) {
    $(id).hidden = !source;
    if (source) $(id).src = source;
  }
  $("nearest").textContent = similar?.class ?? "";
  showBars(top ?? facts.classes.slice(0, 10).map((name) => [name, null]), label);
}

function showBars(top, best) {
  // ten classes or fewer keep their places, so that the bars can be watched while one draws
  const order = facts.classes.length > 10 ? top : [...top].sort((a, b) => facts.classes.indexOf(a[0]) - facts.classes.indexOf(b[0]));
  const bars = $("bars");
  bars.classList.toggle("long", facts.classes.some((name) => name.length > SHORT_LABEL));
  while (bars.children.length < order.length) {
    const row = element("li");
    const bar = element("span", "bar");
    bar.append(element("i"));
    row.append(element("span", "class"), bar, element("span", "number"));
    bars.append(row);
  }
  order.forEach(([name, p], i) => {
    const [title, bar, number] = bars.children[i].children;
    bars.children[i].className = p !== null && name === best ? "best" : "";
    title.textContent = name;
    bar.firstChild.style.width = `${100 * (p ?? 0)}%`;
    number.textContent = p === null ? "" : percent(p);
  });
}

$("undo").addEventListener("click", undo);
$("clear").addEventListener("click", clear);
$("invert").addEventListener("change", () => { $("stage").classList.toggle("inverted", $("invert").checked); changed(); });
document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && !event.shiftKey && event.key.toLowerCase() === "z") {
    event.preventDefault();
    undo();
  }
});
start().catch(() => show({ refusal: "the studio does not answer: is its program still running?" }));
