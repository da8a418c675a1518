// Which curve is which?  layers with labels -> entries with a swatch each, as a list beside the picture and as text on a canvas.

import { painted, type Theme } from "./colours";
import { arrow, pen } from "./layers";
import type { Layer, Marks } from "./marks";
import { stamp, stroke, type Ctx } from "./shapes";

export type Entry = { layer: Layer; label: string };

const WIDTH = 24; // pixels of a swatch
const HEIGHT = 12;

/** What a legend names, in the order of the layers; rules carry their name on a flag (else `rules`), areas on their scale. */
export function entries(marks: Marks, rules = false): Entry[] {
  const named = marks.layers.flatMap((layer) =>
    "label" in layer && layer.label && (!OWN.has(layer.type) || (rules && layer.type === "rule"))
      ? [{ layer, label: layer.label }]
      : [],
  );
  const lost = marks.layers.find((layer) => layer.type === "heat" && Array.from(layer.diverged).some(Boolean));
  return lost ? [{ layer: lost, label: "diverged" }, ...named] : named;
}

const OWN = new Set(["rule", "heat", "faces"]);

/** Draws the swatch of a layer between x and x + 24, around y. */
export function swatch(ctx: Ctx, layer: Layer, x: number, y: number, theme: Theme): void {
  ctx.save();
  if (layer.type === "line" || layer.type === "rule") {
    const faint = layer.type === "line" && layer.faint;
    ctx.globalAlpha = faint ? 0.7 : 1;
    ctx.beginPath();
    ctx.moveTo(x, y);
    ctx.lineTo(x + WIDTH, y);
    stroke(ctx, pen(layer, { theme, over: "paper" }), faint ? 1 : 2, layer.style);
  } else if (layer.type === "points") stamp(ctx, layer.shape, [[x + WIDTH / 2, y]], pen(layer, { theme, over: "paper" }));
  else if (layer.type === "heat") stamp(ctx, "cross", [[x + WIDTH / 2, y]], { colour: painted("grey", theme), paper: "" }, 0.8);
  else if (layer.type === "arrows") {
    ctx.strokeStyle = ctx.fillStyle = painted(layer.colour, theme);
    arrow(ctx, x, x + WIDTH, y);
  } else if ("colour" in layer) {
    ctx.globalAlpha = layer.type === "span" ? 0.2 : 0.35;
    ctx.fillStyle = painted(layer.colour, theme);
    ctx.fillRect(x, y - 5, WIDTH, 10);
  }
  ctx.restore();
}

/** A list of the entries. */
export function legendList(found: readonly Entry[], theme: Theme): HTMLUListElement {
  const list = document.createElement("ul");
  list.className = "draw-entries";
  for (const { layer, label } of found) {
    const item = document.createElement("li");
    item.append(swatchOf(layer, theme), label);
    list.append(item);
  }
  return list;
}

function swatchOf(layer: Layer, theme: Theme): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  const ratio = devicePixelRatio || 1;
  [canvas.width, canvas.height] = [(WIDTH + 2) * ratio, HEIGHT * ratio];
  canvas.style.cssText = `width:${WIDTH + 2}px;height:${HEIGHT}px`;
  canvas.setAttribute("aria-hidden", "true");
  const ctx = canvas.getContext("2d")!;
  ctx.scale(ratio, ratio);
  swatch(ctx, layer, 1, HEIGHT / 2, theme);
  return canvas;
}

/** Writes the entries on a canvas from (x, y) on, in rows of so many pixels; returns the height of all rows. */
export function legendOn(ctx: Ctx, found: readonly Entry[], x: number, y: number, width: number, theme: Theme): number {
  let [left, row] = [x, 0];
  ctx.textAlign = "left";
  ctx.textBaseline = "middle";
  for (const { layer, label } of found) {
    const room = WIDTH + 6 + ctx.measureText(label).width + 14;
    if (left > x && left + room > x + width) [left, row] = [x, row + 1];
    swatch(ctx, layer, left, y + 16 * row + 8, theme);
    ctx.fillStyle = theme.ink;
    ctx.fillText(label, left + WIDTH + 6, y + 16 * row + 8);
    left += room;
  }
  return found.length ? 16 * (row + 1) : 0;
}
