// What is under the pointer?  marks + place -> a heading and the nearest value of every curve.

import { nearestIn, type At } from "./axes";
import { number } from "./format";
import { of, type Colour, type Heat, type Marks, type Numbers } from "./marks";

export type Value = { colour: Colour | null; label: string; text: string };
export type Reading = { heading: string; values: Value[]; points: [number, number][] };

const REACH = 24; // pixels: further away a single point is not meant
const MOST = 8; // lines of a readout

/** The values at a place of a picture (in units of its axes); null: there is nothing to read. */
export function reading(marks: Marks, x: number, y: number, at: At): Reading | null {
  if (marks.frameless) return null;
  const heat = of(marks, "heat")[0];
  const found = heat ? [inCell(heat, x, y)].filter((value) => value !== null) : [];
  const curves = marks.layers.flatMap((layer) => (layer.type === "line" && rising(layer.x) && !heat ? [layer] : []));
  const across = curves.length && marks.x_whole ? Math.round(x) : x;
  const points: [number, number][] = [];
  for (const { x: xs, y: ys, colour, label, faint } of curves) {
    const place = nearestIn(xs, across);
    const value = ys[place];
    if (value === undefined || !Number.isFinite(value) || !near(at, xs[place]!, across) || found.length >= MOST) continue;
    found.push({ colour, label: label || (faint ? "each step" : marks.y_label), text: number(value) });
    points.push([xs[place]!, value]);
  }
  const single = closest(marks, x, y, at);
  if (single && found.length < MOST) (found.push(single.value), points.push(single.at));
  if (!found.length) return null;
  const at0 = heat ? heat.x[nearestIn(heat.x, x)]! : points.length && curves.length ? points[0]![0] : across;
  return { heading: heading(marks, at0, heat ? heat.y[nearestIn(heat.y, y)]! : null), values: found, points };
}

function heading(marks: Marks, x: number, y: number | null): string {
  const first = `${marks.x_label} ${number(x)}`;
  return y === null ? first : `${first}, ${marks.y_label} ${number(y)}`;
}

function near(at: At, x: number, other: number): boolean {
  return Math.abs(at(x, 1)[0] - at(other, 1)[0]) <= REACH;
}

/** Whether values rise, so that there is one nearest to a place. */
function rising(values: Numbers): boolean {
  for (let place = 1; place < values.length; place++) if (!(values[place]! >= values[place - 1]!)) return false;
  return values.length > 0;
}

function inCell(heat: Heat, x: number, y: number): Value | null {
  const [column, row] = [nearestIn(heat.x, x), nearestIn(heat.y, y)];
  const place = row * heat.x.length + column;
  const value = heat.values[place];
  if (value === undefined) return null;
  const text = heat.diverged[place] ? "diverged" : Number.isNaN(value) ? "not measured" : number(value);
  return { colour: null, label: heat.label, text };
}

function closest(marks: Marks, x: number, y: number, at: At): { value: Value; at: [number, number] } | null {
  const [px, py] = at(x, y);
  let best = REACH;
  let found: { value: Value; at: [number, number] } | null = null;
  for (const layer of of(marks, "points")) {
    for (let place = 0; place < layer.x.length; place++) {
      const [qx, qy] = at(layer.x[place]!, layer.y[place]!);
      const far = Math.hypot(qx - px, qy - py);
      if (!(far < best)) continue;
      best = far;
      const text = `${number(layer.x[place]!)}, ${number(layer.y[place]!)}`;
      found = { value: { colour: layer.colour, label: layer.label || "point", text }, at: [layer.x[place]!, layer.y[place]!] };
    }
  }
  return found;
}
