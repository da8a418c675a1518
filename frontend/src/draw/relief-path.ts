// How does a path lie on a mountain range?  walk + grid + direction -> a line, dotted where hills hide it, a ball where it is now.

import { painted, rim, type Theme } from "./colours";
import type { Numbers, Walk } from "./marks";
import { boxed, draped, heightAt, isHidden, project, type Direction, type Draped, type Grid } from "./projection";
import { ball, stamp, stroke, type Ctx, type Pen } from "./shapes";

/** A walk on the floor of the box; its pieces are cut anew for every direction. */
export type Path = { walk: Walk; points: Float64Array; pieces: Draped | null };

/** What a path lies on, and where that is on the canvas. */
export type Ground = { grid: Grid; from: Direction; pixel: (at: readonly [number, number]) => [number, number]; theme: Theme };

/** A walk over the two weights of a surface, in the box. */
export function onFloor(walk: Walk, surface: { x: Numbers; y: Numbers | null } | null): Path {
  const points = new Float64Array(walk.points.length);
  const axes = [surface?.x ?? [0, 1], surface?.y ?? [0, 1]] as const;
  for (let k = 0; k < points.length; k++) {
    const axis = axes[k % 2 ? 1 : 0];
    points[k] = boxed(walk.points[k]!, axis[0]!, axis[axis.length - 1]!);
  }
  return { walk, points, pieces: null };
}

function penOf(walk: Walk, theme: Theme): Pen {
  const colour = painted(walk.colour, theme);
  return { colour, paper: theme.paper, rim: rim(colour) };
}

/** What is seen as a line, what hills hide dotted and faint; then the start and the ball. */
export function drawPath(ctx: Ctx, path: Path, upTo: number, ground: Ground): void {
  const made = penOf(path.walk, ground.theme);
  path.pieces ??= draped(ground.grid, ground.from, path.points);
  pieces(ctx, path.pieces, upTo, 1, ground);
  ctx.globalAlpha = 0.75;
  stroke(ctx, { ...made, rim: null }, 1.4, "dotted");
  ctx.globalAlpha = 1;
  pieces(ctx, path.pieces, upTo, 0, ground);
  stroke(ctx, made, 2.2, path.walk.style);
  standing(ctx, path, 0, ground, (x, y) => stamp(ctx, "circle", [[x, y]], made));
  standing(ctx, path, upTo, ground, (x, y) => ball(ctx, x, y, made));
}

function pieces(ctx: Ctx, { at, step, hidden: behind }: Draped, upTo: number, kind: 0 | 1, ground: Ground): void {
  ctx.beginPath();
  let [x, y] = [NaN, NaN];
  for (let k = 0; k < step.length && step[k]! <= upTo + 1e-9; k++) {
    if (behind[k] !== kind) continue;
    const from = ground.pixel([at[4 * k]!, at[4 * k + 1]!]);
    const to = ground.pixel([at[4 * k + 2]!, at[4 * k + 3]!]);
    if (Math.abs(from[0] - x) + Math.abs(from[1] - y) > 1e-6) ctx.moveTo(...from);
    ctx.lineTo(...to);
    [x, y] = to;
  }
}

/** Draws at the place of a path after so many steps; outside the floor a cross on its edge says that it has left. */
function standing(ctx: Ctx, path: Path, upTo: number, ground: Ground, drawn: (x: number, y: number) => void): void {
  const last = path.points.length / 2 - 1;
  const after = Math.max(0, Math.min(last, upTo));
  const [k, part] = [
    2 * Math.min(Math.floor(after), Math.max(0, last - 1)),
    after - Math.min(Math.floor(after), Math.max(0, last - 1)),
  ];
  const at = (axis: number): number =>
    path.points[k + axis]! + part * ((path.points[k + 2 + axis] ?? path.points[k + axis]!) - path.points[k + axis]!);
  const [x, y] = [at(0), at(1)];
  if (last < 0 || Number.isNaN(x + y)) return;
  const cut = (value: number): number => Math.max(-1, Math.min(1, value));
  const height = heightAt(ground.grid, cut(x), cut(y));
  const z = Number.isNaN(height) ? 0 : height;
  const place = ground.pixel(project(ground.from, cut(x), cut(y), z));
  if (Math.abs(x) > 1 || Math.abs(y) > 1) return stamp(ctx, "cross", [place], penOf(path.walk, ground.theme), 1.1);
  ctx.globalAlpha = isHidden(ground.grid, ground.from, x, y, z) ? 0.5 : 1;
  drawn(...place);
  ctx.globalAlpha = 1;
}
