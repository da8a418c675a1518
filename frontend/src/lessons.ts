// What is to be learnt here?  lessons -> a task, a prediction, the run, the explanation, one after the other.
import type { Context } from "./context";
import { button, h, show } from "./dom";
import { defaults } from "./state";
import type { Lesson } from "./wire";

export interface Lessons {
  body: HTMLElement;
  /** Opens a lesson; `keep`: the state is already that of a link. */
  open(id: string, keep: boolean): void;
  /** The run has been played to its end. */
  ran(): void;
  leave(): void;
  /** Before the prediction nothing of the result is to be seen, before the end of the run no verdict. */
  phase(): "none" | "predict" | "run" | "explain";
}

export function lessons(context: Context, run: () => void, changed: () => void): Lessons {
  const all = context.welcome.lessons;
  const body = h("div", { class: "lessons" });
  let now: Lesson | null = null;
  let guess: number | null = null;
  let phase: "predict" | "run" | "explain" = "predict";

  function open(id: string, keep: boolean): void {
    now = all.find((lesson) => lesson.id === id) ?? null;
    guess = null;
    phase = "predict";
    if (now && !keep) context.store.set(settings(now), "lesson");
    draw();
    changed();
  }
  /** Everything at its default but what the lesson sets; how it looks stays as it is. */
  function settings(lesson: Lesson): Record<string, unknown> {
    const usual = Object.fromEntries(context.store.table.filter((field) => !field.seen_only).map((field) => [field.key, field.default]));
    return { ...usual, hide: lesson.hide, step: 0, ...lesson.state, lesson: lesson.id };
  }
  function leave(): void {
    const usual = defaults(context.store.table);
    now = null;
    context.store.set({ lesson: usual.lesson, hide: usual.hide }, "lesson");
    draw();
    changed();
  }
  function predicted(): void {
    phase = "run";
    draw();
    changed();
    run();
  }
  function draw(): void {
    body.replaceChildren(...(now ? page(now) : contents()));
    if (body.isConnected && phase === "explain") body.querySelector<HTMLElement>(".outcome")?.focus();
  }
  function contents(): Node[] {
    const items = all.map((lesson) =>
      h("li", {}, button(lesson.title, () => open(lesson.id, false), { class: "link" }), h("span", { class: "quiet" }, ` ${lesson.minutes} min`)));
    return [h("p", {}, "A task, your prediction, the run, the explanation. A few minutes each."), h("ol", { class: "contents" }, ...items)];
  }
  function page(lesson: Lesson): Node[] {
    const at = all.indexOf(lesson);
    const asked = h("fieldset", {}, h("legend", {}, lesson.question), ...lesson.choices.map((text, index) => option(lesson, text, index)));
    const go = button("Run it", predicted, { class: "primary", disabled: guess === null });
    asked.addEventListener("change", () => (go.disabled = guess === null));
    return [
      h("h3", {}, `${at + 1}. ${lesson.title}`),
      h("p", {}, ...context.glossary.text(lesson.task)),
      asked,
      ...(phase === "predict" ? [go] : []),
      ...(phase === "run" ? [h("p", { class: "quiet" }, "Watch the run to its end.")] : []),
      ...(phase === "explain" ? explained(lesson) : []),
      steps(at),
    ];
  }
  function option(lesson: Lesson, text: string, index: number): HTMLElement {
    const chosen = h("input", { type: "radio", name: `sf-${lesson.id}`, checked: guess === index, disabled: phase !== "predict" });
    chosen.addEventListener("change", () => (guess = index));
    const right = phase === "explain" && index === lesson.answer;
    const wrong = phase === "explain" && index === guess && index !== lesson.answer;
    return h("label", { class: right ? "right" : wrong ? "wrong" : "" }, chosen, h("span", {}, text, right ? " ✓" : wrong ? " ✗" : ""));
  }
  function explained(lesson: Lesson): Node[] {
    const verdict = guess === lesson.answer ? "You predicted it." : "It went otherwise.";
    return [
      h("h4", { class: "outcome", tabindex: -1 }, verdict),
      h("p", {}, ...context.glossary.text(lesson.explain)),
      h("h4", {}, "Try next"),
      h("p", {}, ...context.glossary.text(lesson.wonder)),
    ];
  }
  function steps(at: number): HTMLElement {
    const to = (index: number, text: string): HTMLElement | null => {
      const lesson = all[index];
      return lesson ? button(text, () => open(lesson.id, false), { title: lesson.title }) : null;
    };
    return h("nav", { class: "row", "aria-label": "Lessons" }, to(at - 1, "Previous"), to(at + 1, "Next"), button("All lessons", leave));
  }
  draw();
  return {
    body,
    open,
    leave,
    ran() {
      if (phase !== "run" || !now) return;
      phase = "explain";
      draw();
      changed();
    },
    phase: () => (now ? phase : "none"),
  };
}

/** Shows the lessons' place only where there are any. */
export function offered(knob: HTMLElement, context: Context): void {
  show(knob, context.welcome.lessons.length > 0 && context.computes);
}
