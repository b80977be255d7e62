// Photo and heat as layers. The photo is an image that CSS moves and enlarges; the heat is a canvas
// over it, as large as the stage and blended by CSS opacity, whose pixels are looked up in a table.
// So a slider costs one look-up a pixel of the screen, however large the photo is.

const MAX_SCALE = 16; // CSS pixels a pixel of the photo
const PIXELS_SEEN_FROM = 3; // screen pixels: enlarged so far, the photo's pixels are left square
const MAX_CANVAS_PX = 3e6;
const CLICK_PX = 5; // a pointer that moved no further has clicked
const NEAR_PX = 16;
const SCROLL_MS = 250;
const RETRY_AFTER_MS = [250, 500, 1000, 2000, 4000];
const SLIDERS = ["opacity", "threshold"]; // their keys in the page

const viewers = new WeakMap();

export default function ({ data, parentElement, setStateValue }) {
  let viewer = viewers.get(parentElement);
  if (!viewer) viewers.set(parentElement, (viewer = new Viewer(parentElement)));
  const turn = viewer.update(data, setStateValue);
  // Streamlit may clean up after a call that a later one has overtaken.
  return () => {
    if (viewer.turn !== turn) return;
    viewer.close();
    viewers.delete(parentElement);
  };
}

class Viewer {
  turn = 0;
  photo = null; // what is shown: {id, width, height, ...}, its images in preview and full
  heat = null;
  view = { x: 0, y: 0, scale: 1 }; // the photo's point in the middle of the stage, and CSS px a px
  fitted = true;
  wipe = null; // share of the stage to the left of the divider
  measuring = false;
  points = []; // of the ruler, [x, y] in the photo's pixels
  mmPerPx = null;
  pointers = new Map();
  table = new Uint32Array(65536);
  stale = {}; // what is to be drawn: view, colours, opacity

  constructor(root) {
    for (const name of ["viewer", "stage", "marks", "divider", "zoom", "reading", "ruler", "hint"])
      this[name] = root.querySelector(`.${name}`);
    this.root = root;
    this.canvas = root.querySelector("canvas");
    this.context = this.canvas.getContext("2d");
    this.listen();
  }

  // ---- what Streamlit says

  update(data, setStateValue) {
    this.data = data;
    this.setStateValue = setStateValue;
    const turn = ++this.turn;
    this.follow();
    this.tell(data);
    this.load(turn).catch((error) => {
      if (turn === this.turn) this.fail(error);
    });
    return turn;
  }

  // To screen readers: this element stays, while the page makes what is seen of the verdict anew.
  tell({ photo, verdict }) {
    const told = `${photo.id} ${verdict}`;
    if (told === this.told) return;
    this.told = told;
    this.root.querySelector(".verdict-told").textContent = verdict;
  }

  async load(turn) {
    const { photo, heat, focus } = this.data;
    const samePhoto = this.photo?.id === photo.id;
    if (samePhoto && this.heat?.url === heat.url) {
      this.lookAt(focus);
      this.show();
      return;
    }
    delete this.viewer.dataset.shown;
    const wanted = () => turn === this.turn && !this.ending.signal.aborted;
    const loadPreview = () =>
      loadImage(photo.url).catch((error) => {
        if (wanted()) this.clear();
        throw error;
      });
    const [preview, layer] = await Promise.all([
      samePhoto ? this.preview : retried(loadPreview, wanted),
      this.context ? Heat.load(heat, wanted).catch((error) => error) : new Error("no canvas"),
    ]);
    if (turn !== this.turn) return;
    this.heat = layer instanceof Heat ? layer : null;
    if (!this.heat) console.warn("The heat can't be drawn:", layer);
    this.canvas.hidden = !this.heat;
    if (!samePhoto) this.change(photo, preview);
    this.lookAt(focus);
    this.show();
  }

  change(photo, preview) {
    this.preview?.remove();
    this.full?.remove();
    this.stage.querySelector(".plain")?.remove();
    const { ruler } = this.data;
    const mmPerPx = ruler && ruler.mm / distance(...ruler.points);
    Object.assign(this, { photo, preview, full: null, points: [], mmPerPx, fitted: true });
    preview.alt = "The photo as given";
    this.stage.prepend(preview);
    this.stage.setAttribute("aria-label", `${photo.name}, with the evidence for a crack as colours`);
    this.measure(false);
    this.resize();
  }

  // The sliders tell the server when they are let go; until then they are ahead of it.
  follow() {
    const slider = (key) => {
      if (this.held?.key === key && this.held.value !== null) return this.controls[key];
      const input = document.querySelector(`.st-key-${key} input[type="range"]`);
      return input ? Number(input.value) : this.data.controls[key];
    };
    const pill = document.querySelector('.st-key-colormap [aria-checked="true"]')?.textContent.trim();
    const controls = {
      opacity: slider("opacity"),
      threshold: slider("threshold"),
      colormap: pill in this.data.colormaps ? pill : this.data.controls.colormap,
    };
    this.control(controls);
  }

  control(controls) {
    const changed = (key) => controls[key] !== this.controls?.[key];
    if (changed("threshold") || changed("colormap")) this.redraw("colours");
    else if (changed("opacity")) this.redraw("opacity");
    this.controls = controls;
  }

  // React moves a slider a frame after the pointer. Where it moves can be told at once: as far from
  // where it was held as the pointer went, to the nearest step.
  hold(event) {
    const key = SLIDERS.find((each) => event.target.closest?.(`.st-key-${each} [role="group"]`));
    const group = key && document.querySelector(`.st-key-${key} [role="group"]`);
    const input = group?.querySelector("input");
    if (!input) return;
    const width = input.closest("[data-orientation]").offsetWidth;
    this.held = { key, input, width, x: event.clientX, value: null };
  }

  dragSlider(event) {
    const { held } = this;
    if (!held || !event.buttons) return;
    const [min, max, step] = ["min", "max", "step"].map((name) => Number(held.input[name]));
    held.value ??= Number(held.input.value);
    const value = held.value + ((event.clientX - held.x) / held.width) * (max - min);
    const steps = Math.round((clamp(value, min, max) - min) / step);
    this.control({ ...this.controls, [held.key]: Number((min + steps * step).toFixed(6)) });
  }

  letGo() {
    this.held = null;
    requestAnimationFrame(() => this.follow());
  }

  lookAt(focus) {
    // What was gone to before the page was left is not gone to again.
    const last = this.focusNumber ?? focus?.number;
    this.focusNumber = focus?.number ?? last ?? 0;
    if (!focus || focus.number === last) return;
    const [x, y, width, height] = focus.box;
    const margin = 24 + 0.1 * Math.max(width, height);
    const { width: across, height: down } = this.size;
    const scale = Math.min(across / (width + 2 * margin), down / (height + 2 * margin));
    this.moveTo(x + width / 2, y + height / 2, Math.max(scale, this.fitScale));
  }

  fail(error) {
    console.warn("The viewer failed:", error);
    let image = this.stage.querySelector(".plain");
    if (!image) {
      image = document.createElement("img");
      image.className = "plain";
      image.alt = "The photo as given";
      this.stage.prepend(image);
    }
    image.src = this.data.photo.url;
    this.say("The heat can't be drawn here. The download below holds it.");
  }

  // So that nothing of another photo stays under this one's verdict.
  clear() {
    if (this.photo) this.measure(false);
    this.preview?.remove();
    this.full?.remove();
    Object.assign(this, { photo: null, preview: null, full: null, heat: null });
    this.canvas.hidden = true;
    this.stage.setAttribute("aria-label", this.data.photo.name);
  }

  // ---- drawing

  redraw(what) {
    this.stale[what] = true;
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      try {
        this.draw();
      } catch (error) {
        this.fail(error);
      }
    });
  }

  draw() {
    if (!this.photo) return;
    if (this.stale.view) this.place();
    if (this.stale.view || this.stale.colours) this.colour();
    this.canvas.style.opacity = this.controls.opacity;
    this.stale = {};
    if (this.asked === this.turn) this.viewer.dataset.shown = this.photo.id;
  }

  show() {
    this.asked = this.turn;
    this.showUnits();
    this.redraw("view");
  }

  get size() {
    return { width: this.stage.clientWidth || 1, height: this.stage.clientHeight || 1 };
  }

  get fitScale() {
    const { width, height } = this.size;
    return Math.min(width / this.photo.width, height / this.photo.height, MAX_SCALE);
  }

  // A pixel of the photo as large as one of the screen.
  get ownScale() {
    return 1 / (devicePixelRatio || 1);
  }

  resize() {
    if (!this.photo) return;
    const { width } = this.size;
    // Low enough for the verdict and the sliders to stay in sight.
    const most = clamp(0.55 * innerHeight, 260, 800);
    const height = Math.min((width * this.photo.height) / this.photo.width, most);
    this.stage.style.setProperty("--stage-height", `${Math.max(160, Math.round(height))}px`);
    if (this.fitted) this.fit();
    else this.moveTo(this.view.x, this.view.y, this.view.scale);
  }

  // Photo and heat where the view has them; of the heat, what each pixel of the canvas shows.
  place() {
    const { width, height } = this.size;
    const { x, y, scale } = this.view;
    const onScreen = devicePixelRatio || 1;
    const snap = (value) => Math.round(value * onScreen) / onScreen;
    this.left = snap(width / 2 - x * scale);
    this.top = snap(height / 2 - y * scale);
    const wantsFull = this.photo.width * scale * onScreen > 1.05 * this.preview.naturalWidth;
    if (wantsFull && !this.full) this.loadFull();
    for (const image of [this.preview, this.full].filter(Boolean)) {
      image.style.width = `${this.photo.width}px`;
      image.style.height = `${this.photo.height}px`;
      image.style.transform = `translate(${this.left}px, ${this.top}px) scale(${scale})`;
      image.style.imageRendering = scale * onScreen >= PIXELS_SEEN_FROM ? "pixelated" : "auto";
    }
    // Drawn whole, the larger image costs more than it shows.
    if (this.full) this.full.hidden = !wantsFull;
    this.zoom.value = `${Math.round(100 * scale * onScreen)} %`;
    this.stage.classList.toggle("near", !this.fitted);
    this.placeMarks();
    if (!this.heat) return;

    const ratio = Math.min(onScreen, Math.sqrt(MAX_CANVAS_PX / (width * height)));
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    const columns = this.axis(this.left, ratio, this.canvas.width, "width");
    const rows = this.axis(this.top, ratio, this.canvas.height, "height");
    this.corner = [columns.first, rows.first];
    this.values = this.heat.sample(columns, rows);
    this.pixels =
      columns.count && rows.count ? new ImageData(columns.count, rows.count) : null;
  }

  // Which canvas pixels of a row or column show the photo, and where each falls on the heat's cells:
  // half-pixel centres and repeated edges, as in OpenCV, at the centre of the photo's pixel shown.
  axis(start, ratio, length, side) {
    const { scale } = this.view;
    const [pixels, cells] = [this.photo[side], this.heat[side]];
    const first = Math.max(0, Math.ceil(start * ratio - 0.5));
    const last = Math.min(length, Math.ceil((start + pixels * scale) * ratio - 0.5));
    const count = Math.max(0, last - first);
    const [low, high] = [new Int32Array(count), new Int32Array(count)];
    const share = new Float32Array(count);
    for (let i = 0; i < count; i++) {
      const at = ((first + i + 0.5) / ratio - start) / scale;
      const pixel = clamp(Math.floor(at), 0, pixels - 1);
      const cell = clamp(((pixel + 0.5) * cells) / pixels - 0.5, 0, cells - 1);
      low[i] = Math.floor(cell);
      high[i] = Math.min(low[i] + 1, cells - 1);
      share[i] = cell - low[i];
    }
    return { first, count, low, high, share };
  }

  colour() {
    const { threshold, colormap } = this.controls;
    const colours = this.colours(colormap);
    this.showThreshold(threshold);
    if (!this.heat || !this.pixels) return;
    const from = threshold * 255 * 256;
    for (let value = 0; value < 65536; value++)
      this.table[value] = value < from ? 0 : colours[(value + 128) >> 8];
    const out = new Uint32Array(this.pixels.data.buffer);
    const { values, table } = this;
    for (let i = 0; i < out.length; i++) out[i] = table[values[i]];
    this.context.putImageData(this.pixels, ...this.corner);
  }

  // The 256 colours as they lie in an ImageData, opaque.
  colours(colormap) {
    if (this.coloursOf !== colormap) {
      const bytes = Uint8Array.from(atob(this.data.colormaps[colormap]), (c) => c.charCodeAt(0));
      const rgba = new Uint8Array(4 * 256).fill(255);
      for (let i = 0; i < 256; i++) rgba.set(bytes.subarray(3 * i, 3 * i + 3), 4 * i);
      this.coloursOf = colormap;
      this.coloursNow = new Uint32Array(rgba.buffer);
      const stops = Array.from({ length: 17 }, (_, i) => {
        const at = 4 * Math.round((255 * i) / 16);
        return `rgb(${rgba[at]} ${rgba[at + 1]} ${rgba[at + 2]})`;
      });
      this.inBar("scale").style.background = `linear-gradient(to right, ${stops})`;
    }
    return this.coloursNow;
  }

  inBar(name) {
    return this.root.querySelector(`.colour-bar .${name}`);
  }

  showUnits() {
    const { title, signed } = this.data.bar;
    this.inBar("title").textContent = title;
    this.inBar("low").textContent = signed ? `${this.reads(0)} or less` : "0";
    this.inBar("high").textContent = signed ? `${this.reads(1)} or more` : "1";
  }

  showThreshold(threshold) {
    this.inBar("from").textContent = `drawn from ${this.reads(threshold)} up`;
    this.inBar("hidden").style.width = this.inBar("threshold").style.left = `${100 * threshold}%`;
    const drawn = this.heat && this.heat.highest >= threshold * 255;
    this.root.querySelector(".caption").textContent = this.heat
      ? this.data.captions[drawn ? 0 : 1]
      : "The heat can't be drawn here. The download below holds it.";
  }

  // Heat of 0 to 1 in the units of the colour bar.
  reads(heat) {
    const { low, high, signed } = this.data.bar;
    const value = low + heat * (high - low);
    return signed ? `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(1)}` : value.toFixed(2);
  }

  async loadFull() {
    const { photo } = this;
    const full = document.createElement("img");
    this.full = full;
    full.alt = "";
    const wanted = () => this.full === full && !this.ending.signal.aborted;
    try {
      await retried(() => loadImage(photo.fullUrl, full), wanted);
    } catch (error) {
      console.warn("The photo at its full size can't be shown:", error);
      return;
    }
    if (this.full !== full) return;
    this.preview.after(full);
    this.redraw("view");
    this.viewer.dataset.full = photo.id;
  }

  // ---- where one looks

  // No smaller than the stage, but for a small photo's own pixels.
  moveTo(x, y, scale) {
    const { width, height } = this.photo;
    const fit = this.fitScale;
    this.view.scale = clamp(scale, Math.min(fit, this.ownScale), Math.max(MAX_SCALE, fit));
    this.fitted = Math.abs(this.view.scale / fit - 1) < 1e-4;
    const whole = this.fitted || this.view.scale < fit;
    this.view.x = whole ? width / 2 : clamp(x, 0, width);
    this.view.y = whole ? height / 2 : clamp(y, 0, height);
    this.redraw("view");
  }

  fit() {
    this.moveTo(0, 0, this.fitScale);
  }

  // So that the point of the photo under (x, y) of the stage, by default its middle, stays there.
  zoomAt(factor, x = this.size.width / 2, y = this.size.height / 2) {
    const { width, height } = this.size;
    const [px, py] = this.toPhoto(x, y);
    const most = Math.max(MAX_SCALE, this.fitScale);
    const scale = clamp(this.view.scale * factor, Math.min(this.fitScale, this.view.scale), most);
    this.moveTo(px - (x - width / 2) / scale, py - (y - height / 2) / scale, scale);
  }

  pan(dx, dy) {
    const { x, y, scale } = this.view;
    this.moveTo(x - dx / scale, y - dy / scale, scale);
  }

  toPhoto(x, y) {
    const { width, height } = this.size;
    const { view } = this;
    return [view.x + (x - width / 2) / view.scale, view.y + (y - height / 2) / view.scale];
  }

  inPhoto([x, y]) {
    return [clamp(x, 0, this.photo.width), clamp(y, 0, this.photo.height)];
  }

  toStage([x, y]) {
    return [this.left + x * this.view.scale, this.top + y * this.view.scale];
  }

  within(event) {
    const box = this.stage.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  // ---- reading

  read(point, aloud = false) {
    const now = this.root.querySelector(".now");
    const [x, y] = point ? point.map(Math.floor) : [-1, -1];
    const inside = point && x >= 0 && y >= 0 && x < this.photo.width && y < this.photo.height;
    now.hidden = !inside || !this.heat;
    if (!inside) return this.say("");
    const place = `x ${x}, y ${y}`;
    if (!this.heat) return this.say(place, aloud);
    const heat = this.heat.at(x, y, this.photo);
    const { signed } = this.data.bar;
    const unit = signed ? " log-odds" : "";
    const bound = signed && heat <= 0 ? "≤ " : signed && heat >= 1 ? "≥ " : "";
    now.style.left = `${100 * heat}%`;
    return this.say(`${place}: ${bound}${this.reads(heat)}${unit}`, aloud);
  }

  readMiddle() {
    const { width, height } = this.photo;
    this.read([Math.min(this.view.x, width - 1), Math.min(this.view.y, height - 1)], true);
  }

  say(text, aloud = false) {
    this.reading.setAttribute("aria-live", aloud ? "polite" : "off");
    this.reading.value = text;
  }

  // ---- wiping and measuring

  setWipe(share) {
    this.wipe = share === null ? null : clamp(share, 0, 1);
    const on = this.wipe !== null;
    this.divider.hidden = !on;
    this.button("wipe").setAttribute("aria-pressed", on);
    this.canvas.style.clipPath = on ? `inset(0 0 0 ${100 * this.wipe}%)` : "";
    if (!on) return;
    this.divider.style.left = `${100 * this.wipe}%`;
    this.divider.setAttribute("aria-valuenow", Math.round(100 * this.wipe));
  }

  measure(on) {
    this.measuring = on;
    this.stage.classList.toggle("measuring", on);
    this.button("ruler").setAttribute("aria-pressed", on);
    if (!on) this.points = [];
    this.placeMarks();
  }

  setPoint(point) {
    const inside = this.inPhoto(point);
    this.points = this.points.length === 1 ? [this.points[0], inside] : [inside];
    this.placeMarks();
    if (this.points.length === 2) this.ruler.elements[0].focus({ preventScroll: true });
  }

  placeMarks() {
    const ends = this.photo ? this.points.map((point) => this.toStage(point)) : [];
    const circles = ends.map(([x, y]) => `<circle cx="${x}" cy="${y}" r="6"/>`);
    const [a, b] = ends;
    if (b) circles.push(`<line x1="${a[0]}" y1="${a[1]}" x2="${b[0]}" y2="${b[1]}"/>`);
    this.marks.innerHTML = circles.join("");
    this.ruler.hidden = !this.measuring;
    const whole = this.points.length === 2;
    for (const part of [this.ruler.querySelector("label"), this.ruler.querySelector("button")])
      part.hidden = !whole;
    this.hint.textContent = whole
      ? this.lengthSays(distance(...this.points))
      : ["Mark two points whose distance you know: the first", "the second"][this.points.length];
  }

  lengthSays(lengthPx) {
    const mm = this.mmPerPx ? `, ${(lengthPx * this.mmPerPx).toPrecision(3)} mm` : "";
    return `${lengthPx.toFixed(1)} px${mm}`;
  }

  setScale() {
    const lengthPx = distance(...this.points);
    if (lengthPx < 2) return this.say("Too near to measure by: choose two points far apart.", true);
    const mm = Number(this.ruler.elements[0].value);
    this.mmPerPx = mm / lengthPx;
    this.setStateValue("ruler", { photo: this.photo.id, points: this.points, mm });
    this.placeMarks();
    this.say(`Scale: ${this.mmPerPx.toPrecision(3)} mm a pixel`, true);
  }

  // ---- hands

  button(name) {
    return this.root.querySelector(`[data-do="${name}"]`);
  }

  actions = {
    in: () => this.zoomAt(1.5),
    out: () => this.zoomAt(1 / 1.5),
    fit: () => this.fit(),
    own: () => this.moveTo(this.view.x, this.view.y, this.ownScale),
    wipe: () => this.setWipe(this.wipe === null ? 0.5 : null),
    ruler: () => this.measure(!this.measuring),
    full: () =>
      this.root.fullscreenElement ? document.exitFullscreen() : this.viewer.requestFullscreen(),
  };

  keys = {
    "+": this.actions.in,
    "=": this.actions.in,
    "-": this.actions.out,
    0: this.actions.fit,
    1: this.actions.own,
    w: this.actions.wipe,
    r: this.actions.ruler,
    f: this.actions.full,
    ArrowLeft: () => this.pan(60, 0),
    ArrowRight: () => this.pan(-60, 0),
    ArrowUp: () => this.pan(0, 60),
    ArrowDown: () => this.pan(0, -60),
    Enter: () => this.measuring && this.setPoint([this.view.x, this.view.y]),
    Escape: () => this.measure(false),
  };

  listen() {
    this.ending = new AbortController();
    const { signal } = this.ending;
    const on = (target, type, handle, options = {}) =>
      target.addEventListener(type, (event) => this.photo && handle(event), { signal, ...options });

    this.observers = [new ResizeObserver(() => requestAnimationFrame(() => this.resize())), new MutationObserver(() => this.follow())];
    this.observers[0].observe(this.stage);
    this.observers[1].observe(document.body, {
      subtree: true,
      attributeFilter: ["aria-valuetext", "aria-checked"],
    });
    on(window, "resize", () => this.resize());
    on(window, "pointerdown", (event) => this.hold(event), { capture: true });
    on(window, "pointermove", (event) => this.dragSlider(event), { capture: true });
    for (const type of ["pointerup", "pointercancel"]) on(window, type, () => this.held && this.letGo());

    for (const button of this.root.querySelectorAll("[data-do]"))
      on(button, "click", () => this.actions[button.dataset.do]());
    this.button("full").hidden = !document.fullscreenEnabled;
    on(this.ruler, "keydown", (event) => {
      if (event.key !== "Escape") return;
      this.measure(false);
      this.stage.focus({ preventScroll: true });
    });
    on(this.ruler, "submit", (event) => {
      event.preventDefault();
      this.setScale();
    });

    // A scroll of the page that comes past the stage does not begin to zoom there.
    let scrolledAt = -Infinity;
    on(window, "wheel", (event) => {
      if (!event.composedPath().includes(this.stage)) scrolledAt = event.timeStamp;
    }, { passive: true, capture: true });
    on(this.stage, "wheel", (event) => {
      const passing = event.timeStamp - scrolledAt < SCROLL_MS && !event.ctrlKey;
      if (passing || (this.fitted && event.deltaY > 0)) {
        scrolledAt = event.timeStamp;
        return;
      }
      event.preventDefault();
      const lines = event.deltaMode === 1 ? 20 : 1;
      const speed = event.ctrlKey ? 0.01 : 0.002;
      this.zoomAt(Math.exp(-clamp(event.deltaY * lines, -240, 240) * speed), ...this.within(event));
    }, { passive: false });

    on(this.stage, "pointerdown", (event) => this.press(event));
    on(this.stage, "pointermove", (event) => this.drag(event));
    for (const type of ["pointerup", "pointercancel"])
      on(this.stage, type, (event) => this.release(event));
    // A finger leaves at once; what it tapped stays read.
    on(this.stage, "pointerleave", (event) => {
      if (event.pointerType === "mouse" && !this.pointers.size) this.read(null);
    });
    on(this.stage, "dblclick", (event) => {
      if (this.measuring || event.target === this.divider) return;
      const closer = Math.max(this.ownScale, 3 * this.fitScale);
      if (this.fitted) this.zoomAt(closer / this.view.scale, ...this.within(event));
      else this.fit();
    });

    on(this.stage, "keydown", (event) => {
      if (event.target !== this.stage || event.ctrlKey || event.metaKey || event.altKey) return;
      const act = this.keys[event.key] ?? this.keys[event.key.toLowerCase()];
      if (!act) return;
      // Streamlit has shortcuts of its own on single letters.
      event.stopPropagation();
      event.preventDefault();
      act();
      this.readMiddle();
    });
    on(this.divider, "keydown", (event) => {
      const to = {
        ArrowLeft: this.wipe - 0.02,
        ArrowDown: this.wipe - 0.02,
        ArrowRight: this.wipe + 0.02,
        ArrowUp: this.wipe + 0.02,
        Home: 0,
        End: 1,
      }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      this.setWipe(to);
    });
  }

  press(event) {
    if (event.button) return;
    this.stage.setPointerCapture(event.pointerId);
    const [x, y] = this.within(event);
    const held = this.points.findIndex((end) => distance(this.toStage(end), [x, y]) < NEAR_PX);
    this.pointers.set(event.pointerId, { x, y, from: [x, y], moved: this.pointers.size > 0 });
    this.dragged =
      event.target === this.divider ? "divider" : this.measuring && held >= 0 ? held : "view";
    this.stage.classList.toggle("grabbed", this.dragged === "view" && !this.measuring);
  }

  drag(event) {
    const [x, y] = this.within(event);
    const pointer = this.pointers.get(event.pointerId);
    if (!pointer) return void this.read(this.toPhoto(x, y));
    const [dx, dy] = [x - pointer.x, y - pointer.y];
    if (distance([x, y], pointer.from) > CLICK_PX) pointer.moved = true;
    const other = [...this.pointers.values()].find((each) => each !== pointer);
    if (this.dragged === "divider") this.setWipe(x / this.size.width);
    else if (typeof this.dragged === "number") {
      this.points[this.dragged] = this.inPhoto(this.toPhoto(x, y));
      this.placeMarks();
    } else if (other) {
      const apart = (p) => Math.max(1, distance([p.x, p.y], [other.x, other.y]));
      this.pan(dx / 2, dy / 2);
      this.zoomAt(apart({ x, y }) / apart(pointer), (x + other.x) / 2, (y + other.y) / 2);
      other.moved = true;
    } else if (pointer.moved) this.pan(dx, dy);
    if (pointer.moved || other) Object.assign(pointer, { x, y });
  }

  release(event) {
    const pointer = this.pointers.get(event.pointerId);
    this.pointers.delete(event.pointerId);
    this.stage.classList.remove("grabbed");
    if (!pointer || pointer.moved || event.type === "pointercancel") return;
    const point = this.toPhoto(...this.within(event));
    if (this.dragged === "view" && this.measuring) this.setPoint(point);
    this.read(point);
  }

  close() {
    this.ending.abort();
    for (const observer of this.observers) observer.disconnect();
    cancelAnimationFrame(this.frame);
  }
}

// One channel of 0 to 255, at its own size.
class Heat {
  constructor(url, bytes, width, height) {
    Object.assign(this, { url, bytes, width, height, highest: 0 });
    for (const byte of bytes) if (byte > this.highest) this.highest = byte;
  }

  static async load({ url, width, height }, wanted) {
    const response = await retried(async () => {
      const answer = await fetch(url);
      if (!answer.ok) throw new Error(`${url}: ${answer.status}`);
      return answer;
    }, wanted);
    const inflated = response.body.pipeThrough(new DecompressionStream("deflate"));
    const bytes = new Uint8Array(await new Response(inflated).arrayBuffer());
    if (bytes.length !== width * height) throw new Error(`${url}: ${bytes.length} bytes`);
    return new Heat(url, bytes, width, height);
  }

  // Bilinear, 256 steps finer than the bytes: uint16 (rows.count, columns.count).
  sample(columns, rows) {
    const { bytes, width } = this;
    const { low, high, share, count } = columns;
    const values = new Uint16Array(rows.count * count);
    const line = new Float32Array(width);
    const [from, to] = count ? [low[0], high[count - 1]] : [0, -1];
    let at = 0;
    for (let row = 0; row < rows.count; row++) {
      const [above, below] = [rows.low[row] * width, rows.high[row] * width];
      const part = rows.share[row];
      for (let i = from; i <= to; i++)
        line[i] = 256 * (bytes[above + i] + (bytes[below + i] - bytes[above + i]) * part);
      for (let i = 0; i < count; i++) {
        const left = line[low[i]];
        values[at++] = left + (line[high[i]] - left) * share[i] + 0.5;
      }
    }
    return values;
  }

  // Heat of 0 to 1 at the centre of a pixel of the photo.
  at(x, y, photo) {
    const axis = (pixel, pixels, cells) => {
      const cell = clamp(((pixel + 0.5) * cells) / pixels - 0.5, 0, cells - 1);
      const low = Math.floor(cell);
      return { count: 1, low: [low], high: [Math.min(low + 1, cells - 1)], share: [cell - low] };
    };
    const columns = axis(x, photo.width, this.width);
    return this.sample(columns, axis(y, photo.height, this.height))[0] / (255 * 256);
  }
}

// Streamlit drops the files of a session whose page is running anew, if another session's run ends
// just then. As soon as the page's run gets to the viewer, they are back at the same address.
async function retried(load, wanted) {
  for (const wait of RETRY_AFTER_MS) {
    try {
      return await load();
    } catch (error) {
      await new Promise((done) => setTimeout(done, wait));
      if (!wanted()) throw error;
    }
  }
  return load();
}

async function loadImage(url, image = document.createElement("img")) {
  image.src = url;
  await image.decode();
  return image;
}

function distance([ax, ay], [bx, by]) {
  return Math.hypot(bx - ax, by - ay);
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}
