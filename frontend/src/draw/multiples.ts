// How do descents compare, each for itself?  one landscape + walks, or Panels -> small pictures beside each other.

import { barWidth, drawBar } from "./bar";
import { onTheme, themeOf } from "./colours";
import { element } from "./frame";
import { number } from "./format";
import { coloured, type Marks, type Panels, type Walk } from "./marks";
import { pathOverlay } from "./overlays";
import { picture, type Paint, type Picture } from "./picture";
import { sheet, type Sheet } from "./sheet";

export type Multiples = {
  /** The same landscape once for each descent, with its path and what it is called. */
  set: (landscape: Marks, walks: readonly Walk[]) => void;
  /** Pictures that were made to stand beside each other. */
  panels: (panels: Panels) => void;
  /** How far each descent has come. */
  steps: (upTo: readonly number[]) => void;
  overlay: (place: number, paint: Paint | null) => void;
  onClick: (heard: (x: number, y: number) => void) => void;
  destroy: () => void;
};

const WIDE = 1.25; // the width of a panel as a part of its height, where all fill the host best

/** Small pictures in a host, in as many columns as make them largest. */
export function multiples(host: HTMLElement, options: { label?: string } = {}): Multiples {
  const root = element("div", "draw-multiples");
  root.setAttribute("role", "group");
  root.setAttribute("aria-label", options.label ?? "Descents beside each other");
  const [grid, strip] = [element("div", "draw-grid"), element("div", "draw-strip")];
  root.append(grid, strip);
  host.append(root);
  const bar = sheet(strip, "");
  let shown: { host: HTMLElement; picture: Picture }[] = [];
  let walks: readonly Walk[] = [];
  let first: Marks | null = null; // all share its scale of colours
  let heard: ((x: number, y: number) => void) | null = null;
  const arrange = (): void => {
    const columns = columnsOf(shown.length, root.clientWidth, root.clientHeight);
    grid.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
    grid.style.gridAutoRows = "minmax(0, 1fr)";
    drawShared(root, strip, bar, first);
  };
  const resized = new ResizeObserver(arrange);
  resized.observe(root);
  const themed = onTheme(arrange);
  const put = (pictures: readonly Marks[]): void => {
    while (shown.length > pictures.length) remove(shown.pop()!);
    while (shown.length < pictures.length) shown.push(added(grid, (x, y) => heard?.(x, y)));
    first = pictures[0] ?? null;
    arrange();
    pictures.forEach((marks, k) => shown[k]!.picture.set(marks));
  };
  return {
    set: (landscape, given) => ((walks = given), put(given.map((walk) => alone(landscape, walk)))),
    panels: ({ panels }) => ((walks = []), shown.forEach((each) => each.picture.overlay(null)), put(panels)),
    steps: (upTo) => walks.forEach((walk, k) => shown[k]?.picture.overlay(pathOverlay([walk], [upTo[k] ?? Infinity]))),
    overlay: (place, paint) => shown[place]?.picture.overlay(paint),
    onClick: (listener) => void (heard = listener),
    destroy: () => {
      resized.disconnect();
      themed();
      shown.forEach(remove);
      shown = [];
      root.remove();
    },
  };
}

/** One scale of colours for all of them, at the right. */
function drawShared(root: HTMLElement, strip: HTMLElement, bar: Sheet, marks: Marks | null): void {
  const area = marks && coloured(marks);
  strip.hidden = !area;
  if (!area) return;
  const height = root.clientHeight;
  const width = barWidth(area, height, true);
  strip.style.width = `${width}px`;
  bar.fit(width, height);
  bar.clear();
  drawBar(bar.ctx, area, { left: 0, top: 18, width: 0, height: Math.max(20, height - 40) }, themeOf(root), true);
}

function added(root: HTMLElement, clicked: (x: number, y: number) => void): { host: HTMLElement; picture: Picture } {
  const host = element("div", "");
  root.append(host);
  const made = picture(host, { legend: false, notes: false, bar: false });
  made.onClick(clicked);
  return { host, picture: made };
}

function remove({ host, picture: drawn }: { host: HTMLElement; picture: Picture }): void {
  drawn.destroy();
  host.remove();
}

/** The landscape without the paths of the others, called after the descent. */
function alone(landscape: Marks, walk: Walk): Marks {
  const last = walk.loss[walk.loss.length - 1];
  const layers = landscape.layers.filter((layer) => layer.type !== "line");
  return { ...landscape, layers, title: walk.label ?? "", notes: [], caption: last === undefined ? "" : `loss ${number(last)}` };
}

/** As many columns as make the panels largest. */
export function columnsOf(count: number, width: number, height: number): number {
  let [best, most] = [1, -1];
  for (let columns = 1; columns <= Math.max(1, count); columns++) {
    const [across, upright] = [width / columns, height / Math.ceil(count / columns)];
    const size = Math.min(across, upright * WIDE);
    if (size > most + 1e-9) [best, most] = [columns, size];
  }
  return best;
}
