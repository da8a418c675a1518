// How is one value of the state set by hand?  a row of the table -> a labelled control that shows, changes and explains refusals.
import type { Context } from "./context";
import { h, say, unique } from "./dom";
import { logSlider, nudged, type LogSlider } from "./slider";
import { number } from "./draw/format";
import type { Field } from "./wire";

export interface Control {
  key: string;
  element: HTMLElement;
  set(value: unknown): void;
  /** Why the value is refused, at the control; null: it is not. */
  refuse(text: string | null): void;
}

/** The frame around every control: label above, reason of a refusal below. */
export function framed(context: Context, key: string, label: string, term: string | undefined, inputs: HTMLElement[], body: HTMLElement[]): Control {
  const why = h("p", { class: "why", id: unique("why"), hidden: true });
  const element = h("div", { class: `field field-${key}` }, h("div", { class: "label" }, context.glossary.label(label, term)), ...body, why);
  return {
    key,
    element,
    set: () => {},
    refuse(text) {
      why.hidden = text === null;
      say(why, text ?? "");
      for (const input of inputs) {
        input.toggleAttribute("aria-invalid", false);
        if (text === null) input.removeAttribute("aria-describedby");
        else {
          input.setAttribute("aria-invalid", "true");
          input.setAttribute("aria-describedby", why.id);
        }
      }
    },
  };
}

/** What the bounds are, as a sentence. */
export function bounds(field: Field): string {
  if (field.key === "lr") return "The learning rate must be above 0 and at most 1e38: at 0 nothing moves, below it the steps go uphill.";
  const kind = field.kind === "count" ? "a whole number" : "a number";
  return `${field.label} must be ${kind} from ${number(field.low ?? -Infinity)} to ${number(field.high ?? Infinity)}.`;
}

/** A box for a number; `live` values are told while they are typed, refusals only when typing is over. */
export function numberBox(name: string, given: (value: number) => boolean, refused: (yes: boolean) => void, whole = false): HTMLInputElement {
  const box = h("input", { type: "number", step: whole ? 1 : "any", "aria-label": name, autocomplete: "off" });
  const read = (): number => (box.value.trim() === "" ? NaN : Number(box.value));
  let typed = false;
  // "change" alone is not enough: it is not heard where the value is again that of the last time, whatever was typed in between.
  const finished = (): void => {
    if (typed) refused(!Number.isFinite(read()) || !given(read()));
    typed = false;
  };
  box.addEventListener("input", () => {
    typed = true;
    if (Number.isFinite(read()) && given(read())) refused(false);
  });
  for (const kind of ["change", "blur"]) box.addEventListener(kind, finished);
  box.addEventListener("keydown", (event) => event.key === "Enter" && finished());
  return box;
}

/** Shows a value, but leaves alone what is being typed. */
export function fill(box: HTMLInputElement, value: number): void {
  const typing = document.activeElement === box && Number(box.value) === value;
  const text = String(value);
  if (!typing && box.value !== text) box.value = text;
}

export function numberControl(context: Context, key: string, term?: string): Control {
  const field = context.store.field(key);
  const whole = field.kind === "count";
  const given = (value: number): boolean => context.store.set({ [key]: value }, "control").length === 0;
  const box: HTMLInputElement = numberBox(field.label, given, (yes) => control.refuse(yes ? bounds(field) : null), whole);
  const control: Control = framed(context, key, field.label, term, [box], [box]);
  return { ...control, set: (value) => fill(box, value as number) };
}

/** A number over many decades: slider and box, both with its name. */
export function logControl(context: Context, key: string, term?: string): Control & { slider: LogSlider; box: HTMLInputElement } {
  const field = context.store.field(key);
  const whole = field.kind === "count";
  const given = (value: number): boolean => context.store.set({ [key]: value }, "control").length === 0;
  const slider = logSlider(field.label, whole, (value) => {
    given(value);
    control.refuse(null);
  });
  const box: HTMLInputElement = numberBox(field.label, given, (yes) => control.refuse(yes ? bounds(field) : null), whole);
  if (!whole) box.addEventListener("keydown", (event) => step(event, box, given));
  const control: Control = framed(context, key, field.label, term, [box, slider.input], [box, slider.element]);
  const set = (value: unknown): void => {
    fill(box, value as number);
    slider.set(value as number);
  };
  return { ...control, set, slider, box };
}

/** The arrow keys of a rate multiply: adding 1 to 0.001 would be of no use. */
function step(event: KeyboardEvent, box: HTMLInputElement, given: (value: number) => boolean): void {
  const up = event.key === "ArrowUp";
  if ((!up && event.key !== "ArrowDown") || !(Number(box.value) > 0)) return;
  event.preventDefault();
  const value = nudged(Number(box.value), up);
  box.value = String(value);
  given(value);
}

export function select(name: string, options: { value: string; text: string; title?: string }[], chosen: (value: string) => void): HTMLSelectElement {
  const element = h("select", { "aria-label": name }, ...options.map(({ value, text, title }) => h("option", { value, title }, text)));
  element.addEventListener("change", () => chosen(element.value));
  return element;
}

export function choiceControl(context: Context, key: string, words: Record<string, string>, term?: string): Control {
  const field = context.store.field(key);
  const options = field.choices.map((value) => ({ value, text: words[value] ?? value }));
  const element = select(field.label, options, (value) => context.store.set({ [key]: value }, "control"));
  element.title = field.help;
  return { ...framed(context, key, field.label, term, [element], [element]), set: (value) => void (element.value = value as string) };
}
