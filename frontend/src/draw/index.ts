// Which drawing is there?  marks, surfaces, samples -> pictures in a host element.

export { picture, type Paint, type Picture, type PictureOptions } from "./picture";
export { relief, type Relief, type ReliefSurface } from "./relief";
export { multiples, type Multiples } from "./multiples";
export { samples, type Samples, type SampleSet } from "./samples";
export { curveOverlay, headOverlay, lineOverlay, pathOverlay, spotOverlay, together } from "./overlays";
export { number, tickLabels, ticks } from "./format";
export { contrast, dashes, painted, themeOf, type Theme } from "./colours";
export type { Colour, Layer, Limits, Marks, Numbers, Panels, Scale, Style, Walk } from "./marks";
