// How does a picture stand on the page?  Marks -> axes, layers and colours on one canvas, what moves on another above it.

import uPlot from "uplot";
import { axis, placed, type At, type Axis, type Box } from "./axes";
import { barWidth, drawBar } from "./bar";
import { onTheme, painted, themeOf, type Theme } from "./colours";
import { flagged, MOST_ROWS } from "./flags";
import { fittingTicks, minorTicks } from "./format";
import { frame, type Frame, type FrameOptions } from "./frame";
import { paint } from "./layers";
import { coloured, of, type Faces, type Heat, type Limits, type Marks, type Scale } from "./marks";
import { png } from "./png";
import { reading, type Reading } from "./readout";
import { FAMILY, font, sheet, type Sheet } from "./sheet";
import { ball, stroke } from "./shapes";
import { tooltip, type Tooltip } from "./tooltip";

/** Draws what moves, in CSS pixels: `at` says where a value is, `box` where the axes are. */
export type Paint = (ctx: CanvasRenderingContext2D, at: At, box: Box, theme: Theme) => void;

export type PictureOptions = FrameOptions & { label?: string; bar?: boolean };

export type Picture = {
  set: (marks: Marks) => void;
  overlay: (paint: Paint | null) => void;
  redraw: () => void;
  name: (label: string) => void;
  onClick: (heard: (x: number, y: number) => void) => void;
  onHover: (heard: (x: number | null) => void) => void;
  toPNG: () => Promise<Blob>;
  destroy: () => void;
};

type Inner = {
  frame: Frame;
  top: Sheet;
  tip: Tooltip;
  plot: uPlot | null;
  made: string;
  marks: Marks | null;
  x: Axis;
  y: Axis;
  theme: Theme;
  small: boolean;
  bar: boolean;
  paint: Paint | null;
  read: Reading | null;
  label: string;
  click: ((x: number, y: number) => void) | null;
  hover: ((x: number | null) => void) | null;
};

const SMALL: readonly [number, number] = [340, 240]; // CSS pixels: below, words around the drawing are folded
const TINY = 125;
const ROW = 13; // from one row of flags to the next
const UNIT: uPlot.AlignedData = [
  [0, 1],
  [0, 1],
]; // uPlot works in parts of an axis: its own scales overflow where losses do

/** A picture in a host, which gives it its size. `label` is what it is called beside its title and caption. */
export function picture(host: HTMLElement, options: PictureOptions = {}): Picture {
  const it = inner(host, options);
  const resized = new ResizeObserver(() => fit(it));
  resized.observe(it.frame.root);
  const themed = onTheme(() => restyle(it));
  return {
    set: (marks) => set(it, marks),
    overlay: (drawn) => ((it.paint = drawn), redraw(it)),
    redraw: () => redraw(it),
    name: (label) => ((it.label = label), describe(it)),
    onClick: (heard) => void (it.click = heard),
    onHover: (heard) => void (it.hover = heard),
    toPNG: () => png(it.frame.root, it.marks, it.theme, [it.plot?.ctx.canvas, it.top.canvas]),
    destroy: () => {
      resized.disconnect();
      themed();
      it.plot?.destroy();
      it.frame.root.remove();
    },
  };
}

function inner(host: HTMLElement, options: PictureOptions): Inner {
  const made = frame(host, options);
  const none = axis([0, 1], "linear");
  const it: Inner = {
    frame: made,
    top: sheet(made.plot, "draw-overlay"),
    tip: tooltip(made.plot),
    plot: null,
    made: "",
    marks: null,
    x: none,
    y: none,
    theme: themeOf(made.root),
    small: false,
    bar: options.bar !== false,
    paint: null,
    read: null,
    label: options.label ?? "",
    click: null,
    hover: null,
  };
  made.plot.setAttribute("role", "img");
  it.top.canvas.setAttribute("aria-hidden", "true");
  return it;
}

function set(it: Inner, marks: Marks): void {
  it.marks = marks;
  it.x = axis(marks.x_limits, marks.x_scale);
  it.y = axis(marks.y_limits, marks.y_scale);
  describe(it);
  fit(it);
}

function describe(it: Inner): void {
  const words = [it.marks?.title, it.marks?.caption, it.label].filter(Boolean);
  it.frame.plot.setAttribute("aria-label", words.join(". ") || "picture");
}

function restyle(it: Inner): void {
  const before = it.theme;
  it.theme = themeOf(it.frame.root);
  if (before.ink !== it.theme.ink || before.paper !== it.theme.paper) fit(it);
}

/** Sizes everything as the host is now, and draws it. */
function fit(it: Inner): void {
  if (!it.marks) return;
  const { root, plot } = it.frame;
  const small = root.clientWidth < SMALL[0] || root.clientHeight < SMALL[1];
  it.small = small;
  it.theme = themeOf(root);
  it.frame.tell(it.marks, it.theme, small, of(it.marks, "rule").length > 0 && !flags(it, boxOf(it)).length);
  const [width, height] = [plot.clientWidth, plot.clientHeight];
  if (width < 40 || height < 30) return;
  rebuild(it, width, height);
  it.top.fit(width, height);
  redraw(it);
}

/** uPlot keeps its fonts and which axes it has: where these differ it is made anew, else drawn again. */
function rebuild(it: Inner, width: number, height: number): void {
  const key = JSON.stringify([it.small, it.marks!.frameless, isTiny(it)]);
  if (it.plot && key === it.made) {
    if (it.plot.width !== width || it.plot.height !== height) it.plot.setSize({ width, height });
    else it.plot.redraw(false, true);
    return;
  }
  it.plot?.destroy();
  it.made = key;
  it.plot = new uPlot(plotOptions(it, width, height), UNIT, it.frame.plot);
  it.frame.plot.append(it.top.canvas);
  listen(it, it.plot);
}

function plotOptions(it: Inner, width: number, height: number): uPlot.Options {
  const unit = { time: false, range: (): [number, number] => [0, 1] };
  return {
    width,
    height,
    legend: { show: false },
    padding: [() => roomAbove(it), () => roomBeside(it), it.marks!.frameless ? 4 : 0, 0],
    scales: { x: unit, y: unit },
    series: [{}, { paths: () => null, points: { show: false } }],
    axes: [axisOptions(it, "x"), axisOptions(it, "y")],
    cursor: { x: true, y: false, points: { show: false }, drag: { setScale: false, x: false, y: false } },
    hooks: { draw: [() => drawStatic(it)], setCursor: [() => hovered(it)] },
  };
}

/** Where there is no room for the names of the axes. */
function isTiny(it: Inner): boolean {
  return it.frame.root.clientHeight < TINY;
}

function axisOptions(it: Inner, side: "x" | "y"): uPlot.Axis {
  const size = it.small ? 10 : 12;
  const across = side === "x";
  let labels: string[] = [];
  return {
    show: !it.marks!.frameless,
    font: `${size}px ${FAMILY}`,
    labelFont: `${size}px ${FAMILY}`,
    ...(isTiny(it) ? {} : { labelSize: size + (it.small ? 3 : 6), label: () => it.marks![`${side}_label`] }),
    stroke: () => it.theme.ink,
    grid: { show: true, stroke: () => (coloured(it.marks!) ? "transparent" : grey(it.theme, 0.16)), width: 1 },
    ticks: { show: true, stroke: () => grey(it.theme, 0.6), width: 1, size: 4 },
    border: { show: true, stroke: () => grey(it.theme, 0.7), width: 1 },
    gap: across ? 2 : 4,
    size: across ? size + 9 : (u, values) => 10 + longest(u.ctx, values ?? [], size),
    splits: (u) => {
      const found = chosen(it, u, side, size);
      labels = found.labels;
      return found.at.map((value) => (across ? it.x : it.y).to(value));
    },
    filter: (_, splits) => splits,
    values: () => labels,
  };
}

function chosen(it: Inner, u: uPlot, side: "x" | "y", size: number): { at: number[]; labels: string[] } {
  const marks = it.marks!;
  const across = side === "x";
  // before the first layout uPlot does not know the box: the size of all is near enough
  const room = (across ? u.bbox?.width : u.bbox?.height) / uPlot.pxRatio || (across ? u.width : u.height);
  const [limits, scale]: [Limits, Scale] = across ? [marks.x_limits, marks.x_scale] : [marks.y_limits, marks.y_scale];
  const most = Math.max(2, Math.min(7, Math.floor(room / (across ? 4.5 * size : 2.2 * size))));
  return fittingTicks(limits, scale, most, across && marks.x_whole, (labels) => !across || apart(labels, room, size));
}

function apart(labels: string[], room: number, size: number): boolean {
  return labels.reduce((sum, label) => sum + 0.6 * size * label.length + size, 0) <= room + size;
}

function longest(ctx: CanvasRenderingContext2D, labels: string[], size: number): number {
  return Math.max(size, ...labels.map((label) => widthOf(ctx, label, size)));
}

// Setting a font costs more than drawing with it, and the numbers on an axis are the same few again and again.
const widths = new Map<string, number>();
const REMEMBERED = 2000;

function widthOf(ctx: CanvasRenderingContext2D, text: string, size: number): number {
  const key = `${size} ${text}`;
  const known = widths.get(key);
  if (known !== undefined) return known;
  if (widths.size > REMEMBERED) widths.clear();
  ctx.save();
  font(ctx, size);
  const width = ctx.measureText(text).width;
  ctx.restore();
  widths.set(key, width);
  return width;
}

function grey(theme: Theme, alpha: number): string {
  const [r, g, b] = theme.dark ? [255, 255, 255] : [0, 0, 0];
  return `rgba(${r},${g},${b},${alpha})`;
}

// ---- what is drawn on the canvas of uPlot

function roomAbove(it: Inner): number {
  const rows = Math.max(0, ...flags(it, boxOf(it)).map((flag) => flag.row + 1));
  return Math.max(area(it) ? (it.small ? 15 : 17) : 7, ROW * rows + 3);
}

function roomBeside(it: Inner): number {
  const found = area(it);
  return found ? barWidth(found, boxOf(it).height, it.small) : 12;
}

/** What has a scale of colours beside it. */
function area(it: Inner): Heat | Faces | undefined {
  return it.bar ? coloured(it.marks!) : undefined;
}

function boxOf(it: Inner): Box {
  const box = it.plot?.bbox;
  const ratio = uPlot.pxRatio;
  const { clientWidth: width, clientHeight: height } = it.frame.plot;
  if (!box?.width) return { left: 40, top: 10, width: width - 60, height: height - 50 };
  return { left: box.left / ratio, top: box.top / ratio, width: box.width / ratio, height: box.height / ratio };
}

function flags(it: Inner, box: Box): { left: number; row: number }[] {
  const rules = of(it.marks!, "rule");
  if (!rules.length) return [];
  const size = it.small ? 10 : 11;
  const widths = rules.map((rule) => longest(it.top.ctx, [rule.label], size));
  const found = flagged(
    rules.map((rule) => box.left + it.x.to(rule.at) * box.width),
    widths,
    box.left + box.width + (area(it) ? 0 : 10),
  );
  return ROW * Math.max(...found.map((flag) => flag.row + 1)) > MOST_ROWS * it.frame.plot.clientHeight ? [] : found;
}

function drawStatic(it: Inner): void {
  const [ctx, box, ratio] = [it.plot!.ctx, boxOf(it), uPlot.pxRatio];
  ctx.save();
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  font(ctx, it.small ? 10 : 12);
  paint(ctx, it.marks!, { at: placed(it.x, it.y, box), box, x: it.x, y: it.y, theme: it.theme, ratio, small: it.small });
  drawMinor(ctx, it, box);
  drawFlags(ctx, it, box);
  const found = area(it);
  if (found) drawBar(ctx, found, box, it.theme, it.small);
  ctx.restore();
}

function drawMinor(ctx: CanvasRenderingContext2D, it: Inner, box: Box): void {
  if (it.marks!.frameless) return;
  ctx.fillStyle = grey(it.theme, 0.5);
  for (const tick of minorTicks(it.marks!.x_limits, it.marks!.x_scale))
    ctx.fillRect(box.left + it.x.to(tick) * box.width - 0.5, box.top + box.height, 1, 2.5);
  for (const tick of minorTicks(it.marks!.y_limits, it.marks!.y_scale))
    ctx.fillRect(box.left - 2.5, box.top + (1 - it.y.to(tick)) * box.height - 0.5, 2.5, 1);
}

function drawFlags(ctx: CanvasRenderingContext2D, it: Inner, box: Box): void {
  const places = flags(it, box);
  if (!places.length) return;
  font(ctx, it.small ? 10 : 11);
  ctx.textAlign = "left";
  ctx.textBaseline = "bottom";
  of(it.marks!, "rule").forEach((rule, place) => {
    const { left, row } = places[place]!;
    const x = box.left + it.x.to(rule.at) * box.width;
    const colour = painted(rule.colour, it.theme);
    ctx.beginPath();
    ctx.moveTo(x, box.top);
    ctx.lineTo(x, box.top - ROW * row - 2);
    stroke(ctx, { colour, paper: "" }, 1, "solid");
    ctx.fillStyle = colour;
    ctx.fillText(rule.label, left + 2, box.top - ROW * row - 1);
  });
}

// ---- what moves

function redraw(it: Inner): void {
  it.top.clear();
  if (!it.plot || !it.marks) return;
  const [ctx, box] = [it.top.ctx, boxOf(it)];
  ctx.save();
  ctx.beginPath();
  ctx.rect(box.left - 7, box.top - 7, box.width + 14, box.height + 14);
  ctx.clip();
  const at = placed(it.x, it.y, box);
  it.paint?.(ctx, at, box, it.theme);
  it.read?.points.forEach(([x, y], k) => {
    const colour = it.read!.values[it.read!.values.length - it.read!.points.length + k]?.colour ?? "ink";
    ball(ctx, ...at(x, y), { colour: painted(colour, it.theme), paper: it.theme.paper }, 3.5);
  });
  ctx.restore();
}

// ---- the pointer

function listen(it: Inner, u: uPlot): void {
  u.over.addEventListener("click", (event) => {
    const area = u.over.getBoundingClientRect();
    it.click?.(it.x.back((event.clientX - area.left) / area.width), it.y.back(1 - (event.clientY - area.top) / area.height));
  });
}

function hovered(it: Inner): void {
  const { left, top } = it.plot!.cursor;
  const box = boxOf(it);
  if (left === undefined || top === undefined || left < 0 || !it.marks) {
    read(it, null, false);
    return it.hover?.(null);
  }
  const [x, y] = [it.x.back(left / box.width), it.y.back(1 - top / box.height)];
  read(it, reading(it.marks, x, y, placed(it.x, it.y, box)), left < box.width / 2);
  it.hover?.(x);
}

function read(it: Inner, found: Reading | null, right: boolean): void {
  if (!found && !it.read) return;
  it.read = found;
  it.tip.show(found, right, it.theme);
  redraw(it);
}
