// What is a picture made of?  the server's plain values -> types of marks and their layers (surefoot/figures/layers.py).

export type Numbers = Float32Array | Float64Array | readonly number[];
export type Colour = string | number;
export type Scale = "linear" | "log";
export type Style = "solid" | "dashed" | "dotted" | "dashdot";
export type Shape = "dot" | "circle" | "square" | "diamond" | "star" | "cross";
export type Limits = readonly [number, number];

export type Line = { type: "line"; x: Numbers; y: Numbers; colour: Colour; label: string; style: Style; faint: boolean };
export type Band = { type: "band"; x: Numbers; low: Numbers; high: Numbers; colour: Colour; label: string };
export type Points = { type: "points"; x: Numbers; y: Numbers; colour: Colour; label: string; shape: Shape; faint: boolean };
export type Rule = { type: "rule"; at: number; label: string; colour: Colour; style: Style };
export type Span = { type: "span"; low: number; high: number; label: string; colour: Colour };
export type Heat = {
  type: "heat";
  x: Numbers;
  y: Numbers;
  values: Numbers;
  diverged: Numbers;
  limits: Limits;
  scale: Scale;
  label: string;
};
export type Contour = { type: "contour"; x: Numbers; y: Numbers; levels: Numbers };
export type Arrows = { type: "arrows"; x: Numbers; y: Numbers; length: Numbers; colour: Colour; label: string };
export type Faces = {
  type: "faces";
  x: Numbers;
  y: Numbers;
  values: Numbers;
  shade: Numbers;
  limits: Limits;
  scale: Scale;
  label: string;
};
export type Words = { type: "words"; x: Numbers; y: Numbers; texts: readonly string[]; colour: Colour; anchor: string };
export type Layer = Line | Band | Points | Rule | Span | Heat | Contour | Arrows | Faces | Words;

export type Marks = {
  type: "marks";
  title: string;
  x_label: string;
  y_label: string;
  x_limits: Limits;
  y_limits: Limits;
  x_scale: Scale;
  y_scale: Scale;
  x_whole: boolean;
  frameless: boolean;
  notes: readonly string[];
  caption: string;
  layers: readonly Layer[];
};

export type Panels = { type: "panels"; title: string; panels: readonly Marks[]; notes: readonly string[]; caption: string };

/** A descent over one or two weights: points one after the other (k or 2 k numbers), the loss at each of them. */
export type Walk = { colour: Colour; style: Style; label?: string; points: Numbers; loss: Numbers };

/** The layers of one kind, in their order. */
export function of<K extends Layer["type"]>(marks: Marks, kind: K): Extract<Layer, { type: K }>[] {
  return marks.layers.filter((layer): layer is Extract<Layer, { type: K }> => layer.type === kind);
}

/** What colours areas, and so needs a scale beside the picture. */
export function coloured(marks: Marks): Heat | Faces | undefined {
  return of(marks, "heat")[0] ?? of(marks, "faces")[0];
}
