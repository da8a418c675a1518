// What does this very step do?  a racer + a step -> the update rule as arithmetic, with the numbers in it.
import type { Context } from "./context";
import { h, say, show } from "./dom";
import { number } from "./draw/format";
import { lastFinite } from "./paths";
import type { Racer, UpdateRule } from "./wire";

export interface RulePane {
  element: HTMLElement;
  /** names: of the one or two weights. */
  set(racer: Racer, names: string[]): void;
  step(step: number): void;
}

/** The update of one weight: `w ← 0.31 − 0.05 × (−2.4) = 0.43`. */
export function arithmetic(rule: UpdateRule, names: string[], weight: number, step: number, rate: number): string {
  const at = step * names.length + weight;
  const [before, direction, after] = [rule.before[at], rule.direction[at], rule.after[at]].map((value) => value ?? NaN) as [number, number, number];
  const name = names[weight] ?? "w";
  if (rule.word === "guess") return `${name} ← ${signed(after)}, a guess`;
  const digits = telling(before, after);
  return `${name} ← ${signed(before, digits)} − ${number(rate)} × ${bracketed(direction)} = ${signed(after, digits)}`;
}

const DIGITS = [3, 7] as const; // from what is easy to read to what float32 holds

/** So many digits that a small step is seen in the weights. */
function telling(before: number, after: number): number {
  const [few, most] = DIGITS;
  const move = Math.abs(after - before);
  const size = Math.max(Math.abs(before), Math.abs(after));
  return move > 0 && Number.isFinite(size) ? Math.max(few, Math.min(most, Math.ceil(Math.log10(size / move)) + 1)) : few;
}

function signed(value: number, digits: number = DIGITS[0]): string {
  return number(value, digits).replace(/^-/, "−");
}

function bracketed(value: number): string {
  return value < 0 ? `(${signed(value)})` : signed(value);
}

export function rulePane(context: Context): RulePane {
  const moment = h("p", { class: "moment" });
  const symbols = h("p", { class: "symbols quiet" });
  const lines = h("div", { class: "arithmetic" });
  const element = h("section", { class: "rule", "aria-labelledby": "sf-rule" }, h("h2", { id: "sf-rule" }, "This step"), moment, lines, symbols);
  let racer: Racer | null = null;
  let word = "";
  let weights: string[] = [];

  function legend(): void {
    const now = racer?.rule?.word ?? "";
    if (now === word) return;
    word = now;
    symbols.replaceChildren(...(word && word !== "guess" ? context.glossary.text(`weight ← weight − learning rate × ${word}`) : []));
  }
  return {
    element,
    set(given, names) {
      racer = given;
      weights = names;
      legend();
      lines.replaceChildren(...(given.rule ? names : []).map(() => h("p")));
      show(lines, given.rule !== null);
    },
    step(step) {
      if (!racer || racer.rows === 0) return say(moment, "");
      const row = Math.min(step, lastRow(racer, weights.length));
      say(moment, told(racer, row, step));
      const rule = racer.rule;
      if (rule) [...lines.children].forEach((line, weight) => say(line, arithmetic(rule, weights, weight, row, rate(racer as Racer, row))));
    },
  };
}

/** The last row whose numbers are all finite: of what diverged, the last frame that says anything. */
function lastRow(racer: Racer, width: number): number {
  const finite = racer.rule ? Math.min(lastFinite(racer.rule.after, width), lastFinite(racer.rule.direction, width)) : Infinity;
  return Math.min(racer.rows - 1, finite, lastFinite(racer.loss, 1));
}

function rate(racer: Racer, row: number): number {
  return racer.rate[row] ?? racer.lr;
}

function told(racer: Racer, row: number, step: number): string {
  const where = step <= row ? `step ${number(row)}` : racer.diverged_at === null ? `last step, ${number(row)}` : `last finite step, ${number(row)}`;
  return `${where}: loss ${number(racer.loss[row] ?? NaN)} · rate ${number(rate(racer, row))} · slope ${number(racer.grad_norm[row] ?? NaN)}`;
}
