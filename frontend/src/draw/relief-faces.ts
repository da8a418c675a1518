// How is a mountain range filled?  faces from far to near + where the picture is -> colours on a canvas, without seams.

import { onScale } from "./colours";
import { shaded } from "./layers";
import { BELOW, type Direction, type Scene } from "./projection";

type Place = readonly [number, number];

const UNDER = 0.8; // pixels: so far a face reaches under the next one
const COLOURS = 95; // steps of the scale, and of brightness: finer than eyes are
const LIGHTS = 24;

const known = new Map<number, string>();
const quad = new Float64Array(8);

/** Fills the faces of a grid so many points wide: a unit of the projection is `scale` pixels, its origin is at `middle`. */
export function drawFaces(
  ctx: CanvasRenderingContext2D,
  scene: Scene,
  wide: number,
  from: Direction,
  scale: number,
  middle: Place,
): void {
  const { cells, shade, share } = scene;
  let before = -1;
  ctx.beginPath();
  for (let k = 0; k < cells.length; k++) {
    const key = Math.round(share[k]! * COLOURS) * 64 + Math.round(shade[k]! * LIGHTS);
    if (key !== before) {
      if (before >= 0) ctx.fill(); // neighbours of one colour are one area: half as much to fill
      ctx.beginPath();
      ctx.fillStyle = colourOf((before = key));
    }
    placed(scene, cells[k]!, wide, scale, middle);
    if (shade[k] !== BELOW) under(from.towards); // from below it would be seen as a dark rim on the crest before it
    ctx.moveTo(quad[0]!, quad[1]!);
    for (let at = 2; at < 8; at += 2) ctx.lineTo(quad[at]!, quad[at + 1]!);
    ctx.closePath();
  }
  ctx.fill();
}

function colourOf(key: number): string {
  let colour = known.get(key);
  if (!colour) known.set(key, (colour = shaded(onScale((key >> 6) / COLOURS), (key & 63) / LIGHTS)));
  return colour;
}

function placed({ u, v }: Scene, at: number, wide: number, scale: number, middle: Place): void {
  corner(0, u[at]!, v[at]!, scale, middle);
  corner(2, u[at + 1]!, v[at + 1]!, scale, middle);
  corner(4, u[at + wide + 1]!, v[at + wide + 1]!, scale, middle);
  corner(6, u[at + wide]!, v[at + wide]!, scale, middle);
}

function corner(at: number, u: number, v: number, scale: number, middle: Place): void {
  quad[at] = middle[0] + scale * u;
  quad[at + 1] = middle[1] - scale * v;
}

/** Moves the two edges that later faces share: smooth edges would leave seams between two faces. */
function under(towards: readonly number[]): void {
  if (towards[0]! > 0) pushed(1, 2, 0);
  else pushed(0, 3, 1);
  if (towards[1]! > 0) pushed(3, 2, 0);
  else pushed(0, 1, 3);
}

/** Moves the edge between two corners away from a third. */
function pushed(one: number, other: number, third: number): void {
  const dx = quad[2 * other]! - quad[2 * one]!;
  const dy = quad[2 * other + 1]! - quad[2 * one + 1]!;
  const across = dy * (quad[2 * third]! - quad[2 * one]!) - dx * (quad[2 * third + 1]! - quad[2 * one + 1]!);
  const size = (across > 0 ? -UNDER : UNDER) / (Math.sqrt(dx * dx + dy * dy) || 1);
  quad[2 * one]! += dy * size;
  quad[2 * one + 1]! -= dx * size;
  quad[2 * other]! += dy * size;
  quad[2 * other + 1]! -= dx * size;
}
