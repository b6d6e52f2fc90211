// One chart over time: a canvas for the eye, a legend with numbers, a sentence and a table for everybody else.
// What is decided here: a chart that can't be seen isn't drawn, and uPlot is only built again when the set of
// series has changed. Colours come from CSS variables, because a canvas knows no style sheet.

import { h, keyed, setAttribute, setHidden, setText } from "../dom.js";
import { clock, clockSeconds } from "../format.js";
import { last } from "./series.js";

const probe = document.createElement("span");
probe.hidden = true;
document.body.append(probe);

export function color(variable) {
  probe.style.color = `var(${variable})`;
  return getComputedStyle(probe).color;
}

const charts = new Set();
document.addEventListener("themechange", () => {
  for (const chart of charts) chart.rebuild();
});

// spec: title, note, format (number -> text), unit, stacked, top (the y axis' least top), max (a fixed top).
export class Chart {
  constructor(spec) {
    this.spec = spec;
    this.state = null;
    this.plot = null;
    this.shape = "";
    this.visible = false;
    this.legend = h("ul", { class: "legend" });
    this.canvas = h("div", { class: "canvas", role: "img" });
    this.empty = h("p", { class: "empty muted", text: "Nothing in this window." });
    this.table = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${spec.title}, as a table` });
    this.details = h(
      "details",
      { class: "as-table", ontoggle: () => this.fillTable() },
      h("summary", {}, "Table", h("span", { class: "visually-hidden", text: ` of ${spec.title}` })),
      this.table,
    );
    this.node = h(
      "figure",
      { class: "card chart" },
      h("figcaption", {}, h("h3", { text: spec.title }), h("span", { class: "muted note", text: spec.note ?? "" })),
      this.canvas,
      this.empty,
      this.legend,
      this.details,
    );
    new ResizeObserver(() => this.resize()).observe(this.canvas);
    new IntersectionObserver(([entry]) => {
      this.visible = entry.isIntersecting;
      if (this.visible) this.draw();
    }, { rootMargin: "200px" }).observe(this.canvas);
    charts.add(this);
  }

  // steps: starts in seconds; series: [{label, values, color, href?}]; marks: [{at, label}]; from, to: seconds.
  update(state) {
    this.state = state;
    this.cursor = null;
    const some = state.series.some((one) => one.values.some((value) => value !== null));
    setHidden(this.empty, some);
    setHidden(this.canvas, !some);
    this.fillLegend();
    setAttribute(this.canvas, "aria-label", this.sentence());
    if (this.visible) this.draw();
    if (this.details.open) this.fillTable();
  }

  sentence() {
    const { series, marks } = this.state;
    const values = series.map((one) => `${one.label} ${this.spec.format(last(one.values))}`);
    const marked = marks.map((mark) => `${mark.label} at ${clock(mark.at)}`);
    return `${this.spec.title}. Latest: ${values.join(", ") || "nothing"}.${marked.length ? ` Marked: ${marked.join(", ")}.` : ""}`;
  }

  fillLegend() {
    const at = this.cursor;
    keyed(
      this.legend,
      this.state.series,
      (one) => one.label,
      (one) => {
        const swatch = h("span", { class: "swatch", "aria-hidden": "true" });
        const name = one.href ? h("a", { class: "name", href: one.href }) : h("span", { class: "name" });
        name.append(h("bdi", { text: one.label }));
        return h("li", {}, swatch, name, h("span", { class: "value" }));
      },
      (node, one) => {
        const paint = `var(${one.color})`;
        if (node.firstChild.style.background !== paint) node.firstChild.style.background = paint;
        if (one.href) setAttribute(node.children[1], "href", one.href);
        setText(node.lastChild, this.spec.format(at === null ? last(one.values) : (one.values[at] ?? null)));
      },
    );
  }

  fillTable() {
    if (!this.details.open || !this.state) return;
    const { steps, series } = this.state;
    const head = h("tr", {}, h("th", { scope: "col", text: "Time" }), ...series.map((one) => h("th", { scope: "col", class: "number", text: one.label })));
    const rows = [];
    for (let place = steps.length - 1; place >= 0; place -= 1) {
      if (series.every((one) => (one.values[place] ?? null) === null)) continue;
      rows.push(h("tr", {}, h("th", { scope: "row", text: clockSeconds(steps[place]) }), ...series.map((one) => h("td", { class: "number", text: this.spec.format(one.values[place] ?? null) }))));
    }
    this.table.replaceChildren(h("table", { class: "table" }, h("thead", {}, head), h("tbody", {}, ...rows)));
  }

  // Columns for uPlot: as they are, or each on top of those below it, the topmost first.
  columns() {
    const { steps, series } = this.state;
    if (!this.spec.stacked) return [steps, ...series.map((one) => one.values)];
    const below = new Array(steps.length).fill(0);
    const stacked = series.map((one) => one.values.map((value, place) => {
      if (value === null) return null;
      below[place] += value;
      return below[place];
    }));
    return [steps, ...stacked.reverse()];
  }

  draw() {
    if (!this.state || this.canvas.hidden || !this.canvas.clientWidth) return;
    const shape = this.state.series.map((one) => `${one.label}\n${one.color}`).join("\t");
    if (!this.plot || shape !== this.shape) {
      this.shape = shape;
      this.build();
    } else {
      this.plot.setData(this.columns());
    }
  }

  rebuild() {
    this.plot?.destroy();
    this.plot = null;
    if (this.visible) this.draw();
  }

  resize() {
    const width = this.canvas.clientWidth;
    if (this.plot && width && width !== this.plot.width) this.plot.setSize({ width, height: this.height() });
    else if (!this.plot && this.visible) this.draw();
  }

  height() {
    return this.canvas.clientHeight || 150;
  }

  build() {
    this.plot?.destroy();
    const { stacked, format, max, top } = this.spec;
    const muted = color("--muted");
    const line = color("--line");
    const drawn = this.state.series.map((one) => {
      const stroke = color(one.color);
      return stacked
        ? { label: one.label, stroke, fill: stroke, width: 0, paths: uPlot.paths.stepped({ align: 1 }), points: { show: false } }
        : { label: one.label, stroke, width: 1.75, spanGaps: true, points: { size: 4, fill: stroke, width: 0 } };
    });
    if (stacked) drawn.reverse();
    const axis = { stroke: muted, font: "11px system-ui, sans-serif", ticks: { show: false } };
    this.plot = new uPlot({
      width: this.canvas.clientWidth,
      height: this.height(),
      legend: { show: false },
      padding: [8, 24, 0, 0],
      cursor: { sync: { key: "time" }, drag: { x: false, y: false }, y: false, points: { show: !stacked, size: 6 } },
      scales: {
        x: { time: true, range: () => [this.state.from, this.state.to] },
        y: { range: (_, low, high) => [Math.min(0, low ?? 0), max ?? (Math.max(top ?? 0, (high ?? 0) * 1.08) || 1)] },
      },
      series: [{}, ...drawn],
      axes: [
        { ...axis, grid: { show: false }, space: 64, size: 24, gap: 4, values: (_, times) => times.map(times.length > 1 && times[1] - times[0] < 60 ? clockSeconds : clock) },
        { ...axis, grid: { stroke: line, width: 1 }, space: 34, size: 52, gap: 6, values: (_, values) => values.map((value) => (value === 0 ? "0" : format(value))) },
      ],
      hooks: {
        setCursor: [(plot) => this.point(plot.cursor.idx ?? null)],
        draw: [(plot) => this.drawMarks(plot)],
      },
    }, this.columns(), this.canvas);
  }

  point(place) {
    if (place === this.cursor) return;
    this.cursor = place;
    this.fillLegend();
    if (place === null) setText(this.node.querySelector(".note"), this.spec.note ?? "");
    else setText(this.node.querySelector(".note"), clockSeconds(this.state.steps[place]));
  }

  // Where an alert began: a dashed line from top to bottom.
  drawMarks(plot) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.strokeStyle = color("--bad");
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
    for (const mark of this.state.marks) {
      if (mark.at < this.state.from || mark.at > this.state.to) continue;
      const x = Math.round(plot.valToPos(mark.at, "x", true)) + 0.5;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  }
}

// A line as wide as a word, from 0 to `top` or, unless that is fixed, to the highest value. Gaps are bridged.
export function sparkline(kind) {
  const path = h("path", { fill: "none", "vector-effect": "non-scaling-stroke" });
  return h("svg", { class: `spark ${kind}`, viewBox: "0 0 100 20", preserveAspectRatio: "none", "aria-hidden": "true" }, path);
}

export function setSparkline(svg, values, top, fixed = false) {
  let line = "";
  const most = fixed ? top : Math.max(...values.map((value) => value ?? 0), top ?? 1e-9);
  const wide = 100 / Math.max(1, values.length - 1);
  values.forEach((value, place) => {
    if (value === null || value === undefined) return;
    line += `${line ? "L" : "M"}${(place * wide).toFixed(1)} ${(19 - 18 * Math.min(1, value / most)).toFixed(1)}`;
  });
  setAttribute(svg.firstChild, "d", line && !line.includes("L") ? `${line}h0.1` : line || null);
}
