// How does one point look?  shape + place -> strokes on a canvas; also lines with rims.

import { inBox, type Box } from "./axes";
import { dashes } from "./colours";
import type { Shape, Style } from "./marks";

export type Ctx = CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D;
export type Pen = { colour: string; paper: string; rim?: string | null };

// pixels from the middle
const SIZES: Record<Shape, number> = { dot: 2.2, circle: 3.4, square: 3.4, diamond: 4.2, star: 6.6, cross: 4.2 };

/** Adds the outline of a shape to the path of the canvas. */
export function outline(ctx: Ctx, shape: Shape, x: number, y: number, size = SIZES[shape]): void {
  if (shape === "square") ctx.rect(x - size, y - size, 2 * size, 2 * size);
  else if (shape === "diamond")
    polygon(
      ctx,
      x,
      y,
      [0, 1, 2, 3].map((k) => [size, (k * Math.PI) / 2]),
    );
  else if (shape === "star") polygon(ctx, x, y, star(size));
  else if (shape === "cross") cross(ctx, x, y, size);
  else {
    ctx.moveTo(x + size, y);
    ctx.arc(x, y, size, 0, 2 * Math.PI);
  }
}

function star(size: number): [number, number][] {
  return Array.from({ length: 10 }, (_, k) => [k % 2 ? 0.42 * size : size, (k * Math.PI) / 5 - Math.PI / 2]);
}

function polygon(ctx: Ctx, x: number, y: number, corners: [number, number][]): void {
  corners.forEach(([far, angle], place) => {
    const to: [number, number] = [x + far * Math.cos(angle), y + far * Math.sin(angle)];
    if (place) ctx.lineTo(...to);
    else ctx.moveTo(...to);
  });
  ctx.closePath();
}

function cross(ctx: Ctx, x: number, y: number, size: number): void {
  for (const side of [-1, 1]) {
    ctx.moveTo(x - size, y - side * size);
    ctx.lineTo(x + size, y + side * size);
  }
}

/** Draws points of one shape: (x, y) one after the other, NaN left out. */
export function stamp(ctx: Ctx, shape: Shape, places: readonly [number, number][], pen: Pen, scale = 1): void {
  ctx.save();
  ctx.setLineDash([]);
  ctx.beginPath();
  for (const [x, y] of places) if (Number.isFinite(x + y)) outline(ctx, shape, x, y, SIZES[shape] * scale);
  fillOrStroke(ctx, shape, pen);
  ctx.restore();
}

function fillOrStroke(ctx: Ctx, shape: Shape, pen: Pen): void {
  ctx.lineJoin = "round";
  if (shape === "cross" || shape === "circle") {
    if (pen.rim) strokeWith(ctx, pen.rim, 4.6);
    ctx.fillStyle = pen.paper;
    if (shape === "circle") ctx.fill();
    strokeWith(ctx, pen.colour, 2);
    return;
  }
  if (shape !== "dot") strokeWith(ctx, pen.rim ?? pen.paper, 1.8);
  ctx.fillStyle = pen.colour;
  ctx.fill();
}

function strokeWith(ctx: Ctx, colour: string, width: number): void {
  ctx.strokeStyle = colour;
  ctx.lineWidth = width;
  ctx.stroke();
}

const NEARER = 0.3; // pixels: points closer than that are drawn once
const ROOM = 30; // pixels around the box: dashes of a line that leaves for infinity would be counted in minutes

/** Makes a curve the path of the canvas; what is not a number is a gap, what is far outside the box is left out. */
export function curve(ctx: Ctx, count: number, place: (step: number) => [number, number], box: Box): void {
  ctx.beginPath();
  let before: [number, number] | null = null;
  let [x, y] = [NaN, NaN];
  for (let step = 0; step < count; step++) {
    const to = place(step);
    if (Number.isNaN(to[0] + to[1])) before = null;
    else if (before === null) before = to;
    else if (Math.abs(to[0] - before[0]) + Math.abs(to[1] - before[1]) > NEARER) {
      const seen = inBox(before, to, box, ROOM);
      if (seen && (seen[0] !== x || seen[1] !== y)) ctx.moveTo(seen[0], seen[1]);
      if (seen) ctx.lineTo((x = seen[2]), (y = seen[3]));
      before = to;
    }
  }
}

/** Strokes the current path in a colour and a style, with a rim where it lies on areas. */
export function stroke(ctx: Ctx, pen: Pen, width: number, style: Style): void {
  ctx.lineJoin = "round";
  ctx.lineCap = style === "dotted" ? "round" : "butt";
  if (pen.rim) {
    ctx.setLineDash([]);
    strokeWith(ctx, pen.rim, width + 1.8);
  }
  ctx.setLineDash(dashes(style));
  strokeWith(ctx, pen.colour, width);
  ctx.setLineDash([]);
}

/** Where a descent is now: a ball with a rim. */
export function ball(ctx: Ctx, x: number, y: number, pen: Pen, size = 5.5): void {
  if (!Number.isFinite(x + y)) return;
  ctx.beginPath();
  ctx.arc(x, y, size, 0, 2 * Math.PI);
  ctx.fillStyle = pen.colour;
  ctx.fill();
  strokeWith(ctx, pen.rim ?? pen.paper, 1.8);
}
