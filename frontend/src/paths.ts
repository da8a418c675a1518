// Where is everybody at this moment?  racers + step -> how far each path is walked, and painters of what moves.
import { painted } from "./draw/colours";
import { number } from "./draw/format";
import type { Marks, Style, Walk } from "./draw/marks";
import { curveOverlay, headOverlay, lineOverlay, pathOverlay, spotOverlay, together } from "./draw/overlays";
import type { Paint } from "./draw/picture";
import type { PlaneField, Racer, Scene, Surface } from "./wire";

/** A path as the pictures need it, with the steps of its points: it may hold only some of them. */
export interface Trail extends Walk { steps: Float32Array; points: Float32Array; dims: 1 | 2; last: number }

/** How many of some rising steps are not beyond a step. */
export function reached(steps: Float32Array, step: number): number {
  let [low, high] = [0, steps.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((steps[middle] as number) <= step) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The place in a path at a moment, between two of its points too; never beyond the last point that is a number. */
export function placeOn(trail: Pick<Trail, "steps" | "last">, moment: number): number {
  const before = Math.max(0, reached(trail.steps, moment) - 1);
  const [from, to] = [trail.steps[before] ?? 0, trail.steps[before + 1] ?? Infinity];
  return Math.min(trail.last, before + (Number.isFinite(to) ? Math.max(0, (moment - from) / (to - from)) : 0));
}

/** The place of the last point before the first that is no number. */
export function lastFinite(points: Float32Array, width: number): number {
  const lost = points.findIndex((value) => !Number.isFinite(value));
  const count = lost < 0 ? points.length / width : Math.floor(lost / width);
  return Math.max(0, count - 1);
}

/** The paths over one or two weights: as the surface projected them, else the racers' own. */
export function trails(scene: Scene, surface: Surface | null): Trail[] {
  const projected = surface?.paths;
  if (projected) return scene.racers.slice(0, projected.length).map((racer, index) => trail(racer, projected[index] as (typeof projected)[number], 2));
  const dims = scene.problem.dims;
  if (dims === 0) return [];
  return scene.racers.flatMap((racer) => (racer.path ? [trail(racer, { ...racer.path, loss: losses(racer) }, dims)] : []));
}

function trail(racer: Racer, path: { steps: Float32Array; points: Float32Array; loss: Float32Array }, dims: 1 | 2): Trail {
  const { colour, style, label } = racer;
  const { steps, points, loss } = path;
  return { colour, style, label, steps, points, loss, dims, last: lastFinite(points, dims) };
}

/** The loss at every point of the path: before each step, and at the end. A path that keeps only some steps has only theirs. */
function losses(racer: Racer): Float32Array {
  const steps = racer.path?.steps ?? new Float32Array();
  return Float32Array.from(steps, (step) => (step < racer.rows ? (racer.loss[step] as number) : (racer.final ?? NaN)));
}

/** Paths over the contours, or balls on the curve of a single weight; the main descent on top. */
export function trailPaint(trails: Trail[], moment: number, surface: Surface | null): Paint | null {
  const order = [...trails].reverse();
  const upTo = order.map((each) => placeOn(each, moment));
  if (order.length === 0) return null;
  return order[0]?.dims === 1 ? (surface ? curveOverlay(surface, order, upTo) : null) : pathOverlay(order, upTo);
}

/** The fitted lines as they are at a moment: of what left the picture, the last that is in it. */
export function fitPaint(racers: Racer[], step: number, limits: readonly [number, number]): Paint {
  const lines = [...racers].reverse().flatMap(({ fit, colour, style }) => (fit ? [{ x: fit.x, y: lineOf(fit, seenAt(fit, step, limits)), colour, style }] : []));
  return lineOverlay(lines);
}

/** After which step the main line left the picture, as a sentence; nothing where it is in it. */
export function fitLost(racer: Racer | undefined, step: number, limits: readonly [number, number]): string {
  if (!racer?.fit) return "";
  const row = seenAt(racer.fit, step, limits);
  return row < rowAt(racer.fit, step) ? `The line left the picture after step ${number(racer.fit.steps[row] as number)}; that one is shown.` : "";
}

type Fit = NonNullable<Racer["fit"]>;

function rowAt(fit: Fit, step: number): number {
  return Math.max(0, reached(fit.steps, step) - 1);
}

function lineOf(fit: Fit, row: number): Float32Array {
  return fit.y.subarray(row * fit.x.length, (row + 1) * fit.x.length);
}

/** The row that is shown: that of the step, or the last before it of which something is within the limits. */
function seenAt(fit: Fit, step: number, [low, high]: readonly [number, number]): number {
  const seen = (y: Float32Array): boolean => y.some((value) => value >= low) && y.some((value) => value <= high);
  const now = rowAt(fit, step);
  for (let row = now; row >= 0; row--) if (seen(lineOf(fit, row))) return row;
  return now;
}

/** The moment across the loss curves. */
export function momentPaint(racers: Racer[], moment: number): Paint {
  return headOverlay(moment, [...racers].reverse().map(({ loss, colour }) => ({ y: loss, colour })));
}

const DASHES: Record<Style, number[]> = { solid: [], dashed: [7, 4], dotted: [1.5, 3.5], dashdot: [8, 3, 2, 3] };

/** The rates that are set, across a picture over rates. */
export function ratePaint(racers: Racer[]): Paint {
  return (canvas, at, box, theme) => {
    for (const racer of [...racers].reverse()) {
      const [x] = at(racer.lr, 1);
      canvas.setLineDash(DASHES[racer.style] ?? []);
      canvas.strokeStyle = painted(racer.colour, theme);
      canvas.lineWidth = 1.5;
      canvas.beginPath();
      canvas.moveTo(x, box.top);
      canvas.lineTo(x, box.top + box.height);
      canvas.stroke();
    }
    canvas.setLineDash([]);
  };
}

/** Where on the map the racers are: rate and steps. */
export function mapPaint(racers: Racer[]): Paint {
  return together(...[...racers].reverse().map((racer) => spotOverlay(racer.lr, Math.max(1, racer.rows), racer.colour)));
}

/** The row of a field at a moment. */
export function fieldRow(field: PlaneField, moment: number): number {
  return Math.max(0, reached(field.steps, moment) - 1);
}

/** The data with what the network takes each place for behind them. */
export function withField(marks: Marks, field: PlaneField, row: number): Marks {
  const size = field.x.length * field.y.length;
  const { x, y, limits, label } = field;
  const values = field.values.subarray(row * size, (row + 1) * size);
  return { ...marks, layers: [{ type: "heat", x, y, values, diverged: new Float32Array(size), limits, scale: "linear", label }, ...marks.layers] };
}
