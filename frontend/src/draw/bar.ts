// Which value has which colour?  limits + scale of an area -> a strip of colours with numbers, at the right of a picture.

import { axis, type Box } from "./axes";
import { css, onScale, type Theme } from "./colours";
import { fittingTicks, number } from "./format";
import type { Faces, Heat } from "./marks";
import { font } from "./sheet";
import type { Ctx } from "./shapes";

const STRIP = 10; // pixels
const GAP = 8;

/** The room that it takes at the right of the box. */
export function barWidth(area: Heat | Faces, height: number, small: boolean): number {
  const size = small ? 10 : 11;
  const longest = Math.max(...numbers(area, height, size).labels.map((label) => label.length), number(1).length);
  return GAP + STRIP + 5 + longest * size * 0.6 + 2;
}

/** Draws it beside the box, its label above it. */
export function drawBar(ctx: Ctx, area: Heat | Faces, box: Box, theme: Theme, small: boolean): void {
  const left = box.left + box.width + GAP;
  const along = axis(area.limits, area.scale);
  const fill = ctx.createLinearGradient(0, box.top + box.height, 0, box.top);
  for (let stop = 0; stop <= 32; stop++) fill.addColorStop(stop / 32, css(onScale(stop / 32)));
  ctx.fillStyle = fill;
  ctx.fillRect(left, box.top, STRIP, box.height);
  const size = small ? 10 : 11;
  font(ctx, size);
  ctx.fillStyle = ctx.strokeStyle = theme.ink;
  ctx.textAlign = "left";
  ctx.textBaseline = "middle";
  const { at, labels } = numbers(area, box.height, size);
  at.forEach((value, place) => {
    const y = box.top + (1 - along.to(value)) * box.height;
    ctx.fillRect(left + STRIP, Math.round(y), 3, 1);
    ctx.fillText(labels[place]!, left + STRIP + 5, y);
  });
  ctx.textAlign = "right";
  ctx.textBaseline = "bottom";
  ctx.fillText(area.label, left + STRIP + 4 + 0.6 * size * Math.max(1, ...labels.map((label) => label.length)), box.top - 4);
}

function numbers(area: Heat | Faces, height: number, size: number): { at: number[]; labels: string[] } {
  return fittingTicks(area.limits, area.scale, Math.min(7, Math.floor(height / (2 * size))), false, () => true);
}
