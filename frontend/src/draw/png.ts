// How is a picture kept?  the canvases of a drawing + its words -> one opaque PNG.

import type { Theme } from "./colours";
import { entries, legendOn } from "./legend";
import type { Marks } from "./marks";
import { blob, FAMILY, font, hidden } from "./sheet";

const MARGIN = 8;
const TITLE = 22;

/** Title and legend above, then the canvases on top of each other where they stand on the page. */
export function png(
  root: HTMLElement,
  marks: Marks | null,
  theme: Theme,
  layers: (HTMLCanvasElement | null | undefined)[],
): Promise<Blob> {
  const drawn = layers.filter((canvas): canvas is HTMLCanvasElement => Boolean(canvas?.width));
  const [width, height] = [
    Math.max(root.clientWidth, 120),
    Math.max(1, ...drawn.map((canvas) => canvas.clientHeight || canvas.height)),
  ];
  const words = marks ? above(marks, theme, width) : 0;
  const sheet = hidden();
  sheet.fit(width + 2 * MARGIN, words + height + 2 * MARGIN);
  sheet.ctx.fillStyle = theme.paper;
  sheet.ctx.fillRect(0, 0, width + 2 * MARGIN, words + height + 2 * MARGIN);
  if (marks) write(sheet.ctx, marks, theme, width);
  for (const canvas of drawn)
    sheet.ctx.drawImage(canvas, MARGIN, MARGIN + words, canvas.clientWidth || width, canvas.clientHeight || height);
  return blob(sheet.canvas);
}

function above(marks: Marks, theme: Theme, width: number): number {
  const { ctx } = hidden();
  ctx.font = `12px ${FAMILY}`;
  return (marks.title || marks.caption ? TITLE : 0) + legendOn(ctx, entries(marks), 0, 0, width, theme);
}

function write(ctx: CanvasRenderingContext2D, marks: Marks, theme: Theme, width: number): void {
  ctx.fillStyle = theme.ink;
  ctx.textBaseline = "top";
  font(ctx, 14, true);
  ctx.fillText(marks.title, MARGIN, MARGIN, width);
  const far = ctx.measureText(marks.title).width;
  font(ctx, 12);
  ctx.textAlign = "right";
  if (marks.caption && far + ctx.measureText(marks.caption).width < width) ctx.fillText(marks.caption, MARGIN + width, MARGIN + 2);
  legendOn(ctx, entries(marks), MARGIN, MARGIN + (marks.title || marks.caption ? TITLE : 0), width, theme);
}
