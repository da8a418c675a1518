// How does the loss look as a mountain range?  surface + paths -> a drawing that turns; paths move on an image of it.

import { onTheme, painted, themeOf, type Theme } from "./colours";
import { element } from "./frame";
import { number } from "./format";
import { legendOn, type Entry } from "./legend";
import type { Limits, Numbers, Scale, Walk } from "./marks";
import {
  boxed,
  direction,
  faces,
  gridOf,
  heightAt,
  isHidden,
  project,
  seenAt,
  TALL,
  type Direction,
  type Grid,
  type Scene,
} from "./projection";
import { drawFaces } from "./relief-faces";
import { around } from "./relief-frame";
import { drawPath, onFloor, type Path } from "./relief-path";
import { blob, font, hidden, sheet, type Sheet } from "./sheet";
import { stamp } from "./shapes";

/** What the server says about a plane of weights; loss is row by row, y outermost. */
export type ReliefSurface = {
  names: readonly string[];
  x: Numbers;
  y: Numbers | null;
  loss: Numbers;
  limits: Limits;
  scale: Scale;
  minima: readonly { point: readonly number[]; loss: number | null }[];
};

export type ReliefOptions = { label?: string; azimuth?: number; elevation?: number; cells?: number };

export type Relief = {
  set: (surface: ReliefSurface) => void;
  paths: (walks: readonly Walk[], upTo: readonly number[]) => void;
  view: (azimuth: number, elevation: number) => void;
  onView: (heard: (azimuth: number, elevation: number) => void) => void;
  onClick: (heard: (x: number, y: number) => void) => void;
  name: (label: string) => void;
  toPNG: () => Promise<Blob>;
  destroy: () => void;
};

type Inner = {
  root: HTMLElement;
  front: Sheet;
  back: Sheet;
  theme: Theme;
  surface: ReliefSurface | null;
  fine: Grid | null;
  coarse: Grid | null;
  grid: Grid | null;
  azimuth: number;
  elevation: number;
  from: Direction;
  scene: Scene | null;
  stale: boolean;
  slow: boolean;
  turned: number; // when the view changed last
  quick: boolean; // it did so again at once
  rest: number;
  paths: Path[];
  upTo: readonly number[];
  scale: number;
  middle: [number, number];
  cells: number;
  frame: number;
  label: string;
  viewed: ((azimuth: number, elevation: number) => void) | null;
  clicked: ((x: number, y: number) => void) | null;
};

const CELLS = 60; // along an axis
const STILL = 150; // milliseconds without a turn: then it is drawn as finely as it can be
const PATIENCE = 12; // milliseconds: a frame that takes longer is drawn coarser while it turns
const LOWEST = 5;
const HIGHEST = 85;
const TURN = 5; // degrees for a press of an arrow key
const EDGES = [46, 18, 46] as const; // pixels for numbers and names: at the sides, above, below
const FEW = [34, 12, 34] as const; // where the host is small

/** A mountain range in a host, which gives it its size. */
export function relief(host: HTMLElement, options: ReliefOptions = {}): Relief {
  const it = inner(host, options);
  listen(it);
  const resized = new ResizeObserver(() => refresh(it));
  resized.observe(it.root);
  const themed = onTheme(() => refresh(it));
  return {
    set: (surface) => set(it, surface),
    paths: (walks, upTo) => setPaths(it, walks, upTo),
    view: (azimuth, elevation) => turn(it, azimuth, elevation),
    onView: (heard) => void (it.viewed = heard),
    onClick: (heard) => void (it.clicked = heard),
    name: (label) => ((it.label = label), describe(it)),
    toPNG: () => toPNG(it),
    destroy: () => {
      resized.disconnect();
      themed();
      cancelAnimationFrame(it.frame);
      clearTimeout(it.rest);
      it.root.remove();
    },
  };
}

function inner(host: HTMLElement, options: ReliefOptions): Inner {
  const root = element("div", "draw draw-relief");
  host.append(root);
  root.tabIndex = 0;
  root.setAttribute("role", "img");
  root.setAttribute("aria-roledescription", "picture that arrow keys turn");
  const [azimuth, elevation] = [options.azimuth ?? -60, options.elevation ?? 35];
  const front = sheet(root, "");
  front.canvas.setAttribute("aria-hidden", "true");
  return {
    root,
    front,
    back: hidden(),
    theme: themeOf(root),
    surface: null,
    fine: null,
    coarse: null,
    grid: null,
    azimuth,
    elevation,
    from: direction(azimuth, elevation),
    scene: null,
    stale: true,
    slow: false,
    turned: -Infinity,
    quick: false,
    rest: 0,
    paths: [],
    upTo: [],
    scale: 1,
    middle: [0, 0],
    cells: options.cells ?? CELLS,
    frame: 0,
    label: options.label ?? "",
    viewed: null,
    clicked: null,
  };
}

function set(it: Inner, surface: ReliefSurface): void {
  if (!surface.y) return;
  it.surface = surface;
  const full = { ...surface, y: surface.y };
  it.fine = gridOf(full, it.cells);
  it.coarse = gridOf(full, Math.ceil(it.cells / 2));
  it.paths.forEach((path) => Object.assign(path, onFloor(path.walk, surface)));
  describe(it);
  refresh(it);
}

function describe(it: Inner): void {
  const names = it.surface?.names.join(" and ") ?? "";
  const seen = `seen from ${number(Math.round(it.azimuth))} degrees, ${number(Math.round(it.elevation))} above the floor`;
  it.root.setAttribute("aria-label", [`Loss over ${names} as a mountain range, ${seen}`, it.label].filter(Boolean).join(". "));
}

function refresh(it: Inner): void {
  it.theme = themeOf(it.root);
  it.stale = true;
  soon(it);
}

/** Draws before the next frame, once. */
function soon(it: Inner): void {
  if (!it.frame) it.frame = requestAnimationFrame(() => ((it.frame = 0), draw(it)));
}

function turn(it: Inner, azimuth: number, elevation: number): void {
  const [a, e] = [((((azimuth + 180) % 360) + 360) % 360) - 180, Math.max(LOWEST, Math.min(HIGHEST, elevation))];
  if (!Number.isFinite(a + e) || (a === it.azimuth && e === it.elevation)) return;
  [it.azimuth, it.elevation] = [a, e];
  it.from = direction(a, e);
  const now = performance.now();
  it.quick = now - it.turned < STILL;
  it.turned = now;
  describe(it);
  refresh(it);
}

// ---- paths

function setPaths(it: Inner, walks: readonly Walk[], upTo: readonly number[]): void {
  const same = walks.length === it.paths.length && walks.every((walk, place) => walk.points === it.paths[place]!.walk.points);
  it.paths = same ? it.paths.map((path, k) => ({ ...path, walk: walks[k]! })) : walks.map((walk) => onFloor(walk, it.surface));
  it.upTo = upTo;
  soon(it);
}

// ---- drawing

function draw(it: Inner): void {
  const [width, height] = [it.root.clientWidth, it.root.clientHeight];
  if (!it.surface || width < 40 || height < 40) return;
  const began = performance.now();
  const turned = it.stale && it.quick;
  if (it.stale) drawSurface(it, width, height);
  it.front.fit(width, height);
  it.front.clear();
  it.front.ctx.drawImage(it.back.canvas, 0, 0, width, height);
  const ground = { grid: it.grid!, from: it.from, pixel: (at: readonly [number, number]) => pixel(it, at), theme: it.theme };
  it.paths.forEach((path, k) => drawPath(it.front.ctx, path, it.upTo[k] ?? Infinity, ground));
  if (turned && performance.now() - began > PATIENCE) it.slow = true;
  if (it.slow) later(it);
}

/** Draws finely again when nobody turns it any more. */
function later(it: Inner): void {
  it.rest ||= window.setTimeout(() => {
    it.rest = 0;
    if (performance.now() - it.turned < STILL) return later(it);
    it.slow = it.quick = false;
    if (it.grid !== it.fine) refresh(it);
  }, STILL);
}

/** The surface with its axes, to be copied under the paths as long as nobody turns it. */
function drawSurface(it: Inner, width: number, height: number): void {
  it.grid = it.slow ? it.coarse! : it.fine!;
  it.back.fit(width, height);
  it.back.clear();
  const small = Math.min(width, height * 1.3) < 300;
  sized(it, width, height, small ? FEW : EDGES);
  drawFrame(it, small);
  it.scene = faces(it.grid, it.from);
  drawFaces(it.back.ctx, it.scene, it.grid.x.length, it.from, it.scale, it.middle);
  drawMinima(it);
  it.paths.forEach((path) => (path.pieces = null));
  it.stale = false;
}

/** The box keeps its size while it turns: the floor's diagonal is its width from any side. */
function sized(it: Inner, width: number, height: number, [beside, above, below]: readonly [number, number, number]): void {
  const [, top] = project(it.from, 0, 0, TALL);
  const reach = Math.SQRT2 * it.from.towards[2];
  it.scale = Math.min((width - 2 * beside) / (2 * Math.SQRT2), (height - above - below) / (top + 2 * reach));
  it.middle = [width / 2, (height + above - below) / 2 + (it.scale * top) / 2];
}

function pixel(it: Inner, [x, y]: readonly [number, number]): [number, number] {
  return [it.middle[0] + it.scale * x, it.middle[1] - it.scale * y];
}

function drawFrame(it: Inner, small: boolean): void {
  const { ctx } = it.back;
  const surface = it.surface!;
  const limits = (axis: Numbers): Limits => [axis[0]!, axis[axis.length - 1]!];
  const size = small ? 10 : 12;
  const room = [Math.max(0.07, 5 / it.scale), Math.max(0.28, (5 + 2.2 * size) / it.scale)] as const;
  const made = around({ ...surface, x: limits(surface.x), y: limits(surface.y!) }, it.from, small ? 3 : 5, room);
  const grey = painted("grey", it.theme);
  for (const { points, strong } of made.strokes) {
    ctx.beginPath();
    points.forEach((point) => ctx.lineTo(...pixel(it, project(it.from, ...point))));
    ctx.globalAlpha = strong ? 1 : 0.45;
    ctx.strokeStyle = grey;
    ctx.lineWidth = strong ? 1.4 : 0.8;
    ctx.stroke();
  }
  ctx.globalAlpha = 1;
  font(ctx, size);
  ctx.fillStyle = it.theme.ink;
  for (const word of made.words) {
    [ctx.textAlign, ctx.textBaseline] = [word.across, word.upright];
    const [x, y] = pixel(it, project(it.from, ...word.at));
    const moved = into(ctx, word.text, x + word.shift[0], word.across, it.root.clientWidth);
    const [along, fall] = word.along ? project(it.from, ...word.along) : [1, 0]; // names slide along their edge
    const lower = y + word.shift[1] - (moved * fall) / (along || 1);
    ctx.fillText(
      word.text,
      x + word.shift[0] + moved,
      Math.min(lower, it.root.clientHeight - (word.upright === "top" ? size + 2 : 0)),
    );
  }
}

/** How far a text must move so that it is not cut off at the sides. */
function into(ctx: CanvasRenderingContext2D, text: string, x: number, across: CanvasTextAlign, width: number): number {
  const wide = ctx.measureText(text).width;
  const left = across === "left" ? x : across === "right" ? x - wide : x - wide / 2;
  return Math.max(0, 2 - left) - Math.max(0, left + wide + 2 - width);
}

function drawMinima(it: Inner): void {
  const { minima, limits } = it.surface!;
  const lowest = Math.min(...minima.map((each) => each.loss ?? Infinity));
  for (const { point, loss } of minima) {
    const equal = (loss ?? Infinity) <= lowest + 1e-6 * (limits[1] - limits[0]);
    mark(it, point, equal ? "star" : "diamond", painted(equal ? "green" : "orange", it.theme));
  }
}

function mark(it: Inner, point: readonly number[], shape: "star" | "diamond" | "circle", colour: string): void {
  const { x: xs, y: ys } = it.surface!;
  const [x, y] = [boxed(point[0]!, xs[0]!, xs[xs.length - 1]!), boxed(point[1]!, ys![0]!, ys![ys!.length - 1]!)];
  const z = heightAt(it.grid!, x, y);
  if (Number.isNaN(z)) return;
  it.back.ctx.globalAlpha = isHidden(it.grid!, it.from, x, y, z) ? 0.45 : 1;
  stamp(it.back.ctx, shape, [pixel(it, project(it.from, x, y, z))], { colour, paper: it.theme.paper, rim: it.theme.paper });
  it.back.ctx.globalAlpha = 1;
}

// ---- pointer and keys

function listen(it: Inner): void {
  let from: { x: number; y: number; azimuth: number; elevation: number; moved: boolean } | null = null;
  it.root.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    it.root.setPointerCapture(event.pointerId);
    from = { x: event.clientX, y: event.clientY, azimuth: it.azimuth, elevation: it.elevation, moved: false };
  });
  it.root.addEventListener("pointermove", (event) => {
    if (!from) return;
    const [dx, dy] = [event.clientX - from.x, event.clientY - from.y];
    from.moved ||= Math.hypot(dx, dy) > 4;
    if (!from.moved) return;
    turn(it, from.azimuth - dx * 0.5, from.elevation + dy * 0.4);
    it.viewed?.(it.azimuth, it.elevation);
  });
  const ended = (event: PointerEvent): void => {
    if (from && !from.moved && event.type === "pointerup") click(it, event);
    from = null;
  };
  it.root.addEventListener("pointerup", ended);
  it.root.addEventListener("pointercancel", ended);
  it.root.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-TURN, 0], ArrowRight: [TURN, 0], ArrowUp: [0, TURN], ArrowDown: [0, -TURN] }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    turn(it, it.azimuth + step[0]!, it.elevation + step[1]!);
    it.viewed?.(it.azimuth, it.elevation);
  });
}

/** A click on the surface: the nearest face that is there, in units of the weights. */
function click(it: Inner, event: PointerEvent): void {
  if (!it.clicked || !it.surface || !it.grid || !it.scene) return;
  const area = it.root.getBoundingClientRect();
  const [x, y] = [(event.clientX - area.left - it.middle[0]) / it.scale, (it.middle[1] - event.clientY + area.top) / it.scale];
  const at = seenAt(it.grid, it.scene, x, y);
  if (at) it.clicked(unboxed(at[0], it.surface.x), unboxed(at[1], it.surface.y!));
}

function unboxed(value: number, axis: Numbers): number {
  return axis[0]! + ((value + 1) / 2) * (axis[axis.length - 1]! - axis[0]!);
}

function toPNG(it: Inner): Promise<Blob> {
  const made = hidden();
  const [width, height] = [it.root.clientWidth, it.root.clientHeight];
  made.fit(width, height + 24);
  made.ctx.fillStyle = it.theme.paper;
  made.ctx.fillRect(0, 0, width, height + 24);
  font(made.ctx, 12);
  legendOn(
    made.ctx,
    it.paths.flatMap(({ walk }): Entry[] =>
      walk.label
        ? [
            {
              label: walk.label,
              layer: { type: "line", x: [], y: [], faint: false, label: walk.label, colour: walk.colour, style: walk.style },
            },
          ]
        : [],
    ),
    8,
    4,
    width - 16,
    it.theme,
  );
  made.ctx.drawImage(it.front.canvas, 0, 24, width, height);
  return blob(made.canvas);
}
