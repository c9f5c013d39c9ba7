/** Draws what is given: text only ever becomes text, whatever it says. */

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 180;
const HEIGHT = 38;

/** A new element with these attributes, and these texts and elements in it. */
export function make(tag, attributes = {}, ...content) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined) element.setAttribute(name, value);
  element.append(...content);
  return element;
}

/** Write a text, unless it is there. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Set an attribute, or take it away where there is no value. */
export function mark(element, name, value) {
  if (value === undefined || value === null || value === "") element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

const round = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export const count = (value) => round.format(value);
export const many = (value) => (Math.abs(value) < 10_000 ? round.format(value) : short.format(value));
export const rate = (value) => (value >= 10_000 ? short.format(value) : value >= 100 || value === 0 ? round.format(value) : fine.format(value));
export const percent = (cores) => `${fine.format(cores * 100)} %`;

export function bytes(value) {
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (value < 1000 || unit === "GB") return `${value >= 100 || unit === "B" ? round.format(value) : fine.format(value)} ${unit}`;
    value /= 1000;
  }
}

export function seconds(value) {
  if (value === null || value === undefined) return "–";
  if (value < 1) return `${value < 0.01 ? fine.format(value * 1000) : round.format(value * 1000)} ms`;
  return `${fine.format(value)} s`;
}

/** A tile: a title, a number, a line below it, and its curve. Returns what updates it. */
export function tile(parent, title) {
  const value = make("output", {}, "–");
  const more = make("p");
  const svg = document.createElementNS(SVG, "svg");
  const area = document.createElementNS(SVG, "path");
  const curve = document.createElementNS(SVG, "path");
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  area.setAttribute("class", "area");
  curve.setAttribute("class", "curve");
  svg.append(area, curve);
  parent.append(make("article", { class: "tile" }, make("h2", {}, title), value, more, svg));
  return (now, below, points, shown) => {
    write(value, now);
    write(more, below);
    const known = points.filter((point) => point !== null);
    const most = Math.max(...known, 0);
    mark(svg, "aria-label", `${title}, the last three minutes: up to ${shown(most)}`);
    const top = most * 1.15 || 1;
    const step = WIDTH / (points.length - 1);
    const first = points.findIndex((point) => point !== null);
    const line = points
      .map((point, place) => (point === null ? "" : `${(place * step).toFixed(1)} ${(HEIGHT - 1 - (point / top) * (HEIGHT - 4)).toFixed(1)}`))
      .filter(Boolean)
      .join("L");
    mark(curve, "d", line && `M${line}`);
    mark(area, "d", line && `M${(first * step).toFixed(1)} ${HEIGHT}L${line}L${WIDTH} ${HEIGHT}Z`);
  };
}

/**
 * A table that can be sorted. columns: { title, about, value(row), show(value, row), level(row), text, wide, open(row), label(row) }.
 * Returns what updates it: rows, and what identifies each.
 */
export function table(element, columns, { sortedBy = 0, most = 200, nothing = "none" } = {}) {
  let [by, down, last] = [sortedBy, !columns[sortedBy].text, null];
  const kind = ({ text, wide }) => [text && "text", wide && "wide"].filter(Boolean).join(" ") || undefined;
  const heads = columns.map((column, place) => {
    const button = make("button", { type: "button", title: column.about }, column.title);
    button.addEventListener("click", () => {
      [by, down] = [place, by === place ? !down : !column.text];
      if (last) update(...last);
    });
    return make("th", { scope: "col", class: kind(column) }, button);
  });
  const body = make("tbody");
  element.append(make("thead", {}, make("tr", {}, ...heads)), body);
  const lines = new Map();
  const empty = make("tr", {}, make("td", { colspan: columns.length, class: "quiet" }, nothing));

  function line(row) {
    const made = { row, element: make("tr"), cells: [] };
    for (const column of columns) {
      const cell = make("td", { class: kind(column) });
      const holder = column.open ? make("button", { type: "button", class: "link name" }) : column.text ? make("span", { class: "name" }) : cell;
      if (column.open) holder.addEventListener("click", () => column.open(made.row));
      if (holder !== cell) cell.append(holder);
      made.element.append(cell);
      made.cells.push([cell, holder]);
    }
    return made;
  }

  function update(rows, identify) {
    last = [rows, identify];
    heads.forEach((head, place) => mark(head, "aria-sort", place === by ? (down ? "descending" : "ascending") : undefined));
    const value = columns[by].value;
    const order = (one, other) => (value(one) < value(other) ? -1 : value(one) > value(other) ? 1 : 0);
    const sorted = [...rows].sort((one, other) => (down ? -1 : 1) * order(one, other) || (identify(one) < identify(other) ? -1 : 1));
    const shown = sorted.slice(0, most);
    const kept = new Set(shown.map(identify));
    for (const [id, { element }] of lines) if (!kept.has(id)) (element.remove(), lines.delete(id));
    shown.forEach((row, place) => {
      const id = identify(row);
      let found = lines.get(id);
      if (!found) lines.set(id, (found = line(row)));
      found.row = row;
      columns.forEach((column, index) => {
        const [cell, holder] = found.cells[index];
        const told = String(column.show ? column.show(column.value(row), row) : column.value(row));
        write(holder, told);
        if (column.text) mark(holder, "title", told);
        if (column.label) mark(holder, "aria-label", column.label(row));
        mark(cell, "data-level", column.level?.(row));
      });
      if (body.children[place] !== found.element) body.insertBefore(found.element, body.children[place] ?? null);
    });
    if (shown.length) empty.remove();
    else if (!empty.isConnected) body.append(empty);
  }
  return update;
}
