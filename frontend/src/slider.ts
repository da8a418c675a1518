// How is a positive number chosen over many decades?  a slider's place <-> a value, with ticks where something is known.
import { h, say } from "./dom";
import { number } from "./draw/format";

const PER_DECADE = 40; // as the library walks all rates of the slider beforehand: any other rate is a descent of its own

/** How many places a slider between two values has, less one. */
export function places(low: number, high: number): number {
  return Math.max(1, Math.round(Math.log10(high / low) * PER_DECADE));
}

/** The place of a value on a logarithmic slider, from 0; beyond the ends it is the end. */
export function placeOf(value: number, low: number, high: number): number {
  const share = Math.log(value / low) / Math.log(high / low);
  return Math.round(places(low, high) * Math.max(0, Math.min(1, Number.isNaN(share) ? 0 : share)));
}

/** The value at a place, as a round number of three digits that is never outside of the ends. */
export function valueAt(place: number, low: number, high: number, whole = false): number {
  const exact = 10 ** (Math.log10(low) + (place / places(low, high)) * Math.log10(high / low));
  const round = whole ? Math.max(1, Math.round(exact)) : exact;
  return Math.max(low, Math.min(high, Number(round.toPrecision(3))));
}

/** One step up or down with the arrow keys in a number box. */
export function nudged(value: number, up: boolean): number {
  return Number((value * 10 ** (up ? 1 / PER_DECADE : -1 / PER_DECADE)).toPrecision(3));
}

export interface Tick { value: number; label: string; text: string; kind: "limit" | "found" }

export interface LogSlider {
  element: HTMLElement;
  input: HTMLInputElement;
  set(value: number): void;
  ends(low: number, high: number): void;
  ticks(ticks: Tick[]): void;
}

export function logSlider(name: string, whole: boolean, chosen: (value: number) => void): LogSlider {
  let ends: [number, number] = [1e-4, 1];
  let value = ends[1];
  let marks: Tick[] = [];
  const input = h("input", { type: "range", min: 0, max: 1, step: 1, "aria-label": name });
  const rail = h("div", { class: "ticks", "aria-hidden": "true" });
  const words = h("div", { class: "chips" });
  const element = h("div", { class: "slider" }, h("div", { class: "rail" }, rail, input), words);
  input.addEventListener("input", () => chosen(valueAt(Number(input.value), ends[0], ends[1], whole)));

  function place(): void {
    input.max = String(places(...ends));
    input.value = String(placeOf(value, ends[0], ends[1]));
    input.setAttribute("aria-valuetext", number(value));
  }
  function drawTicks(): void {
    rail.replaceChildren(...marks.map((tick) => tickAt(tick, ends)));
    words.replaceChildren(...marks.map((tick) => chip(tick, chosen)));
  }
  return {
    element,
    input,
    set(given) {
      value = given;
      place();
    },
    ends(low, high) {
      if (low === ends[0] && high === ends[1]) return;
      ends = [low, high];
      place();
      drawTicks();
    },
    ticks(given) {
      if (JSON.stringify(given) === JSON.stringify(marks)) return;
      marks = given;
      drawTicks();
    },
  };
}

function tickAt(tick: Tick, [low, high]: [number, number]): HTMLElement {
  const mark = h("i", { class: tick.kind });
  // The thumb's middle runs from half its width to half its width before the end.
  mark.style.left = `calc(var(--thumb) / 2 + (100% - var(--thumb)) * ${placeOf(tick.value, low, high) / places(low, high)})`;
  return mark;
}

function chip(tick: Tick, chosen: (value: number) => void): HTMLElement {
  const text = h("span");
  say(text, `${tick.label} ${number(tick.value)}`);
  return h("button", { type: "button", class: `chip ${tick.kind}`, title: `${tick.text} Click to use it.`, onclick: () => chosen(tick.value) }, text);
}
