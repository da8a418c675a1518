// Where in the picture is a point of a mountain range?  grid + losses + direction -> heights, faces, what is hidden.

import { share } from "./colours";
import type { Limits, Numbers, Scale } from "./marks";

export const TALL = 1.4; // the height of the box, whose floor is -1..1 by -1..1
const DARKEST = 0.72; // brightness of a face that the light passes along
export const BELOW = 0.55; // of a face that is seen from below
const LIGHT: Triple = unit([-0.5, 0.6, 0.6]); // from the viewer: to the left, up, and towards the viewer
const LIFT = 0.012; // of the floor's half: so far above the surface lies a path
const ABOVE = 0.003; // higher than that above the line of sight, the surface hides what is behind it

export type Triple = readonly [number, number, number];

/** A grid in the box: columns and rows rising from -1 to 1, heights 0..1.4 row by row, NaN where there is none. */
export type Grid = { x: Float64Array; y: Float64Array; heights: Float64Array };

export type Surface = { x: Numbers; y: Numbers; loss: Numbers; limits: Limits; scale: Scale };

/** A direction to look from: (X, Y, Z) is drawn at (right . point, up . point). */
export type Direction = { right: Triple; up: Triple; towards: Triple };

/** Degrees anticlockwise from the direction of x, and above the floor: the formula of surefoot/figures/pictures/relief.py. */
export function direction(azimuth: number, elevation: number): Direction {
  const [a, e] = [(azimuth * Math.PI) / 180, (elevation * Math.PI) / 180];
  const [sa, ca, se, ce] = [Math.sin(a), Math.cos(a), Math.sin(e), Math.cos(e)];
  return { right: [-sa, ca, 0], up: [-se * ca, -se * sa, ce], towards: [ce * ca, ce * sa, se] };
}

export function project(from: Direction, x: number, y: number, z: number): [number, number] {
  return [from.right[0] * x + from.right[1] * y, from.up[0] * x + from.up[1] * y + from.up[2] * z];
}

export function dot(one: Triple, other: Triple): number {
  return one[0] * other[0] + one[1] * other[1] + one[2] * other[2];
}

function unit(vector: Triple): Triple {
  const length = Math.hypot(...vector) || 1;
  return [vector[0] / length, vector[1] / length, vector[2] / length];
}

/** -1..1 along an axis of the floor; what is outside is beyond. */
export function boxed(value: number, low: number, high: number): number {
  return (2 * (value - low)) / (high - low || 1) - 1;
}

/** 0..1.4; losses beyond the limits are cut off there, NaN and infinite ones have no height. */
export function height(loss: number, limits: Limits, scale: Scale): number {
  return Number.isFinite(loss) ? TALL * share(loss, limits, scale) : NaN;
}

/** The grid of a surface, thinned evenly to at most so many cells along an axis. */
export function gridOf(surface: Surface, cells: number): Grid {
  const [columns, rows] = [thinned(surface.x.length, cells), thinned(surface.y.length, cells)];
  const { x, y, loss, limits, scale } = surface;
  const heights = new Float64Array(columns.length * rows.length);
  rows.forEach((row, j) =>
    columns.forEach((column, i) => (heights[j * columns.length + i] = height(loss[row * x.length + column]!, limits, scale))),
  );
  return {
    x: Float64Array.from(columns, (column) => boxed(x[column]!, x[0]!, x[x.length - 1]!)),
    y: Float64Array.from(rows, (row) => boxed(y[row]!, y[0]!, y[y.length - 1]!)),
    heights,
  };
}

function thinned(count: number, cells: number): number[] {
  const kept = Math.min(cells + 1, count);
  return [...new Set(Array.from({ length: kept }, (_, place) => Math.round((place * (count - 1)) / Math.max(1, kept - 1))))];
}

/** What is seen from a direction: where the points of the grid are, and its cells with four heights, the farthest first. */
export type Scene = { u: Float64Array; v: Float64Array; cells: Int32Array; shade: Float64Array; share: Float64Array };

/** A face hides another only if the line of sight comes to it later, which passes rows in one order, and columns. */
export function faces(grid: Grid, from: Direction): Scene {
  const [wide, tall] = [grid.x.length, grid.y.length];
  const [u, v] = [new Float64Array(wide * tall), new Float64Array(wide * tall)];
  const [r, p] = [from.right, from.up];
  for (let at = 0; at < u.length; at++) {
    const [x, y] = [grid.x[at % wide]!, grid.y[(at / wide) | 0]!];
    u[at] = r[0] * x + r[1] * y;
    v[at] = p[0] * x + p[1] * y + p[2] * grid.heights[at]!;
  }
  const count = (wide - 1) * (tall - 1);
  const made = { u, v, cells: new Int32Array(count), shade: new Float64Array(count), share: new Float64Array(count) };
  let found = 0;
  for (let j = 0; j < tall - 1; j++)
    for (let i = 0; i < wide - 1; i++)
      found += face(
        grid,
        from,
        made,
        found,
        (from.towards[1] > 0 ? j : tall - 2 - j) * wide + (from.towards[0] > 0 ? i : wide - 2 - i),
      );
  return { u, v, cells: made.cells.subarray(0, found), shade: made.shade, share: made.share };
}

/** Adds the cell whose low corner is a point of the grid; 0 where it is a hole, else 1. */
function face({ x, y, heights }: Grid, from: Direction, made: Scene, found: number, at: number): 0 | 1 {
  const wide = x.length;
  const [a, b, c, d] = [heights[at]!, heights[at + 1]!, heights[at + wide + 1]!, heights[at + wide]!];
  const middle = (a + b + c + d) / 4;
  if (Number.isNaN(middle)) return 0;
  const [column, row] = [at % wide, (at / wide) | 0];
  made.cells[found] = at;
  made.share[found] = middle / TALL;
  made.shade[found] = brightness(
    (a + d - b - c) / 2 / (x[column + 1]! - x[column]!),
    (a + b - c - d) / 2 / (y[row + 1]! - y[row]!),
    from,
  );
  return 1;
}

/** Of a face that stands upright on (x, y, 1). */
function brightness(x: number, y: number, { right, up, towards }: Direction): number {
  const facing = towards[0] * x + towards[1] * y + towards[2];
  if (facing <= 0) return BELOW;
  const lit = LIGHT[0] * (right[0] * x + right[1] * y) + LIGHT[1] * (up[0] * x + up[1] * y + up[2]) + LIGHT[2] * facing;
  return DARKEST + (1 - DARKEST) * Math.max(0, Math.min(1, lit / Math.sqrt(x * x + y * y + 1)));
}

/** The height of the grid at a place of the floor, straight within a cell; NaN outside and in holes. */
export function heightAt(grid: Grid, x: number, y: number): number {
  const column = cellOf(grid.x, x);
  const row = cellOf(grid.y, y);
  if (column < 0 || row < 0) return NaN;
  const u = (x - grid.x[column]!) / (grid.x[column + 1]! - grid.x[column]!);
  const v = (y - grid.y[row]!) / (grid.y[row + 1]! - grid.y[row]!);
  const at = row * grid.x.length + column;
  const next = at + grid.x.length;
  const { heights } = grid;
  return (1 - v) * ((1 - u) * heights[at]! + u * heights[at + 1]!) + v * ((1 - u) * heights[next]! + u * heights[next + 1]!);
}

function cellOf(line: Float64Array, value: number): number {
  const last = line.length - 2;
  if (!(value >= line[0]! && value <= line[last + 1]!)) return -1;
  // cells are as good as equally wide: a guess, then a step or two
  let cell = Math.min(last, Math.max(0, Math.floor(((value - line[0]!) / (line[last + 1]! - line[0]!)) * (last + 1))));
  while (cell > 0 && line[cell]! > value) cell--;
  while (cell < last && line[cell + 1]! < value) cell++;
  return cell;
}

/** Whether the surface is between a point on it and the viewer. */
export function isHidden(grid: Grid, from: Direction, x: number, y: number, z: number): boolean {
  const [dx, dy, dz] = from.towards;
  const flat = Math.hypot(dx, dy);
  if (flat < 1e-9) return false;
  const cell = 2 / Math.max(grid.x.length, grid.y.length);
  let step = cell / 4; // fine at first: on a slope that falls away from the viewer, the nearest crest is what hides
  for (let far = step; z + (far * dz) / flat <= TALL; far += step = Math.min(0.75 * cell, 1.3 * step)) {
    const [px, py] = [x + (far * dx) / flat, y + (far * dy) / flat];
    if (Math.abs(px) > 1 || Math.abs(py) > 1) return false;
    if (heightAt(grid, px, py) > z + (far * dz) / flat + ABOVE) return true;
  }
  return false;
}

/** A path on the surface, cut so that each piece is on about one cell. */
export type Draped = { at: Float64Array; step: Float64Array; hidden: Uint8Array };

/** Points (x and y of the box one after the other) -> pieces: both ends (4 numbers), the step reached, hidden. */
export function draped(grid: Grid, from: Direction, points: Float64Array): Draped {
  const [at, step, hidden]: [number[], number[], number[]] = [[], [], []];
  const cell = 2 / Math.max(grid.x.length - 1, grid.y.length - 1, 1);
  for (let k = 0; k + 3 < points.length; k += 2) {
    const inside = clipped(points[k]!, points[k + 1]!, points[k + 2]!, points[k + 3]!);
    if (!inside) continue;
    const pieces = Math.max(1, Math.ceil(Math.max(Math.abs(inside[2] - inside[0]), Math.abs(inside[3] - inside[1])) / cell));
    let before: [number, number] | null = null;
    for (let piece = 0; piece <= pieces; piece++) {
      const part = piece / pieces;
      const [x, y] = [inside[0] + part * (inside[2] - inside[0]), inside[1] + part * (inside[3] - inside[1])];
      const z = heightAt(grid, x, y);
      const to = Number.isNaN(z) ? null : project(from, x, y, z + LIFT);
      if (before && to) {
        at.push(...before, ...to);
        step.push(k / 2 + inside[4] + part * (inside[5] - inside[4]));
        hidden.push(isHidden(grid, from, x, y, z) ? 1 : 0);
      }
      before = to;
    }
  }
  return { at: Float64Array.from(at), step: Float64Array.from(step), hidden: Uint8Array.from(hidden) };
}

/** The part of a segment on the floor, and from where to where on it that is (0..1); null: none. */
function clipped(x0: number, y0: number, x1: number, y1: number): [number, number, number, number, number, number] | null {
  let [enter, leave] = [0, 1];
  for (const [start, step] of [
    [x0, x1 - x0],
    [y0, y1 - y0],
  ] as const) {
    if (!Number.isFinite(start + step)) return null;
    if (step === 0 && Math.abs(start) > 1) return null;
    if (step === 0) continue;
    const sides = [(-1 - start) / step, (1 - start) / step].sort((a, b) => a - b);
    [enter, leave] = [Math.max(enter, sides[0]!), Math.min(leave, sides[1]!)];
  }
  if (enter > leave) return null;
  const [fx, fy] = [x1 - x0, y1 - y0];
  const cut = (value: number): number => Math.max(-1, Math.min(1, value));
  return [cut(x0 + enter * fx), cut(y0 + enter * fy), cut(x0 + leave * fx), cut(y0 + leave * fy), enter, leave];
}

/** Where on the floor the place (px, py) of the picture is, on the face that is seen there; null: on none. */
export function seenAt(grid: Grid, { u, v, cells }: Scene, px: number, py: number): [number, number] | null {
  for (let k = cells.length - 1; k >= 0; k--) {
    const corners = cornersOf(cells[k]!, grid.x.length).map((at): [number, number] => [u[at]!, v[at]!]);
    const found = within(corners, px, py);
    if (found)
      return [between(grid.x, cells[k]! % grid.x.length, found[0]), between(grid.y, (cells[k]! / grid.x.length) | 0, found[1])];
  }
  return null;
}

/** The points of the grid around the cell whose low corner is one of them. */
export function cornersOf(at: number, wide: number): [number, number, number, number] {
  return [at, at + 1, at + wide + 1, at + wide];
}

/** The parts of the ways along both axes of a face, from its corners; null outside. */
function within(corners: [number, number][], px: number, py: number): [number, number] | null {
  for (const [o, p, q] of [
    [0, 1, 3],
    [2, 3, 1],
  ] as const) {
    const [[ox, oy], [ax, ay], [bx, by]] = [corners[o]!, corners[p]!, corners[q]!];
    const [ux, uy, vx, vy, wx, wy] = [ax - ox, ay - oy, bx - ox, by - oy, px - ox, py - oy];
    const size = ux * vy - uy * vx;
    const [i, j] = [(wx * vy - wy * vx) / size, (ux * wy - uy * wx) / size];
    if (i >= -1e-9 && j >= -1e-9 && i + j <= 1 + 1e-9) return o === 0 ? [i, j] : [1 - i, 1 - j];
  }
  return null;
}

function between(line: Float64Array, cell: number, part: number): number {
  return line[cell]! + part * (line[cell + 1]! - line[cell]!);
}
