// How does each layer look on a canvas?  a layer + where values are -> strokes and areas; a new layer is one function and one row.

import { edges, type At, type Axis, type Box } from "./axes";
import { css, FAINT, onScale, painted, parsed, rim, share, type RGB, type Theme } from "./colours";
import type { Arrows, Band, Contour, Faces, Heat, Layer, Line, Marks, Numbers, Points, Rule, Span, Words } from "./marks";
import { coloured } from "./marks";
import { curve, stamp, stroke, type Ctx, type Pen } from "./shapes";

/** What a layer needs to know: where values are, on which paper, over which areas. */
export type View = {
  at: At;
  box: Box;
  x: Axis;
  y: Axis;
  theme: Theme;
  ratio: number;
  over: "paper" | "heat" | "faces";
  small: boolean;
};

const BELOW = 0.25; // of grey in the colour of cells without a value
const HEAD = 6; // pixels: the head of an arrow

/** Draws all layers, the hindmost first; points that went wrong and stars may reach over the edge, all else is cut off there. */
export function paint(ctx: Ctx, marks: Marks, view: Omit<View, "over">): void {
  const area = coloured(marks)?.type;
  const full: View = { ...view, over: area === "heat" ? "heat" : area === "faces" ? "faces" : "paper" };
  for (const layer of marks.layers) {
    ctx.save();
    cut(ctx, view.box, layer.type === "points" ? 6 : 0);
    (PAINTERS[layer.type] as (ctx: Ctx, layer: Layer, view: View) => void)(ctx, layer, full);
    ctx.restore();
  }
}

function cut(ctx: Ctx, box: Box, room: number): void {
  ctx.beginPath();
  ctx.rect(box.left - room, box.top - room, box.width + 2 * room, box.height + 2 * room);
  ctx.clip();
}

/** The colour of a layer, and the rim that it needs over areas. */
export function pen(layer: { colour: Line["colour"] }, view: Pick<View, "theme" | "over">): Pen {
  const colour = painted(layer.colour, view.theme);
  const edge = view.over === "heat" ? rim(colour) : view.over === "faces" ? view.theme.paper : null;
  return { colour, paper: view.theme.paper, rim: edge };
}

function drawLine(ctx: Ctx, layer: Line, view: View): void {
  const frame = view.over === "faces" && layer.colour === "grey";
  const made = { ...pen(layer, view), ...(layer.faint || frame ? { rim: null } : {}) };
  ctx.globalAlpha = !layer.faint ? 1 : layer.style === "dotted" ? 0.9 : FAINT;
  curve(ctx, layer.x.length, (k) => view.at(layer.x[k]!, layer.y[k]!), view.box);
  stroke(ctx, made, layer.faint ? (layer.style === "dotted" ? 1.5 : 1) : view.small ? 1.5 : 2, layer.style);
  const alone = single(layer.y);
  if (alone >= 0) stamp(ctx, "dot", [view.at(layer.x[alone]!, layer.y[alone]!)], made, 1.4);
}

function single(y: Numbers): number {
  let found = -1;
  for (let place = 0; place < y.length; place++) {
    if (!Number.isFinite(y[place]!)) continue;
    if (found >= 0) return -1;
    found = place;
  }
  return found;
}

function drawBand(ctx: Ctx, layer: Band, view: View): void {
  ctx.globalAlpha = 0.28;
  ctx.fillStyle = painted(layer.colour, view.theme);
  const floor = view.box.top + view.box.height;
  let first = 0;
  for (let place = 0; place <= layer.x.length; place++) {
    if (place < layer.x.length && !Number.isNaN(layer.low[place]! + layer.high[place]!)) continue;
    ctx.beginPath();
    for (let k = first; k < place; k++) ctx.lineTo(...view.at(layer.x[k]!, layer.high[k]!));
    for (let k = place - 1; k >= first; k--) {
      const [x, y] = view.at(layer.x[k]!, layer.low[k]!);
      ctx.lineTo(x, Number.isFinite(y) ? y : floor);
    }
    ctx.fill();
    first = place + 1;
  }
}

function drawPoints(ctx: Ctx, layer: Points, view: View): void {
  ctx.globalAlpha = layer.faint ? FAINT ** 0.5 : layer.shape === "dot" ? 0.75 : 1;
  const places = Array.from(layer.x, (x, place) => view.at(x, layer.y[place]!));
  stamp(ctx, layer.shape, places, pen(layer, view), view.small ? 0.8 : 1);
}

function drawRule(ctx: Ctx, layer: Rule, view: View): void {
  const x = view.at(layer.at, 1)[0];
  ctx.beginPath();
  ctx.moveTo(x, view.box.top);
  ctx.lineTo(x, view.box.top + view.box.height);
  stroke(ctx, pen(layer, view), 1.5, layer.style);
}

function drawSpan(ctx: Ctx, layer: Span, view: View): void {
  const [low, high] = [view.at(layer.low, 1)[0], view.at(layer.high, 1)[0]];
  ctx.globalAlpha = 0.16;
  ctx.fillStyle = painted(layer.colour, view.theme);
  ctx.fillRect(low, view.box.top, high - low, view.box.height);
}

function drawContour(ctx: Ctx, layer: Contour, view: View): void {
  curve(ctx, layer.x.length, (k) => view.at(layer.x[k]!, layer.y[k]!), view.box);
  stroke(ctx, { colour: "rgba(255,255,255,0.4)", paper: "" }, 0.8, "solid");
}

function drawArrows(ctx: Ctx, layer: Arrows, view: View): void {
  ctx.strokeStyle = ctx.fillStyle = painted(layer.colour, view.theme);
  ctx.lineWidth = 1.6;
  for (let place = 0; place < layer.x.length; place++) {
    const [x, y] = view.at(layer.x[place]!, layer.y[place]!);
    const end = view.at(layer.x[place]! + layer.length[place]!, layer.y[place]!)[0];
    if (Math.abs(end - x) > 1 && Number.isFinite(end + y)) arrow(ctx, x, end, y);
  }
}

/** An arrow from left to right or from right to left. */
export function arrow(ctx: Ctx, x: number, end: number, y: number): void {
  const head = Math.sign(end - x) * Math.min(HEAD, Math.abs(end - x));
  ctx.beginPath();
  ctx.moveTo(x, y);
  ctx.lineTo(end - head, y);
  ctx.stroke();
  ctx.beginPath();
  ctx.moveTo(end, y);
  ctx.lineTo(end - head, y - 3);
  ctx.lineTo(end - head, y + 3);
  ctx.fill();
}

function drawHeat(ctx: Ctx, layer: Heat, view: View): void {
  const { left, top, width, height } = view.box;
  const [across, upright] = [Math.max(1, Math.round(width * view.ratio)), Math.max(1, Math.round(height * view.ratio))];
  const columns = cellsOf(edges(layer.x, view.x.scale), view.x, across);
  const rows = cellsOf(edges(layer.y, view.y.scale), view.y, upright).reverse();
  ctx.drawImage(raster(layer, columns, rows, view.theme), left, top, width, height);
  drawDiverged(ctx, layer, view);
}

/** For each of so many pixels along an axis the cell that it is in; -1 outside. */
function cellsOf(ends: readonly number[], axis: Axis, pixels: number): Int32Array {
  const at = ends.map(axis.to);
  const found = new Int32Array(pixels).fill(-1);
  let cell = 0;
  for (let pixel = 0; pixel < pixels; pixel++) {
    const middle = (pixel + 0.5) / pixels;
    while (cell < at.length - 1 && at[cell + 1]! <= middle) cell++;
    if (cell < at.length - 1 && at[cell]! <= middle) found[pixel] = cell;
  }
  return found;
}

function raster(layer: Heat, columns: Int32Array, rows: Int32Array, theme: Theme): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [columns.length, rows.length];
  const ctx = canvas.getContext("2d")!;
  const image = ctx.createImageData(columns.length, rows.length);
  const pixels = new Uint32Array(image.data.buffer);
  const cells = cellColours(layer, theme);
  rows.forEach((row, j) => {
    if (row < 0) return;
    for (let i = 0; i < columns.length; i++)
      if (columns[i]! >= 0) pixels[j * columns.length + i] = cells[row * layer.x.length + columns[i]!]!;
  });
  ctx.putImageData(image, 0, 0);
  return canvas;
}

/** A pixel for each cell: see-through where nothing was measured, grey where the descent diverged. */
function cellColours(layer: Heat, theme: Theme): Uint32Array {
  const table = Uint32Array.from({ length: 256 }, (_, step) => packed(onScale(step / 255)));
  const lost = packed(unmeasured(theme));
  return Uint32Array.from({ length: layer.values.length }, (_, place) => {
    const value = layer.values[place]!;
    if (layer.diverged[place]) return lost;
    return Number.isNaN(value) ? 0 : table[Math.round(255 * share(value, layer.limits, layer.scale))]!;
  });
}

function packed([red, green, blue]: RGB): number {
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

/** Grey, a quarter, on the paper. */
export function unmeasured(theme: Theme): RGB {
  const [grey, paper] = [parsed(painted("grey", theme))!, parsed(theme.paper) ?? [255, 255, 255]];
  return [0, 1, 2].map((part) => Math.round(BELOW * grey[part]! + (1 - BELOW) * paper[part]!)) as unknown as RGB;
}

function drawDiverged(ctx: Ctx, layer: Heat, view: View): void {
  const roomy = (view.box.width / layer.x.length) * (view.box.height / layer.y.length) > 80;
  if (!roomy) return;
  const places: [number, number][] = [];
  for (let place = 0; place < layer.values.length; place++)
    if (layer.diverged[place]) places.push(view.at(layer.x[place % layer.x.length]!, layer.y[Math.floor(place / layer.x.length)]!));
  stamp(ctx, "cross", places, { colour: painted("grey", view.theme), paper: "" }, 0.6);
}

function drawFaces(ctx: Ctx, layer: Faces, view: View): void {
  const lost = css(unmeasured(view.theme));
  ctx.lineWidth = 0.7;
  for (let face = 0; face < layer.values.length; face++) {
    const value = layer.values[face]!;
    const colour = Number.isNaN(value) ? lost : shaded(onScale(share(value, layer.limits, layer.scale)), layer.shade[face]!);
    ctx.beginPath();
    for (let corner = 3 * face; corner < 3 * face + 3; corner++) ctx.lineTo(...view.at(layer.x[corner]!, layer.y[corner]!));
    ctx.closePath();
    ctx.fillStyle = ctx.strokeStyle = colour;
    ctx.fill();
    ctx.stroke(); // an edge of its own colour covers the seams that smooth edges leave between two faces
  }
}

/** A colour, less bright. */
export function shaded([red, green, blue]: RGB, shade: number): string {
  return css([Math.round(red * shade), Math.round(green * shade), Math.round(blue * shade)]);
}

function drawWords(ctx: Ctx, layer: Words, view: View): void {
  const [across = "center", upright = "center"] = layer.anchor.split(" ");
  ctx.textAlign = across as CanvasTextAlign;
  ctx.textBaseline = upright === "center" ? "middle" : (upright as CanvasTextBaseline);
  ctx.fillStyle = painted(layer.colour, view.theme);
  layer.texts.forEach((text, place) => ctx.fillText(text, ...view.at(layer.x[place]!, layer.y[place]!)));
}

const PAINTERS = {
  line: drawLine,
  band: drawBand,
  points: drawPoints,
  rule: drawRule,
  span: drawSpan,
  heat: drawHeat,
  contour: drawContour,
  arrows: drawArrows,
  faces: drawFaces,
  words: drawWords,
};
