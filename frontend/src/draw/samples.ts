// What does the network say about each sample?  images or texts + predicted and true classes -> a grid, wrong ones marked.

import { onTheme, painted, themeOf, type Theme } from "./colours";
import { element } from "./frame";
import type { Numbers } from "./marks";
import { blob, font, sheet, type Sheet } from "./sheet";

export type SampleSet = {
  width: number;
  height: number;
  images: Numbers; // samples * height * width, 0..1
  truth: readonly string[];
  names: readonly string[];
  shown: string;
  caption: string;
  before?: readonly string[]; // text: what each sample follows on
};
/** What was predicted at some steps: a place in `names` for every step and sample. */
export type Predicted = { steps: Numbers; classes: Numbers };

export type Samples = {
  set: (samples: SampleSet) => void;
  at: (predicted: Predicted | null, step: number) => void;
  toPNG: () => Promise<Blob>;
  destroy: () => void;
};

type Inner = {
  root: HTMLElement;
  sheet: Sheet;
  list: HTMLElement;
  samples: SampleSet | null;
  tiles: HTMLCanvasElement | null;
  said: string[];
  theme: Theme;
};

const LABEL = 15; // pixels below an image
const GAP = 5;
const LARGEST = 72; // pixels: an image of 8 by 8 is not clearer when it is larger

/** Samples in a host. */
export function samples(host: HTMLElement): Samples {
  const root = element("div", "draw draw-samples");
  host.append(root);
  root.setAttribute("role", "img");
  const list = element("ol", "");
  const it: Inner = { root, sheet: sheet(root, ""), list, samples: null, tiles: null, said: [], theme: themeOf(root) };
  root.append(list);
  const resized = new ResizeObserver(() => draw(it));
  resized.observe(root);
  const themed = onTheme(() => draw(it));
  return {
    set: (given) => ((it.samples = given), (it.tiles = tilesOf(given)), (it.said = []), draw(it)),
    at: (predicted, step) => {
      const said = it.samples && predicted ? saidAt(predicted, step, it.samples) : [];
      if (said.join() !== it.said.join()) ((it.said = said), draw(it));
    },
    toPNG: () => blob(it.sheet.canvas),
    destroy: () => (resized.disconnect(), themed(), root.remove()),
  };
}

/** The class that is predicted for every sample at the last measured step up to this one. */
export function saidAt(
  { steps, classes }: Predicted,
  step: number,
  { truth, names }: Pick<SampleSet, "truth" | "names">,
): string[] {
  let row = 0;
  while (row + 1 < steps.length && steps[row + 1]! <= step) row++;
  return truth.map((_, k) => {
    const place = classes[row * truth.length + k];
    return place === undefined || !Number.isFinite(place) ? "" : (names[place] ?? String(place));
  });
}

/** All images under each other, in grey: one pixel each. */
function tilesOf({ width, height, images, shown }: SampleSet): HTMLCanvasElement | null {
  const rows = Math.floor(images.length / Math.max(1, width));
  if (shown !== "images" || !rows || !height) return null;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, rows];
  const ctx = canvas.getContext("2d")!;
  const image = ctx.createImageData(width, rows);
  for (let pixel = 0; pixel < width * rows; pixel++) {
    const grey = Math.round(255 * Math.max(0, Math.min(1, images[pixel]!)));
    image.data.set([grey, grey, grey, 255], 4 * pixel);
  }
  ctx.putImageData(image, 0, 0);
  return canvas;
}

function draw(it: Inner): void {
  const { samples: given } = it;
  if (!given) return;
  it.theme = themeOf(it.root);
  const wrong = given.truth.filter((name, k) => it.said[k] && it.said[k] !== name).length;
  const told = it.said.some(Boolean)
    ? `${given.truth.length - wrong} of ${given.truth.length} right`
    : "";
  it.root.setAttribute("aria-label", [given.caption, told].filter(Boolean).join(". "));
  it.sheet.canvas.hidden = !it.tiles;
  it.list.hidden = Boolean(it.tiles);
  if (it.tiles) drawImages(it, given, told);
  else it.list.replaceChildren(...given.truth.map((text, k) => item(text, it.said[k] ?? "", given.before?.[k] ?? "")));
}

function item(text: string, said: string, before: string): HTMLElement {
  const wrong = said !== "" && said !== text;
  const made = element("li", wrong ? "draw-wrong" : "");
  const [is, guess] = [visible(text), visible(said)];
  if (before) made.append(Object.assign(element("code", ""), { textContent: [...before].map(visible).join("") }), " ");
  made.append(!said ? is : wrong ? `\u2717 ${guess} (true: ${is})` : `\u2713 ${guess}`);
  return made;
}

/** A character that leaves no ink, as a sign. */
function visible(text: string): string {
  return text === "\n" ? "\u21b5" : text === " " ? "\u2423" : text;
}

/** As many columns as make the images largest. */
export function grid(count: number, width: number, height: number, ratio: number): { columns: number; size: number } {
  let best = { columns: 1, size: 0 };
  for (let columns = 1; columns <= Math.max(1, count); columns++) {
    const rows = Math.ceil(count / columns);
    const size = Math.min(LARGEST, width / columns - GAP, (height / rows - LABEL - GAP) / ratio);
    if (size > best.size) best = { columns, size };
  }
  return { columns: best.columns, size: Math.max(8, Math.floor(best.size)) };
}

function drawImages(it: Inner, given: SampleSet, told: string): void {
  const [width, height] = [it.root.clientWidth, it.root.clientHeight];
  if (width < 40 || height < 40) return;
  const ratio = given.height / given.width;
  font(it.sheet.ctx, 12);
  const lines = wrapped(it.sheet.ctx, [given.caption, told].filter(Boolean).join(": "), width);
  const head = 15 * lines.length + 3;
  const { columns, size } = grid(given.truth.length, width, height - head, ratio);
  const rows = Math.ceil(given.truth.length / columns);
  it.sheet.fit(width, Math.max(height, head + rows * (size * ratio + LABEL + GAP)) - 1);
  const { ctx } = it.sheet;
  ctx.fillStyle = it.theme.paper;
  ctx.fillRect(0, 0, it.sheet.canvas.width, it.sheet.canvas.height);
  font(ctx, 12);
  ctx.fillStyle = it.theme.ink;
  ctx.textAlign = "left";
  ctx.textBaseline = "top";
  lines.forEach((line, k) => ctx.fillText(line, 0, 2 + 15 * k, width));
  given.truth.forEach((name, k) =>
    tile(
      it,
      given,
      k,
      (k % columns) * (size + GAP) + 2,
      head + Math.floor(k / columns) * (size * ratio + LABEL + GAP) + 2,
      size,
      name,
    ),
  );
}

/** The words in as many lines as the width asks for. */
function wrapped(ctx: CanvasRenderingContext2D, text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const longer = lines.length ? `${lines[lines.length - 1]} ${word}` : word;
    if (lines.length && ctx.measureText(longer).width <= width) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}

/** One image; where the prediction is wrong, a red frame and a sign with what was said and what is true. */
function tile(it: Inner, given: SampleSet, k: number, x: number, y: number, size: number, truth: string): void {
  const { ctx } = it.sheet;
  const tall = (size * given.height) / given.width;
  const said = it.said[k] ?? "";
  const wrong = said !== "" && said !== truth;
  ctx.imageSmoothingEnabled = false;
  ctx.drawImage(it.tiles!, 0, k * given.height, given.width, given.height, x, y, size, tall);
  const red = painted("red", it.theme);
  ctx.lineWidth = wrong ? 2.5 : 1;
  ctx.strokeStyle = wrong ? red : painted("grey", it.theme);
  ctx.strokeRect(x, y, size, tall);
  font(ctx, size < 26 ? 9 : 11, wrong);
  ctx.textAlign = "center";
  ctx.textBaseline = "top";
  ctx.fillStyle = wrong ? red : it.theme.ink;
  ctx.fillText(wrong ? `\u2717 ${said}, is ${truth}` : said || truth, x + size / 2, y + tall + 2, size + GAP);
}
