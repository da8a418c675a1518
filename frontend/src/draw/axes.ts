// Where on the picture is a value?  limits + scale -> 0..1 along an axis, and back; centres of cells -> their edges.

import type { Limits, Numbers, Scale } from "./marks";

export type Box = { left: number; top: number; width: number; height: number };
export type At = (x: number, y: number) => [number, number];
export type Axis = { scale: Scale; to: (value: number) => number; back: (share: number) => number };

const FAR = 1e6; // pixels: a canvas loses its way with coordinates far beyond

/** An axis that is safe for any limits: differences of the largest doubles do not overflow, and logs of 0 lie far below. */
export function axis(limits: Limits, scale: Scale): Axis {
  if (scale === "log") {
    const [low, high] = [Math.log10(limits[0]), Math.log10(limits[1])];
    return {
      scale,
      to: (value) => (Math.log10(value) - low) / (high - low || 1),
      back: (share) => 10 ** (low + share * (high - low)),
    };
  }
  const [low, half] = [limits[0], limits[1] / 2 - limits[0] / 2 || 1];
  return { scale, to: (value) => (value / 2 - low / 2) / half, back: (share) => low + share * half + share * half };
}

/** Values -> pixels in a box. */
export function placed(x: Axis, y: Axis, box: Box): At {
  return (across, upright) => [near(box.left + x.to(across) * box.width), near(box.top + (1 - y.to(upright)) * box.height)];
}

function near(pixel: number): number {
  return pixel > FAR ? FAR : pixel < -FAR ? -FAR : pixel;
}

/** The part of a segment in a box with some room around it: where it enters and leaves; null: none. */
export function inBox(
  from: readonly [number, number],
  to: readonly [number, number],
  box: Box,
  room: number,
): [number, number, number, number] | null {
  let [enter, leave] = [0, 1];
  const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
  for (const [start, step, low, size] of [
    [from[0], dx, box.left, box.width],
    [from[1], dy, box.top, box.height],
  ] as const) {
    const [one, other] = [low - room - start, low + size + room - start];
    if (step === 0 && (one > 0 || other < 0)) return null;
    if (step === 0) continue;
    enter = Math.max(enter, Math.min(one / step, other / step));
    leave = Math.min(leave, Math.max(one / step, other / step));
  }
  return enter > leave ? null : [from[0] + enter * dx, from[1] + enter * dy, from[0] + leave * dx, from[1] + leave * dy];
}

/** (n + 1) the edges of cells around n rising centres on an axis of that scale. */
export function edges(centres: Numbers, scale: Scale): number[] {
  const at = Array.from(centres, (value) => (scale === "log" ? Math.log10(value) : value));
  const middle = at.slice(1).map((value, place) => (value + at[place]!) / 2);
  const found =
    at.length === 1
      ? [at[0]! - 0.5, at[0]! + 0.5]
      : [2 * at[0]! - middle[0]!, ...middle, 2 * at[at.length - 1]! - middle[middle.length - 1]!];
  return scale === "log" ? found.map((value) => 10 ** value) : found;
}

/** The place in rising values whose value is nearest. */
export function nearestIn(values: Numbers, value: number): number {
  let [low, high] = [0, values.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (values[middle]! <= value) low = middle;
    else high = middle;
  }
  return high >= 0 && Math.abs(values[high]! - value) < Math.abs(values[low]! - value) ? high : low;
}

/** A curve through (x, y) at a value of x: rising x, straight between points; NaN outside. */
export function along(x: Numbers, y: Numbers, value: number): number {
  if (!(value >= x[0]! && value <= x[x.length - 1]!)) return NaN;
  let place = nearestIn(x, value);
  if (x[place]! > value) place--;
  if (place >= x.length - 1) return y[x.length - 1]!;
  const part = (value - x[place]!) / (x[place + 1]! - x[place]! || 1);
  return y[place]! + part * (y[place + 1]! - y[place]!);
}
