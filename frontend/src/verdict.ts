// How did the descent go, and what helps?  verdicts of all racers + depth -> the page's one status region, its reasons, its remedy.
import type { Context } from "./context";
import { button, choice, h, say, show } from "./dom";
import { painted, themeOf } from "./draw/colours";
import { number } from "./draw/format";
import { drawing, type Drawing } from "./pane";
import type { Marks, Panels, Racer, Remedy, Verdict } from "./wire";

export interface Verdicts {
  element: HTMLElement;
  /** What is said about each racer, the main one first; forks: what was measured where the descent could have gone otherwise. */
  set(racers: Racer[], verdicts: Verdict[], forks: (Marks | Panels | null)[]): void;
  depth(depth: string): void;
  /** A verdict about something else, such as a live run. */
  single(verdict: Verdict | null, told: string): void;
}

export function verdicts(context: Context): Verdicts {
  const title = h("strong", { class: "verdict-title" });
  const told = h("span", { class: "told" });
  const status = h("div", { role: "status", class: "status" }, title, " ", told);
  const depths = choice("Depth of the explanation", context.store.field("depth").choices, (depth) => context.store.set({ depth }, "verdict"));
  const text = h("p", { class: "reason" });
  const remedy = h("div", { class: "remedy" });
  const fork = h("div", { class: "fork" });
  const others = h("ul", { class: "others" });
  const body = h("div", { class: "body", tabindex: 0, role: "region", "aria-label": "Reasons" }, remedy, text, others, fork);
  const element = h("section", { class: "verdict", "aria-labelledby": "sf-verdict" },
    h("header", {}, h("h2", { id: "sf-verdict" }, "Verdict"), depths.element), status, body);
  let shown: Verdict | null = null;
  let forked: Marks | Panels | null = null;
  let drawn: Drawing | null = null;

  function explain(): void {
    const depth = context.store.get().depth as "basic" | "medium" | "detailed";
    depths.set(depth);
    text.replaceChildren(...context.glossary.text(shown ? reason(shown, depth) : ""));
    drawFork(depth === "detailed" ? forked : null);
  }
  function drawFork(marks: Marks | Panels | null): void {
    drawn?.destroy();
    drawn = null;
    show(fork, marks !== null);
    if (marks) (drawn = drawing(fork, "Where the descent could have gone otherwise")).set(marks);
  }
  function put(verdict: Verdict | null, line: string): void {
    const changed = verdict !== shown;
    shown = verdict;
    say(title, verdict ? `${verdict.title}.` : "");
    say(told, line);
    element.dataset.ill = verdict ? String(verdict.ill) : "";
    if (!changed) return;
    remedy.replaceChildren(...(verdict?.remedy ? remedied(context, verdict.remedy) : []));
    explain();
  }
  return {
    element,
    set(racers, all, forks) {
      forked = forks[0] ?? null;
      const main = all[0] ?? null;
      put(main, racers[0]?.told || main?.told || "");
      others.replaceChildren(...racers.slice(1).map((racer, index) => other(racer, all[index + 1], element)));
      show(others, racers.length > 1);
    },
    depth: explain,
    single(verdict, line) {
      forked = null;
      others.replaceChildren();
      put(verdict, verdict?.told ?? line);
    },
  };
}

/** The explanation without what stands beside it already: the title as its first line, and the remedy. */
function reason(verdict: Verdict, depth: "basic" | "medium" | "detailed"): string {
  const lines = verdict[depth].split("\n").filter((line) => !verdict.remedy || !line.includes(verdict.remedy.text));
  return (lines[0]?.replace(/\.$/, "") === verdict.title ? lines.slice(1) : lines).join("\n");
}

function other(racer: Racer, verdict: Verdict | undefined, place: HTMLElement): HTMLElement {
  const mark = h("i", { class: `dash ${racer.style}` });
  mark.style.color = painted(racer.colour, themeOf(place));
  return h("li", {}, mark, h("b", {}, racer.label), ` ${verdict?.title ?? ""}. ${racer.told}`);
}

/** The remedy as words, with a button where it names something that can be set here. */
function remedied(context: Context, remedy: Remedy): Node[] {
  const words = h("span", {}, h("b", {}, "What to do: "), ...context.glossary.text(remedy.text));
  const known = context.store.table.some((field) => field.key === remedy.setting && !field.seen_only);
  if (!known || remedy.value === null || !context.computes) return [words];
  const setting = remedy.setting as string;
  const worth = typeof remedy.value === "number" ? number(remedy.value) : String(remedy.value);
  const use = button("use it", () => apply(context, setting, remedy.value), { class: "use", "aria-label": `use it: ${context.store.field(setting).label} ${worth}` });
  return [words, use];
}

function apply(context: Context, setting: string, value: unknown): void {
  const extra = setting === "batch_size" ? { batch: "mini" } : {}; // a size says nothing while the batch is full
  const refused = context.store.set({ ...extra, [setting]: value }, "remedy");
  if (refused.length > 0) context.tell(`The remedy could not be applied: ${setting} = ${String(value)}.`);
}
