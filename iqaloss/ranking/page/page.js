"use strict";

const subject = location.pathname.split("/").pop();
const at = (id) => document.getElementById(id);
const stage = at("stage"), status = at("status");
const sides = ["left", "right"];
const views = sides.map((side) => ({ side, pane: at(`pane-${side}`), image: at(side) }));
const view = { zoom: 1, x: 0, y: 0 };  // x and y: how far the middle is moved, in widths and heights of the picture
const LARGEST = 32;

let state = null;      // what the server told last
let shown = 0;         // when both pictures were there
let busy = true;       // no vote while pictures load or a vote is on its way

// --- looking ---

/** How many CSS pixels a pixel of the picture takes when it is whole: even pixels where it is small. */
function fit({ pane, image }) {
  const scale = Math.min(pane.clientWidth / image.naturalWidth, pane.clientHeight / image.naturalHeight);
  return scale > 1 ? Math.floor(scale) : scale;
}

function draw() {
  for (const each of views) {
    if (!each.image.naturalWidth) continue;
    const scale = fit(each) * view.zoom;
    const width = each.image.naturalWidth * scale, height = each.image.naturalHeight * scale;
    const left = Math.round((view.x - 0.5) * width), top = Math.round((view.y - 0.5) * height);
    each.image.style.transform = `translate(${left}px, ${top}px) scale(${scale})`;
    each.image.classList.toggle("enlarged", scale > 1);
  }
  at("zoom").textContent = `${Math.round(view.zoom * 100)} %`;
}

function clamp(value, low, high) { return Math.min(high, Math.max(low, value)); }

function settle() {
  const far = 0.5 - 0.5 / view.zoom;  // a border of the picture comes to the middle at most
  view.x = clamp(view.x, -far, far);
  view.y = clamp(view.y, -far, far);
  draw();
}

/** Zooms so that the point (x, y) of a pane, from its middle in CSS pixels, stays where it is. */
function zoomTo(zoom, each = views[0], x = 0, y = 0) {
  const next = clamp(zoom, 1, LARGEST), whole = fit(each);
  const width = each.image.naturalWidth * whole, height = each.image.naturalHeight * whole;
  if (!width) return;
  view.x += (x / width) * (1 / next - 1 / view.zoom);
  view.y += (y / height) * (1 / next - 1 / view.zoom);
  view.zoom = next;
  if (next === 1) { view.x = 0; view.y = 0; }
  settle();
}

function move(each, x, y) {
  const scale = fit(each) * view.zoom;
  view.x += x / (each.image.naturalWidth * scale);
  view.y += y / (each.image.naturalHeight * scale);
  settle();
}

for (const each of views) {
  const pointers = new Map();
  const middle = (event) => {
    const box = each.pane.getBoundingClientRect();
    return [event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2];
  };
  const spread = () => {
    const [a, b] = [...pointers.values()];
    return [Math.hypot(a[0] - b[0], a[1] - b[1]), (a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
  };
  each.pane.addEventListener("pointerdown", (event) => {
    each.pane.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, middle(event));
    each.pane.classList.add("moving");
  });
  each.pane.addEventListener("pointermove", (event) => {
    if (!pointers.has(event.pointerId)) return;
    const before = pointers.size === 2 ? spread() : pointers.get(event.pointerId);
    pointers.set(event.pointerId, middle(event));
    if (pointers.size === 2) {
      const after = spread();
      move(each, after[1] - before[1], after[2] - before[2]);
      zoomTo(view.zoom * after[0] / Math.max(1, before[0]), each, after[1], after[2]);
    } else {
      const after = pointers.get(event.pointerId);
      move(each, after[0] - before[0], after[1] - before[1]);
    }
  });
  for (const kind of ["pointerup", "pointercancel"]) {
    each.pane.addEventListener(kind, (event) => {
      pointers.delete(event.pointerId);
      if (!pointers.size) each.pane.classList.remove("moving");
    });
  }
  each.pane.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoomTo(view.zoom * Math.exp(-clamp(event.deltaY, -100, 100) / 250), each, ...middle(event));
  }, { passive: false });
  each.pane.addEventListener("dblclick", (event) => zoomTo(view.zoom > 1 ? 1 : 4, each, ...middle(event)));
}
addEventListener("resize", draw);

function flip(on) {
  stage.classList.toggle("flipping", on);
  stage.classList.toggle("shows-left", on);
  stage.classList.remove("shows-right");
  at("flip").setAttribute("aria-pressed", String(on));
  at("other").hidden = !on;
  if (on) tell("Picture A");
  draw();
}

function other() {
  if (!stage.classList.contains("flipping")) return;
  const right = stage.classList.toggle("shows-right");
  stage.classList.toggle("shows-left", !right);
  tell(right ? "Picture B" : "Picture A");
}

// --- voting ---

function tell(text, bad = false) {
  status.textContent = text;
  status.classList.toggle("bad", bad);
}

function allow() {
  const closed = busy || !state || !state.trial;
  for (const id of ["vote-left", "vote-right", "vote-tie"]) at(id).disabled = closed;
  at("undo").disabled = busy || !state || !state.undo;
}

async function ask(path, body) {
  const signal = AbortSignal.timeout(20000);
  const options = body === undefined ? { signal } :
    { signal, method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const answer = await fetch(`/${path}/${subject}`, options);
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.error || `status ${answer.status}`);
  return told;
}

async function show(next) {
  state = next;
  at("progress").max = Math.max(1, state.total);
  at("progress").value = state.done;
  at("count").textContent = `${state.done} of ${state.total}`;
  at("vote-tie").hidden = !state.ties;
  const ended = !state.trial;
  at("end").hidden = !ended;
  for (const id of ["stage", "votes"]) at(id).hidden = ended;
  for (const id of ["flip", "closer", "wider", "whole", "zoom"]) at(id).hidden = ended;
  flip(false);
  Object.assign(view, { zoom: 1, x: 0, y: 0 });
  tell("");
  if (ended) return;
  for (const { image } of views) image.classList.add("waiting");
  await Promise.all(views.map(({ image, side }) => {
    image.src = state.trial[side];
    return image.decode();
  }));
  draw();
  for (const { image } of views) image.classList.remove("waiting");
  for (const trial of state.next) for (const side of sides) new Image().src = trial[side];
  shown = performance.now();
}

/** Does one thing with the server; what went wrong is said and can be tried again. */
async function attempt(action, failure, success = "") {
  busy = true;
  allow();
  try {
    const next = await action();
    await show(next);
    if (success) tell(`${success}, ${next.done} of ${next.total}`);
  } catch (error) {
    tell(`${failure}: ${error.message}`, true);
  }
  busy = false;
  allow();
}

function vote(answer) {
  if (busy || !state || !state.trial || (answer === "tie" && !state.ties)) return;
  const seconds = (performance.now() - shown) / 1000;
  attempt(() => ask("vote", { key: state.trial.key, answer, seconds }), "Not saved, please vote again", "Saved");
}

function undo() {
  if (busy || !state || !state.undo) return;
  attempt(() => ask("undo", {}), "Not undone, please try again", "Undone");
}

const actions = {
  "vote-left": () => vote("left"), "vote-right": () => vote("right"), "vote-tie": () => vote("tie"), undo, other,
  flip: () => flip(!stage.classList.contains("flipping")),
  closer: () => zoomTo(view.zoom * 2), wider: () => zoomTo(view.zoom / 2), whole: () => zoomTo(1),
};
const keys = {
  arrowleft: "vote-left", arrowright: "vote-right", arrowdown: "vote-tie", u: "undo", backspace: "undo", f: "flip",
  x: "other", "+": "closer", "=": "closer", "-": "wider", 0: "whole",
};
for (const [id, action] of Object.entries(actions)) at(id).addEventListener("click", action);
addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  const key = event.key.toLowerCase();
  const step = { arrowleft: [60, 0], arrowright: [-60, 0], arrowup: [0, 60], arrowdown: [0, -60] }[key];
  if (event.shiftKey && step) move(views[0], ...step);
  else if (keys[key]) actions[keys[key]]();
  else return;
  event.preventDefault();
});

attempt(() => ask("state"), "The server does not answer, please reload");
