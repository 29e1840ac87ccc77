"use strict";
/* Viewers of pictures: versions side by side that move together, or two of them with a slider between. */

const MOST = 32;  // the nearest look: this many times what fits

function make(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

class Viewer {
  constructor(root) {
    this.root = root;
    this.pictures = JSON.parse(root.querySelector("script").textContent);
    this.number = 0;
    this.sliding = false;
    this.split = 50;
    this.chosen = [Number(root.dataset.left), Number(root.dataset.right)];
    this.pointers = new Map();
    this.panes = [];
    this.build();
    this.whole();
    new ResizeObserver(() => this.place()).observe(this.stage);
  }

  build() {
    const button = (text, label, action) => {
      const node = make("button", { type: "button", textContent: text, onclick: action });
      node.setAttribute("aria-label", label);
      return node;
    };
    const many = this.pictures.length > 1;
    this.picker = make("select", { onchange: () => this.show(Number(this.picker.value)) });
    this.pictures.forEach((one, i) => this.picker.append(make("option", { value: i, textContent: one.name })));
    this.side = button("Side by side", "Side by side", () => this.slide(false));
    this.over = button("Slider", "Slider between two", () => this.slide(true));
    this.choices = [0, 1].map((place) => {
      const node = make("select", { onchange: () => { this.chosen[place] = Number(node.value); this.draw(); } });
      node.setAttribute("aria-label", place ? "Right of the slider" : "Left of the slider");
      this.pictures[0].versions.forEach((one, i) => node.append(make("option", { value: i, textContent: one.title })));
      return node;
    });
    this.level = make("output");
    this.tools = make("div", { className: "tools" },
      make("label", { hidden: !many }, "Picture", this.picker),
      this.side, this.over, ...this.choices,
      button("+", "Closer", () => this.zoomBy(1.5)), button("\u2212", "Further", () => this.zoomBy(1 / 1.5)),
      button("Whole", "The whole picture", () => this.whole()), this.level);
    this.stage = make("div", { className: "panes", tabIndex: 0, onkeydown: (event) => this.key(event) });
    this.stage.setAttribute("role", "group");
    this.stage.setAttribute("aria-label", "Pictures: plus and minus zoom, arrows move, 0 shows all");
    this.range = make("input", { type: "range", min: 0, max: 100, step: 1, value: 50,
      oninput: () => this.setSplit(Number(this.range.value)) });
    this.range.setAttribute("aria-label", "Where the slider stands");
    this.slider = make("div", { className: "slider" }, this.range);
    const hint = make("p", { className: "hint" },
      "Drag to move, wheel or two fingers to zoom; all versions move together.");
    hint.append(make("span", { className: "keys",
      textContent: " Keys: + \u2212 zoom, arrows move, 0 whole, s slider, n and p other pictures." }));
    this.root.append(this.tools, this.stage, this.slider, hint);
    this.draw();
  }

  get versions() { return this.pictures[this.number].versions; }

  show(number) {
    this.number = (number + this.pictures.length) % this.pictures.length;
    this.picker.value = this.number;
    this.draw();
    this.whole();
  }

  slide(sliding) { this.sliding = sliding && this.versions.length > 1; this.draw(); }

  draw() {
    this.side.setAttribute("aria-pressed", String(!this.sliding));
    this.over.setAttribute("aria-pressed", String(this.sliding));
    this.over.hidden = this.versions.length < 2;
    this.choices.forEach((node, place) => { node.hidden = !this.sliding; node.value = this.chosen[place]; });
    this.slider.hidden = !this.sliding;
    this.stage.classList.toggle("sliding", this.sliding);
    this.panes = [];
    this.stage.replaceChildren(...(this.sliding ? [this.pair()] : this.versions.map((one) => this.single(one))));
    this.setSplit(this.split);
    this.place();
  }

  image(version) {
    const node = make("img", { alt: `${this.pictures[this.number].name}, ${version.title}`, draggable: false });
    node.onload = () => this.place();
    node.src = version.source;
    return node;
  }

  pane(images, ...others) {
    const node = make("div", { className: "pane" }, ...others);
    this.panes.push({ node, images });
    node.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoomBy(event.deltaY < 0 ? 1.25 : 0.8, this.point(node, event));
    }, { passive: false });
    for (const kind of ["pointerdown", "pointermove", "pointerup", "pointercancel"]) {
      node.addEventListener(kind, (event) => this.pointer(node, event));
    }
    return node;
  }

  caption(version) {
    return make("figcaption", {}, make("b", { textContent: version.title }),
      version.caption ? ` ${version.caption}` : "");
  }

  single(version) {
    const image = this.image(version);
    return make("figure", {}, this.pane([image], image), this.caption(version));
  }

  pair() {
    const [first, second] = this.chosen.map((index) => this.versions[index]);
    const images = [this.image(first), this.image(second)];
    const under = make("div", { className: "layer" }, images[0]);
    const over = make("div", { className: "layer over" }, images[1]);
    const marks = [make("span", { className: "mark first", textContent: first.title }),
      make("span", { className: "mark second", textContent: second.title })];
    return make("figure", {}, this.pane(images, under, over, make("div", { className: "edge" }), ...marks),
      this.caption(first), this.caption(second));
  }

  setSplit(value) {
    this.split = Math.min(100, Math.max(0, value));
    this.range.value = this.split;
    this.stage.style.setProperty("--split", `${this.split}%`);
  }

  whole() { this.zoom = 1; this.x = this.y = 0.5; this.place(); }

  /** Places every image so that the same point is in the middle of each pane. */
  place() {
    for (const { node, images } of this.panes) {
      for (const image of images) {
        if (!image.naturalWidth) continue;
        this.stage.style.setProperty("--ratio", image.naturalWidth / image.naturalHeight);
        const width = node.clientWidth, height = node.clientHeight;
        const scale = this.zoom * Math.min(width / image.naturalWidth, height / image.naturalHeight);
        const w = image.naturalWidth * scale, h = image.naturalHeight * scale;
        const bound = (at, size, room) => size <= room ? 0.5 : Math.min(1 - room / size / 2, Math.max(room / size / 2, at));
        this.x = bound(this.x, w, width);
        this.y = bound(this.y, h, height);
        image.style.transform = `translate(${width / 2 - this.x * w}px, ${height / 2 - this.y * h}px) scale(${scale})`;
        image.classList.toggle("near", scale * devicePixelRatio > 1.5);
        this.scale = scale;
      }
    }
    this.level.value = `${Math.round(100 * (this.scale || 1))} %`;
  }

  /** Where an event is in its pane, from the middle, in parts of the shown picture. */
  point(node, event) {
    const box = node.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width - 0.5, (event.clientY - box.top) / box.height - 0.5];
  }

  zoomBy(factor, [dx, dy] = [0, 0]) {
    const before = this.zoom;
    this.zoom = Math.min(MOST, Math.max(1, before * factor));
    this.x += dx * (1 / before - 1 / this.zoom);
    this.y += dy * (1 / before - 1 / this.zoom);
    this.place();
  }

  moveBy(dx, dy) { this.x -= dx / this.zoom; this.y -= dy / this.zoom; this.place(); }

  pointer(node, event) {
    const known = this.pointers.get(event.pointerId);
    if (event.type === "pointerdown") {
      node.setPointerCapture(event.pointerId);
      const box = node.getBoundingClientRect();
      const at = (event.clientX - box.left) / box.width * 100;
      const grips = this.sliding && Math.abs(at - this.split) * box.width / 100 < 24;
      this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY, grips });
      node.classList.add("moving");
    } else if (event.type === "pointermove" && known) {
      const box = node.getBoundingClientRect();
      const others = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, one]) => one);
      if (others.length) {
        const [other] = others;
        const far = (x, y) => Math.hypot(x - other.x, y - other.y) || 1;
        const middle = { clientX: (event.clientX + other.x) / 2, clientY: (event.clientY + other.y) / 2 };
        this.zoomBy(far(event.clientX, event.clientY) / far(known.x, known.y), this.point(node, middle));
      } else if (known.grips) {
        this.setSplit((event.clientX - box.left) / box.width * 100);
      } else {
        this.moveBy((event.clientX - known.x) / box.width, (event.clientY - known.y) / box.height);
      }
      Object.assign(known, { x: event.clientX, y: event.clientY });
    } else if (known) {
      this.pointers.delete(event.pointerId);
      node.classList.toggle("moving", this.pointers.size > 0);
    }
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const moves = { ArrowLeft: [0.1, 0], ArrowRight: [-0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] };
    const actions = {
      "+": () => this.zoomBy(1.5), "=": () => this.zoomBy(1.5), "-": () => this.zoomBy(1 / 1.5),
      "0": () => this.whole(), s: () => this.slide(!this.sliding),
      n: () => this.show(this.number + 1), p: () => this.show(this.number - 1),
    };
    if (moves[event.key]) this.moveBy(...moves[event.key]);
    else if (actions[event.key]) actions[event.key]();
    else return;
    event.preventDefault();
  }
}

for (const root of document.querySelectorAll(".viewer")) root.viewer = new Viewer(root);
