"use strict";

const SECONDS = 60;
/* Points enter a little right of the edge, so that the line never jumps. */
const LAG = 1300;
const HOLE = 2500;

/** A line chart of the last minute that scrolls with the clock. */
class LineChart {
  /**
   * canvas: sized by its style.
   * lines:  functions from a sample to its value; the first is the main one.
   * thin:   a function from a sample to the values of further, faint lines.
   * top:    the value at the upper edge, or null to follow the data.
   */
  constructor(canvas, { lines, thin = () => [], top = null, format }) {
    Object.assign(this, { canvas, lines, thin, top, format });
    this.context = canvas.getContext("2d");
    this.scale = top ?? 0;
    this.drawn = 0;
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.resize();
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    this.width = this.canvas.clientWidth;
    this.height = this.canvas.clientHeight;
    this.canvas.width = Math.round(this.width * ratio);
    this.canvas.height = Math.round(this.height * ratio);
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
  }

  /** Draws samples (`t` in ms, in order) and bands ({from, to, label}; `to` is null while it lasts). */
  draw(now, samples, bands, colours) {
    const { context, width, height } = this;
    this.now = now - LAG;
    this.colours = colours;
    this.follow(samples);
    context.clearRect(0, 0, width, height);
    this.grid();
    this.labelsEnd = width;
    for (const band of bands.toReversed()) this.band(band);
    const faint = Math.min(samples.at(-1) ? this.thin(samples.at(-1)).length : 0, 8);
    for (let i = 0; i < faint; i++) this.line(samples, (sample) => this.thin(sample)[i] ?? 0, 1, 0.22);
    this.lines.forEach((value, i) => {
      if (i === 0) this.area(samples, value);
      this.line(samples, value, i ? 1.5 : 2, i ? 0.55 : 1, i ? [4, 4] : []);
    });
    this.dots(samples, now);
    this.drawn = samples.length;
  }

  follow(samples) {
    if (this.top !== null) return;
    const most = Math.max(1000, ...samples.flatMap((sample) => this.lines.map((value) => value(sample))));
    const step = 10 ** Math.floor(Math.log10(most));
    const aim = [1, 2, 5, 10].map((n) => n * step).find((n) => n >= most * 1.05) ?? 10 * step * 2;
    this.scale = this.scale ? this.scale + (aim - this.scale) * 0.08 : aim;
  }

  x(t) {
    return this.width * (1 - (this.now - t) / (SECONDS * 1000));
  }

  y(value) {
    return this.height - 6 - (this.height - 32) * Math.min(value / this.scale, 1.05);
  }

  grid() {
    const { context, width, colours } = this;
    context.save();
    context.strokeStyle = colours.grid;
    context.fillStyle = colours.muted;
    context.font = colours.font;
    context.lineWidth = 1;
    for (const part of [0, 0.5, 1]) {
      const y = Math.round(this.y(this.scale * part)) + 0.5;
      context.beginPath();
      context.moveTo(0, y);
      context.lineTo(width, y);
      context.stroke();
      if (part === 1) context.fillText(this.format(this.scale), 0, y - 10);
    }
    context.restore();
  }

  band({ from, to, label }) {
    const { context, width, colours } = this;
    const left = Math.max(this.x(from), 0);
    const right = Math.min(to === null ? width : this.x(to), width);
    if (right <= 0 || left >= width || right <= left) return;
    const top = this.y(this.scale);
    const bottom = this.y(0);
    context.save();
    context.fillStyle = colours.band;
    context.fillRect(left, top, right - left, bottom - top);
    context.beginPath();
    context.rect(left, top, right - left, bottom - top);
    context.clip();
    context.strokeStyle = colours.hatch;
    context.lineWidth = 1;
    context.beginPath();
    // The pattern moves with the time, not with the band's visible part.
    const start = this.x(from) - (bottom - top);
    for (let x = start; x < right; x += 7) {
      if (x + bottom - top < left) continue;
      context.moveTo(x, bottom);
      context.lineTo(x + bottom - top, top);
    }
    context.stroke();
    context.restore();
    this.label(label, (left + right) / 2);
  }

  /** Writes above the chart, unless a newer label is in the way. */
  label(label, centre) {
    const { context, width, colours } = this;
    context.save();
    context.font = colours.font;
    context.fillStyle = colours.text;
    const half = context.measureText(label).width / 2;
    const scaleLabel = context.measureText(this.format(this.scale)).width + 10;
    const middle = Math.min(Math.max(centre, half + scaleLabel), width - half);
    if (middle + half <= this.labelsEnd) {
      context.textAlign = "center";
      context.fillText(label, middle, this.y(this.scale) - 10);
      this.labelsEnd = middle - half - 12;
    }
    context.restore();
  }

  /** The line, in a piece for each run without a hole; `closed`: down to the base. */
  path(samples, value, closed = false) {
    const { context } = this;
    let before = null;
    const drop = () => closed && before && context.lineTo(before.x, this.y(0));
    context.beginPath();
    for (const sample of samples) {
      const x = this.x(sample.t);
      const y = this.y(value(sample));
      if (before === null || sample.t - before.t > HOLE) {
        drop();
        context.moveTo(x, closed ? this.y(0) : y);
        context.lineTo(x, y);
      } else {
        const middle = (before.x + x) / 2;
        context.bezierCurveTo(middle, before.y, middle, y, x, y);
      }
      before = { t: sample.t, x, y };
    }
    drop();
  }

  line(samples, value, thickness, alpha, dash = []) {
    const { context, colours } = this;
    context.save();
    this.path(samples, value);
    context.strokeStyle = colours.accent;
    context.globalAlpha = alpha;
    context.lineWidth = thickness;
    context.lineJoin = context.lineCap = "round";
    context.setLineDash(dash);
    context.stroke();
    context.restore();
  }

  area(samples, value) {
    const { context, height, colours } = this;
    context.save();
    this.path(samples, value, true);
    const fill = context.createLinearGradient(0, 0, 0, height);
    fill.addColorStop(0, colours.fill);
    fill.addColorStop(1, colours.fillEnd);
    context.fillStyle = fill;
    context.fill();
    context.restore();
  }

  dots(samples, now) {
    const { context, colours } = this;
    const value = this.lines[0];
    context.save();
    context.strokeStyle = colours.accent;
    context.lineWidth = 2;
    samples.forEach((sample, i) => {
      const last = i === samples.length - 1;
      if (!sample.replayed && !last) return;
      // Out of sight while all goes well; the end of the line while nothing arrives.
      if (last && !sample.replayed && this.x(sample.t) > this.width - 4) return;
      const grown = Math.min(Math.max((now - sample.shownAt) / 350, 0), 1);
      context.beginPath();
      context.arc(this.x(sample.t), this.y(value(sample)), (last ? 4 : 3) * grown, 0, 2 * Math.PI);
      context.fillStyle = sample.replayed ? colours.card : colours.accent;
      context.fill();
      if (sample.replayed) context.stroke();
    });
    context.restore();
  }
}
