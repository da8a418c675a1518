// How does a number read?  value -> text, limits -> round ticks (as surefoot/figures/scales.py): 1e-6 is not 0.

import type { Limits, Scale } from "./marks";

const FINEST = 17; // digits that tell any two doubles apart

/** A number as a person writes it, with so many digits that count: 0.001, 1e-5, 20,000, 1e30; null comes over the wire for NaN. */
export function number(value: number | null | undefined, digits = 3): string {
  if (value === null || value === undefined || Number.isNaN(value)) return "not a number";
  if (!Number.isFinite(value)) return value > 0 ? "infinite" : "minus infinite";
  const size = Math.abs(value);
  if (size < 1e6 && Number.isInteger(value)) return grouped(value.toFixed(0));
  if (size >= 1000 && size < 1e6 && digits <= 6) return grouped(value.toFixed(0));
  if (size < 1e-3 || size >= 1e6) return scientific(value, digits);
  return short(Number(value.toPrecision(digits)).toString());
}

function scientific(value: number, digits: number): string {
  const [mantissa = "0", exponent = "0"] = value.toExponential(Math.max(0, digits - 1)).split("e");
  return `${short(mantissa)}e${Number(exponent)}`;
}

function short(text: string): string {
  return text === "-0" ? "0" : text.includes(".") ? text.replace(/0+$/, "").replace(/\.$/, "") : text;
}

function grouped(text: string): string {
  return text === "-0" ? "0" : text.replace(/\B(?=(\d{3})+(?!\d))/g, ",");
}

/** At most so many round numbers within the limits; on a log axis powers of ten, with 2 and 5 between them where there is room. */
export function ticks(limits: Limits, scale: Scale, most: number, whole = false): number[] {
  const [low, high] = limits;
  if (!Number.isFinite(low) || !Number.isFinite(high) || high < low || (scale === "log" && low <= 0)) return [];
  let grids = scale === "log" ? logGrids(low, high, whole ? Infinity : most) : linearGrids(low, high);
  if (whole) grids = grids.map((grid) => grid.filter((tick) => tick >= 0 && Number.isInteger(tick)));
  return grids.find((grid) => grid.length <= most) ?? [];
}

/** The ticks as numbers, with as many digits as it takes to tell them apart. */
export function tickLabels(positions: readonly number[]): string[] {
  for (let digits = 3; digits <= FINEST; digits++) {
    const labels = positions.map((position) => number(position, digits));
    if (new Set(labels).size === positions.length) return labels;
  }
  return positions.map(String);
}

/** Ticks whose labels have room: `room(labels)` says whether they do; fewer are tried until it does. */
export function fittingTicks(
  limits: Limits,
  scale: Scale,
  most: number,
  whole: boolean,
  room: (labels: string[]) => boolean,
): { at: number[]; labels: string[] } {
  // one number alone tells no scale: then rather two too many than that
  const counts = ticks(limits, scale, most, whole).length < 2 ? [most, most + 1, most + 2, most + 3] : [];
  for (const count of [...counts.reverse(), ...Array.from({ length: most }, (_, k) => most - k)]) {
    const at = ticks(limits, scale, count, whole);
    const labels = tickLabels(at);
    if (room(labels)) return { at, labels };
  }
  return { at: [], labels: [] };
}

/** The small ticks of a log axis, 2 to 9 times each power of ten; none where they would be a grey bar. */
export function minorTicks(limits: Limits, scale: Scale, decades = 6): number[] {
  const [low, high] = limits;
  if (scale !== "log" || !(low > 0) || Math.log10(high) - Math.log10(low) > decades) return [];
  const found: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
    for (let factor = 2; factor <= 9; factor++) found.push(Number(`${factor}e${power}`));
  return found.filter((tick) => tick >= low && tick <= high);
}

function linearGrids(low: number, high: number): number[][] {
  // halves: the difference of the largest doubles overflows
  const decade = Math.floor(Math.log10(high / 2 - low / 2 || 0.5) + Math.log10(2));
  const grids: number[][] = [];
  for (let power = decade - 1; power <= decade + 1; power++)
    for (const factor of [1, 2, 5]) grids.push(multiples(low, high, factor, power));
  return grids;
}

function multiples(low: number, high: number, factor: number, power: number): number[] {
  const step = Number(`${factor}e${power}`);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  // decimal text, because 3 * 0.1 is not the float64 nearest to 0.3
  if (!(step > 0) || !Number.isFinite(last - first)) return []; // finer than doubles, or coarser
  return range(first, last).map((count) => Number(`${count * factor}e${power}`) + 0);
}

function logGrids(low: number, high: number, most: number): number[][] {
  const powers = range(Math.floor(Math.log10(low)), Math.ceil(Math.log10(high)));
  const fine = powers.length > most + 2 ? [] : [[1, 2, 5], [1, 3], [1]]; // one number in each power would already be too many
  const every = fine.map((factors) => powers.flatMap((p) => factors.map((f) => Number(`${f}e${p}`))));
  const sparse = [2, 3, 5, 10, 20, 50, 100].map((stride) => powers.filter((p) => p % stride === 0).map((p) => Number(`1e${p}`)));
  const inside = [...every, ...sparse].map((grid) => grid.filter((t) => t >= low * (1 - 1e-9) && t <= high * (1 + 1e-9)));
  return [...inside, []];
}

function range(first: number, last: number): number[] {
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, place) => first + place);
}
