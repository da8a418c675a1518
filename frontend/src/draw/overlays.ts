// What moves on a picture?  walks + steps reached -> painters for the canvas above it: paths, balls, the playhead, fitted lines.

import { along, type At, type Box } from "./axes";
import { painted, rim, type Theme } from "./colours";
import type { Colour, Numbers, Style, Walk } from "./marks";
import type { Paint } from "./picture";
import { ball, curve, stamp, stroke, type Pen } from "./shapes";

const TANGENT = 0.12; // of the width: half of a tangent
const FOOTPRINTS = 60; // points of a path that are drawn one by one

function penOf(colour: Colour, theme: Theme, over: "paper" | "heat"): Pen {
  const made = painted(colour, theme);
  return { colour: made, paper: theme.paper, rim: over === "heat" ? rim(made) : null };
}

/** Several painters as one, the first one hindmost. */
export function together(...painters: readonly (Paint | null)[]): Paint {
  return (ctx, at, box, theme) => painters.forEach((paint) => paint?.(ctx, at, box, theme));
}

/** Paths over two weights up to a step each (it may be between two): line, footprints, start, ball. `over` is what they lie on. */
export function pathOverlay(walks: readonly Walk[], upTo: readonly number[], over: "paper" | "heat" = "heat"): Paint {
  return (ctx, at, box, theme) =>
    walks.forEach(({ points, colour, style }, k) => {
      const made = penOf(colour, theme, over);
      const place = (step: number): [number, number] => at(points[2 * step]!, points[2 * step + 1]!);
      walked(ctx, place, points.length / 2 - 1, upTo[k] ?? Infinity, made, style, box);
    });
}

type Place = (step: number) => [number, number];

/** A path in pixels up to a step: `place` says where each step is. What has left the picture is a cross at its edge. */
function walked(ctx: CanvasRenderingContext2D, place: Place, last: number, upTo: number, pen: Pen, style: Style, box: Box): void {
  if (last < 0) return;
  const reached = Math.max(0, Math.min(last, upTo));
  const whole = Math.floor(reached);
  const now = between(place(whole), place(Math.min(last, whole + 1)), reached - whole);
  ctx.save();
  ctx.beginPath();
  ctx.rect(box.left, box.top, box.width, box.height);
  ctx.clip();
  curve(ctx, whole + 2, (step) => (step > whole ? now : place(step)), box);
  stroke(ctx, pen, 2, style);
  const every = Math.max(1, Math.ceil(last / FOOTPRINTS)); // of the whole path: footprints stay where they are as it grows
  stamp(ctx, "dot", steps(every, whole).map(place), { ...pen, rim: null });
  ctx.restore();
  stamp(ctx, "circle", [place(0)], pen);
  const at = lastFinite(place, whole, now);
  const edge: [number, number] = [clamp(at[0], box.left, box.left + box.width), clamp(at[1], box.top, box.top + box.height)];
  if (Math.hypot(edge[0] - at[0], edge[1] - at[1]) > 1) stamp(ctx, "cross", [edge], pen, 1.1);
  else ball(ctx, ...at, pen);
}

/** Where a path was last seen: a diverged one ends with weights that are no numbers. */
function lastFinite(place: Place, step: number, now: [number, number]): [number, number] {
  let found = now;
  for (let before = step; Number.isNaN(found[0] + found[1]) && before >= 0; before--) found = place(before);
  return found;
}

function clamp(value: number, low: number, high: number): number {
  return Math.max(low, Math.min(high, value));
}

function steps(every: number, last: number): number[] {
  return Array.from({ length: Math.floor(last / every) }, (_, k) => (k + 1) * every);
}

function between(one: [number, number], other: [number, number], part: number): [number, number] {
  return part ? [one[0] + part * (other[0] - one[0]), one[1] + part * (other[1] - one[1])] : one;
}

/** Balls and paths on the curve over one weight, with the tangent where each ball is. x of the surface rises. */
export function curveOverlay(surface: { x: Numbers; loss: Numbers }, walks: readonly Walk[], upTo: readonly number[]): Paint {
  return (ctx, at, box, theme) =>
    walks.forEach((walk, k) => {
      const made = penOf(walk.colour, theme, "paper");
      const last = walk.points.length - 1;
      const reached = Math.max(0, Math.min(last, upTo[k] ?? last));
      const place = (step: number): [number, number] =>
        at(walk.points[step]!, walk.loss[step] ?? along(surface.x, surface.loss, walk.points[step]!));
      tangent(ctx, at, surface, slid(walk.points, reached), made);
      walked(ctx, place, last, reached, made, walk.style, box);
    });
}

function slid(values: Numbers, step: number): number {
  const whole = Math.floor(step);
  return values[whole]! + (step - whole) * ((values[whole + 1] ?? values[whole]!) - values[whole]!);
}

/** The slope of the curve at x, from its drawn points. */
export function slopeAt({ x, loss }: { x: Numbers; loss: Numbers }, at: number): number {
  const near = (x[x.length - 1]! - x[0]!) / Math.max(1, x.length - 1);
  const [low, high] = [Math.max(x[0]!, at - near), Math.min(x[x.length - 1]!, at + near)];
  return (along(x, loss, high) - along(x, loss, low)) / (high - low);
}

function tangent(ctx: CanvasRenderingContext2D, at: At, surface: { x: Numbers; loss: Numbers }, x: number, pen: Pen): void {
  const [slope, height] = [slopeAt(surface, x), along(surface.x, surface.loss, x)];
  if (!Number.isFinite(slope + height)) return;
  const reach = TANGENT * (surface.x[surface.x.length - 1]! - surface.x[0]!);
  ctx.beginPath();
  ctx.moveTo(...at(x - reach, height - slope * reach));
  ctx.lineTo(...at(x + reach, height + slope * reach)); // near: the slope is that of the drawn curve
  stroke(ctx, pen, 1.5, "dashed");
}

/** Where the playhead is: a thin line at a step, and a dot on each curve that has a value there. */
export function headOverlay(step: number, curves: readonly { y: Numbers; colour: Colour; first?: number }[]): Paint {
  return (ctx, at, box, theme) => {
    const x = at(step, 1)[0];
    ctx.beginPath();
    ctx.moveTo(x, box.top);
    ctx.lineTo(x, box.top + box.height);
    ctx.globalAlpha = 0.55;
    stroke(ctx, { colour: theme.ink, paper: theme.paper }, 1, "solid");
    ctx.globalAlpha = 1;
    for (const { y, colour, first = 0 } of curves) {
      const place = Math.min(y.length - 1, Math.max(0, step - first));
      ball(ctx, ...at(first + place, slid(y, place)), penOf(colour, theme, "paper"), 4);
    }
  };
}

/** Curves through (x, y) of this moment, such as fitted lines. */
export function lineOverlay(lines: readonly { x: Numbers; y: Numbers; colour: Colour; style: Style }[]): Paint {
  return (ctx, at, box, theme) => {
    for (const { x, y, colour, style } of lines) {
      curve(ctx, x.length, (k) => at(x[k]!, y[k]!), box);
      stroke(ctx, penOf(colour, theme, "paper"), 2.2, style);
    }
  };
}

/** Where the start would be, or another single place: a hollow mark with a cross of hair lines. */
export function spotOverlay(x: number, y: number, colour: Colour = "ink"): Paint {
  return (ctx, at, _box, theme) => stamp(ctx, "circle", [at(x, y)], penOf(colour, theme, "heat"), 1.6);
}
