// Is the mountain range that of Python?  relief_picture's own faces, places and hidden points -> the same here.
import { describe, expect, it } from "vitest";
import type { Limits, Scale } from "../../src/draw/marks";
import {
  cornersOf,
  direction,
  draped,
  faces,
  gridOf,
  heightAt,
  height,
  isHidden,
  project,
  seenAt,
  TALL,
} from "../../src/draw/projection";
import { around } from "../../src/draw/relief-frame";
import python from "./fixtures/relief.json";

const surface = { ...python, limits: python.limits as unknown as Limits, scale: python.scale as Scale };
const grid = gridOf(surface, 60);

describe.each(python.views)("seen from $azimuth, $elevation", (view) => {
  const from = direction(view.azimuth, view.elevation);

  it("draws every corner of every face where Python draws it", () => {
    const known = new Set<string>();
    for (let k = 0; k < view.corners.length; k += 2) known.add(key(view.corners[k]!, view.corners[k + 1]!));
    const { u, v, cells } = faces(grid, from);
    const mine = Array.from(cells).flatMap((at) => cornersOf(at, 17).map((corner) => [u[corner]!, v[corner]!] as const));
    expect(mine.length).toBe(4 * 16 * 16);
    for (const [x, y] of mine) expect(near(known, x, y), `${x}, ${y}`).toBe(true);
  });

  it("puts points on the surface within the bend of a cell", () => {
    const off = points(view.points).map(([x, y], k) => {
      const [px, py] = project(from, x, y, heightAt(grid, x, y));
      return Math.hypot(px - view.places[2 * k]!, py - view.places[2 * k + 1]!);
    });
    expect(off.length).toBe(80);
    expect(Math.max(...off)).toBeLessThan(0.06); // the cell is bent here, and two flat triangles there
  });

  it("hides what Python hides, but for points at an edge", () => {
    const same = points(view.points).filter(
      ([x, y], k) => Number(isHidden(grid, from, x, y, heightAt(grid, x, y))) === view.hidden[k],
    );
    expect(same.length).toBeGreaterThanOrEqual(75);
  });

  it("cuts a path at the border and hides as much of it", () => {
    const made = draped(grid, from, Float64Array.from(view.walk));
    const lengths = Array.from(
      made.step,
      (step, k) => (step - (k ? made.step[k - 1]! : 0)) * sideLength(view.walk, Math.floor(k ? made.step[k - 1]! + 1e-9 : 0)),
    );
    const sum = (kept: (k: number) => boolean): number => lengths.filter((_, k) => kept(k)).reduce((a, b) => a + b, 0);
    expect(sum(() => true)).toBeCloseTo(view.walk_length, 6);
    // two cells: a piece is one cell long, and seen or hidden as its end is
    expect(Math.abs(sum((k) => made.hidden[k] === 1) - view.walk_hidden)).toBeLessThan(0.25);
  });

  it("draws the near face after the far one", () => {
    const depth = Array.from(
      faces(grid, from).cells,
      (at) => from.towards[0] * grid.x[at % 17]! + from.towards[1] * grid.y[Math.floor(at / 17)]!,
    );
    expect(depth[0]).toBe(Math.min(...depth));
    expect(depth[depth.length - 1]).toBe(Math.max(...depth));
  });

  it("finds the face under a click", () => {
    const scene = faces(grid, from);
    const at = scene.cells[scene.cells.length - 1]!; // the nearest one: nothing hides it
    const [px, py] = [mixed(scene.u, at, 0.2, 0.3), mixed(scene.v, at, 0.2, 0.3)];
    const found = seenAt(grid, scene, px, py)!;
    expect(found[0]).toBeCloseTo(grid.x[at % 17]! + 0.2 * (2 / 16), 9);
    expect(found[1]).toBeCloseTo(grid.y[Math.floor(at / 17)]! + 0.3 * (2 / 16), 9);
    expect(seenAt(grid, scene, px + 5, py)).toBeNull();
  });
});

describe("heights", () => {
  it("are cut at the limits; what is not finite has none, and its cells are left out", () => {
    expect([1e-9, 1, 10, 100, 1e9].map((loss) => height(loss, [1, 100], "log"))).toEqual([0, 0, TALL / 2, TALL, TALL]);
    expect([NaN, Infinity, -Infinity].map((loss) => height(loss, [0, 1], "linear"))).toEqual([NaN, NaN, NaN]);
    const holed = gridOf({ x: [0, 1, 2], y: [0, 1, 2], loss: [NaN, 1, 1, 1, 1, 1, 1, 1, 1], limits: [0, 1], scale: "linear" }, 60);
    expect(faces(holed, direction(-60, 35)).cells.length).toBe(3);
    expect(heightAt(holed, -0.5, -0.5)).toBeNaN();
    expect(heightAt(holed, 1.01, 0)).toBeNaN();
  });

  it("thins large grids and keeps both ends", () => {
    const x = Float32Array.from({ length: 501 }, (_, k) => k);
    const large = gridOf({ x, y: x, loss: new Float32Array(501 * 501), limits: [0, 1], scale: "linear" }, 60);
    expect([large.x.length, large.x[0], large.x[60]]).toEqual([61, -1, 1]);
  });

  it("leaves out what a diverged path has outside, and survives infinite points", () => {
    const made = draped(grid, direction(-60, 35), Float64Array.of(0, 0, 1e30, 0, Infinity, NaN, 5, 5, 6, 6));
    expect(made.step.length).toBeGreaterThan(0);
    expect(Math.max(...made.step)).toBeLessThan(1);
    expect(Array.from(made.at).every(Number.isFinite)).toBe(true);
  });
});

it("the box names its axes and numbers them", () => {
  const made = around(
    { x: [0, 10], y: [-1, 1], limits: [0.01, 100], scale: "log", names: ["w", "b"] },
    direction(-60, 35),
    5,
    [0.07, 0.3],
  );
  const texts = made.words.map(({ text }) => text);
  expect(texts).toEqual(expect.arrayContaining(["w", "b", "loss", "0.01", "100", "-1", "10"]));
  expect(made.words.every(({ at }) => at.every(Number.isFinite))).toBe(true);
});

function points(flat: number[]): [number, number][] {
  return Array.from({ length: flat.length / 2 }, (_, k) => [flat[2 * k]!, flat[2 * k + 1]!]);
}

function key(x: number, y: number): string {
  return `${Math.round(x * 1e5)},${Math.round(y * 1e5)}`;
}

function near(known: Set<string>, x: number, y: number): boolean {
  const steps = [-1e-5, 0, 1e-5]; // rounding may go either way
  return steps.some((dx) => steps.some((dy) => known.has(key(x + dx, y + dy))));
}

function sideLength(walk: number[], k: number): number {
  return Math.hypot(walk[2 * k + 2]! - walk[2 * k]!, walk[2 * k + 3]! - walk[2 * k + 1]!);
}

/** A place on the lower triangle of a cell. */
function mixed(values: Float64Array, at: number, u: number, v: number): number {
  return values[at]! + u * (values[at + 1]! - values[at]!) + v * (values[at + 17]! - values[at]!);
}
