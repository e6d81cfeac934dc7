// A chart of the last ten minutes: one SVG that is drawn anew each second, with
// the nodes that it has. No style attributes: the content security policy forbids
// them.

const ns = "http://www.w3.org/2000/svg";
const span = 600; // seconds from the left edge to the right one
const margin = { left: 54, right: 8, top: 8, bottom: 20 };

export function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function shape(name, attributes = {}) {
  const node = document.createElementNS(ns, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

// A round number that is at least v.
function round(v) {
  if (!(v > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(v));
  return [1, 2, 2.5, 5, 10].map((m) => m * power).find((n) => n >= v * 0.999999);
}

// Chart draws series over time. Each series has a name, a color class, a kind
// (area, line, dashed, stack), and the values of each sample, null where unknown.
export class Chart {
  constructor(parent, { title, format, tidy }) {
    this.title = title;
    this.format = format; // of a value, for people
    this.round = tidy ?? round; // the top of the scale, from the greatest value
    const id = "chart-" + title.toLowerCase().replace(/[^a-z]+/g, "-");
    this.legend = element("ul", { class: "legend" });
    this.svg = shape("svg", { class: "plot", role: "img", tabindex: "0", "aria-labelledby": id, "aria-describedby": id + "-text" });
    this.text = element("figcaption", { class: "unseen", id: id + "-text" });
    this.figure = element("figure", { class: "card chart" }, element("h2", { id }, title), this.legend, this.svg, this.text);
    parent.append(this.figure);
    this.grid = this.svg.appendChild(shape("path", { class: "grid" }));
    this.labels = [0, 1, 2].map(() => this.svg.appendChild(shape("text", { "text-anchor": "end" })));
    this.times = [10, 5, 0].map((minutes) => {
      const t = this.svg.appendChild(shape("text", { "text-anchor": minutes === 0 ? "end" : minutes === 10 ? "start" : "middle" }));
      t.textContent = minutes === 0 ? "now" : minutes + " min ago";
      return t;
    });
    this.group = this.svg.appendChild(shape("g"));
    this.cursor = this.svg.appendChild(shape("line", { class: "cursor" }));
    this.cursor.setAttribute("visibility", "hidden");
    this.paths = [];
    this.items = [];
    this.at = null; // index of the sample under the cursor
    this.series = [];
    this.ages = [];
    this.frame = null; // that the next drawing waits for
    this.svg.addEventListener("pointermove", (e) => this.point(e.offsetX));
    this.svg.addEventListener("pointerleave", () => this.leave());
    this.svg.addEventListener("blur", () => this.leave());
    this.svg.addEventListener("keydown", (e) => this.key(e));
    // Its size is told, not asked for: to ask in the middle of drawing would have the
    // page laid out once more for each chart.
    this.box = { width: 0, height: 0 };
    new ResizeObserver(([entry]) => {
      this.box = entry.contentRect;
      this.draw();
    }).observe(this.svg);
  }

  // update takes the age in seconds of each sample, the oldest first, and series.
  update(ages, series) {
    this.ages = ages;
    this.series = series;
    if (this.at !== null && this.at >= ages.length) this.at = null;
    // Events that come together, after a pause say, are drawn once.
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.draw();
    });
  }

  x(age) {
    return margin.left + (1 - age / span) * this.width;
  }

  draw() {
    if (this.box.width === 0) return;
    this.width = this.box.width - margin.left - margin.right;
    this.height = this.box.height - margin.top - margin.bottom;
    let stacked = this.ages.map(() => 0);
    const tops = this.series.map((s) => {
      if (s.kind !== "stack") return { low: null, high: s.values };
      const low = stacked;
      stacked = low.map((v, i) => v + (s.values[i] ?? 0));
      return { low, high: stacked };
    });
    let most = 0;
    for (const t of tops) for (const v of t.high) if (v > most) most = v;
    const top = this.round(most);
    const y = (v) => margin.top + (1 - v / top) * this.height;

    let grid = "";
    this.labels.forEach((label, i) => {
      const v = (top * i) / 2;
      label.textContent = this.format(v);
      label.setAttribute("x", margin.left - 6);
      label.setAttribute("y", y(v) + 4);
      grid += `M${margin.left} ${y(v).toFixed(1)}h${this.width.toFixed(1)}`;
    });
    this.grid.setAttribute("d", grid);
    this.times.forEach((t, i) => {
      t.setAttribute("x", this.x(span * (1 - i / 2)));
      t.setAttribute("y", this.box.height - 4);
    });

    this.reuse(this.series.length);
    this.series.forEach((s, i) => {
      const [fill, line] = this.paths[i];
      const { low, high } = tops[i];
      fill.setAttribute("class", s.kind === "area" ? `area f-${s.color}` : s.kind === "stack" ? `stack f-${s.color}` : "");
      line.setAttribute("class", s.kind === "stack" ? "" : `${s.kind === "dashed" ? "dashed" : "linear"} l-${s.color}`);
      fill.setAttribute("d", s.kind === "area" || s.kind === "stack" ? this.filled(low, high, y) : "");
      line.setAttribute("d", s.kind === "stack" ? "" : this.lined(high, y));
      this.items[i].firstChild.firstChild.setAttribute("class", `f-${s.color}`);
    });
    this.read();
  }

  // reuse makes as many paths and items of the legend as there are series.
  reuse(n) {
    while (this.paths.length < n) {
      this.paths.push([this.group.appendChild(shape("path", { fill: "none" })), this.group.appendChild(shape("path", { fill: "none" }))]);
      const swatch = shape("svg", { viewBox: "0 0 10 10", "aria-hidden": "true" });
      swatch.append(shape("rect", { width: 10, height: 10, rx: 2 }));
      const item = element("li", {}, swatch, document.createTextNode(""));
      this.items.push(item);
      this.legend.append(item);
    }
    while (this.paths.length > n) {
      this.paths.pop().forEach((p) => p.remove());
      this.items.pop().remove();
    }
  }

  // lined is a path through the known values, broken where there are none.
  lined(values, y) {
    let d = "";
    let pen = false;
    values.forEach((v, i) => {
      const broken = v === null || (i > 0 && this.ages[i - 1] - this.ages[i] > 5);
      if (v !== null) d += `${pen && !broken ? "L" : "M"}${this.x(this.ages[i]).toFixed(1)} ${y(v).toFixed(1)}`;
      if (v !== null && !pen) d += "h0.1"; // a lone value is a dot
      pen = v !== null;
    });
    return d;
  }

  filled(low, high, y) {
    if (this.ages.length === 0) return "";
    const over = high.map((v, i) => `${this.x(this.ages[i]).toFixed(1)} ${y(v ?? 0).toFixed(1)}`);
    const under = high.map((_, i) => `${this.x(this.ages[i]).toFixed(1)} ${y(low ? low[i] : 0).toFixed(1)}`).reverse();
    return `M${over.join("L")}L${under.join("L")}Z`;
  }

  // read shows the values at the cursor, or the last ones.
  read() {
    const i = this.at ?? this.ages.length - 1;
    this.series.forEach((s, n) => {
      const v = s.values[i];
      if (!this.items[n]) return; // it is drawn with the next frame
      this.items[n].lastChild.data = `${s.name} ${v === null || v === undefined ? "–" : this.format(v)}`;
    });
    if (this.at === null) {
      this.cursor.setAttribute("visibility", "hidden");
      this.when?.remove();
      this.when = null;
      return;
    }
    const x = this.x(this.ages[i]);
    for (const [key, value] of Object.entries({ x1: x, x2: x, y1: margin.top, y2: margin.top + this.height, visibility: "visible" })) this.cursor.setAttribute(key, value);
    if (!this.when) {
      this.when = element("li", { class: "when" });
      this.legend.append(this.when);
    }
    this.when.textContent = `${Math.round(this.ages[i])} s ago`;
  }

  point(x) {
    const age = (1 - (x - margin.left) / this.width) * span;
    let best = null;
    this.ages.forEach((a, i) => {
      if (best === null || Math.abs(a - age) < Math.abs(this.ages[best] - age)) best = i;
    });
    this.at = best;
    this.read();
  }

  leave() {
    this.at = null;
    this.read();
  }

  key(e) {
    const last = this.ages.length - 1;
    const at = this.at ?? last;
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, PageUp: at - 60, PageDown: at + 60, Home: 0, End: last }[e.key];
    if (e.key === "Escape") this.leave();
    if (to === undefined || last < 0) return;
    e.preventDefault();
    this.at = Math.min(Math.max(to, 0), last);
    this.read();
    this.describe();
  }

  // describe tells in words what the chart shows, for those who do not see it.
  describe() {
    const i = this.at ?? this.ages.length - 1;
    const parts = this.series.map((s) => {
      const known = s.values.filter((v) => v !== null);
      if (known.length === 0) return `${s.name}: nothing`;
      const v = s.values[i];
      return `${s.name}: ${v === null || v === undefined ? "unknown" : this.format(v)}, between ${this.format(Math.min(...known))} and ${this.format(Math.max(...known))}`;
    });
    const when = this.at === null ? "Now" : `${Math.round(this.ages[i])} seconds ago`;
    this.text.textContent = `${when}, and over the last ten minutes. ${parts.join(". ") || "Nothing yet"}.`;
  }
}
