// What stands around a picture?  title, legend, notes -> elements beside the drawing, folded where there is little room.

import type { Theme } from "./colours";
import { entries, legendList } from "./legend";
import type { Marks } from "./marks";

export type FrameOptions = { title?: boolean; legend?: boolean; notes?: boolean };

export type Frame = {
  root: HTMLElement;
  plot: HTMLElement;
  tell: (marks: Marks, theme: Theme, small: boolean, rules: boolean) => void;
};

/** Elements in the host: a head (title, caption), the key, the plot, the notes. */
export function frame(host: HTMLElement, options: FrameOptions): Frame {
  const root = element("div", "draw");
  const head = element("div", "draw-head");
  const [title, caption] = [element("div", "draw-title"), element("div", "draw-caption")];
  const [key, notes] = [folded("draw-key", "key"), folded("draw-notes", "notes")];
  const plot = element("div", "draw-plot");
  head.append(title, caption, key.details);
  root.append(head, plot, notes.details);
  host.append(root);
  let said = "";
  const tell = (marks: Marks, theme: Theme, small: boolean, rules: boolean): void => {
    const shown = options.legend === false ? [] : entries(marks, rules);
    const now = JSON.stringify([
      marks.title,
      marks.caption,
      marks.notes,
      theme,
      small,
      shown.map(({ layer, label }) => [label, looks(layer)]),
    ]);
    if (now === said) return;
    said = now;
    root.classList.toggle("draw-small", small);
    title.textContent = options.title === false ? "" : marks.title;
    title.title = marks.title; // whole where it is cut
    caption.textContent = marks.caption;
    key.details.hidden = !shown.length;
    key.details.open = !small;
    key.body.replaceChildren(legendList(shown, theme));
    const told = options.notes === false ? [] : marks.notes;
    notes.details.hidden = !told.length;
    notes.summary.textContent = told.length === 1 ? "1 note" : `${told.length} notes`;
    notes.body.replaceChildren(...told.map((note) => element("p", "", note)));
    head.hidden = !title.textContent && !caption.textContent && !shown.length;
  };
  return { root, plot, tell };
}

function looks(layer: object): string {
  return ["type", "colour", "style", "shape", "faint"].map((name) => String((layer as Record<string, unknown>)[name])).join();
}

function folded(name: string, word: string): { details: HTMLDetailsElement; summary: HTMLElement; body: HTMLElement } {
  const details = element("details", name) as HTMLDetailsElement;
  const [summary, body] = [element("summary", "", word), element("div", "draw-folded")];
  details.append(summary, body);
  return { details, summary, body };
}

export function element(tag: string, name: string, text = ""): HTMLElement {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text) made.textContent = text;
  return made;
}
