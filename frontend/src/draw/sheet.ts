// How is a canvas kept sharp?  size in CSS pixels + device pixel ratio -> a canvas whose units are CSS pixels.

import type { Ctx } from "./shapes";

export type Sheet = {
  canvas: HTMLCanvasElement;
  ctx: CanvasRenderingContext2D;
  fit: (width: number, height: number) => void;
  clear: () => void;
};

/** A canvas over the whole of its parent. */
export function sheet(parent: HTMLElement, name: string): Sheet {
  const canvas = document.createElement("canvas");
  canvas.className = name;
  parent.append(canvas);
  const ctx = canvas.getContext("2d")!;
  const fit = (width: number, height: number): void => resize(canvas, ctx, width, height);
  return { canvas, ctx, fit, clear: () => clear(canvas, ctx) };
}

/** A canvas that is not shown, to be copied from. */
export function hidden(): Sheet {
  const canvas = document.createElement("canvas");
  const ctx = canvas.getContext("2d")!;
  return { canvas, ctx, fit: (width, height) => resize(canvas, ctx, width, height), clear: () => clear(canvas, ctx) };
}

function resize(canvas: HTMLCanvasElement, ctx: CanvasRenderingContext2D, width: number, height: number): void {
  const ratio = devicePixelRatio || 1;
  const [across, upright] = [Math.max(1, Math.round(width * ratio)), Math.max(1, Math.round(height * ratio))];
  if (canvas.width !== across) canvas.width = across;
  if (canvas.height !== upright) canvas.height = upright;
  [canvas.style.width, canvas.style.height] = [`${width}px`, `${height}px`];
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
}

function clear(canvas: HTMLCanvasElement, ctx: CanvasRenderingContext2D): void {
  ctx.save();
  ctx.setTransform(1, 0, 0, 1, 0, 0);
  ctx.clearRect(0, 0, canvas.width, canvas.height);
  ctx.restore();
}

/** The font of the page, in so many pixels. */
export function font(ctx: Ctx, pixels: number, bold = false): void {
  ctx.font = `${bold ? "600 " : ""}${pixels}px ${FAMILY}`;
}

export const FAMILY = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';

/** A canvas as a file. */
export function blob(canvas: HTMLCanvasElement): Promise<Blob> {
  return new Promise((resolve, reject) =>
    canvas.toBlob((made) => (made ? resolve(made) : reject(new Error("The picture could not be written."))), "image/png"),
  );
}
