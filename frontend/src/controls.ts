// What can be set here?  the table, the problem's facts -> the column of controls, only those that matter.
import type { Context } from "./context";
import { button, h, say, show } from "./dom";
import { number } from "./draw/format";
import { choiceControl, fill, framed, logControl, numberBox, numberControl, select, type Control } from "./field";
import type { Race } from "./race";
import type { Tick } from "./slider";
import type { Found, Progress, Scene } from "./wire";
import { BATCHES, OPTIMIZERS, WITH_MOMENTUM } from "./words";

export interface Controls {
  element: HTMLElement;
  /** The values of the state, and what is shown of them. */
  set(): void;
  scene(scene: Scene): void;
  refuse(field: string | null, text: string): void;
  accept(): void;
  found(found: Found | null): void;
  finding(progress: Progress | null): void;
}

export interface Wishes { find(): void; stop(): void; own(): void; problem(name: string): void }

export function controls(context: Context, race: Race, wishes: Wishes): Controls {
  const problem = problemControl(context, wishes);
  const rate = logControl(context, "lr", "learning rate");
  const finder = finding(context, wishes);
  rate.element.append(finder.element);
  const steps = logControl(context, "steps", "step");
  const start = startControl(context);
  const main = [
    problem, rate, steps, choiceControl(context, "optimizer", OPTIMIZERS), numberControl(context, "momentum", "momentum"),
    choiceControl(context, "batch", BATCHES, "batch"), numberControl(context, "batch_size"), choiceControl(context, "schedule", {}, "schedule"), start,
  ];
  const more = ["noise", "points", "seed"].map((key) => numberControl(context, key));
  const fold = h("details", { class: "more" }, h("summary", {}, "More: noise, points, seed"), h("div", { class: "pairs" }, ...more.map((each) => each.element)));
  const notes = h("ul", { class: "notes" });
  const general = h("p", { class: "why", hidden: true });
  const fields = h("div", { class: "fields" }, ...main.map((each) => each.element), fold, general, notes);
  const element = h("section", { class: "controls", "aria-labelledby": "sf-controls" }, h("h2", { id: "sf-controls", class: "heard" }, "Settings"), fields, race.element);
  const all: Control[] = [...main, ...more];
  let scene: Scene | null = null;
  let found: Tick | null = null;
  let shown: Record<string, unknown> = {};
  let refused: Control | null = null; // by the server

  function set(): void {
    const state = context.store.get();
    for (const each of all) {
      each.set(state[each.key]);
      if (shown[each.key] !== state[each.key]) each.refuse(null);
    }
    shown = state;
    race.set(state.race as Record<string, unknown>[], state);
    showOnlyWhatMatters();
  }
  function showOnlyWhatMatters(): void {
    const state = context.store.get();
    const hidden = state.hide as string[];
    const uses = scene?.problem.uses ?? [];
    const matters = (key: string): boolean => {
      if (hidden.includes(key)) return false;
      if (key === "momentum") return WITH_MOMENTUM.includes(state.optimizer as string);
      if (key === "batch_size") return state.batch === "mini" && uses.includes("batch");
      if (key === "start") return (scene?.problem.names.length ?? 0) > 0;
      return ["problem", "lr", "steps"].includes(key) || uses.includes(key);
    };
    for (const each of all) show(each.element, matters(each.key));
    const rest = more.filter((each) => !each.element.hidden).map((each) => context.store.field(each.key).label.toLowerCase());
    show(fold, rest.length > 0);
    say(fold.firstElementChild as Element, `More: ${rest.join(", ")}`);
    show(race.element, !hidden.includes("race"));
    show(finder.element, context.computes && !hidden.includes("find"));
  }
  function ticks(): void {
    const limits: Tick[] = (scene?.problem.limits ?? []).map((limit) => ({ value: limit.lr, label: limit.label, text: limit.text, kind: "limit" }));
    rate.slider.ticks(found ? [...limits, found] : limits);
  }
  return {
    element,
    set,
    scene(given) {
      if (scene && scene.problem.name !== given.problem.name) found = null;
      scene = given;
      problem.facts(given);
      start.facts(given);
      rate.slider.ends(...given.problem.slider);
      steps.slider.ends(1, Math.max(2, given.problem.most_steps));
      ticks();
      showOnlyWhatMatters();
      notes.replaceChildren(...given.notes.map((note) => h("li", {}, note)));
    },
    refuse(field, text) {
      const at = all.find((each) => each.key === field);
      at?.refuse(text);
      refused = at ?? null;
      show(general, !at);
      if (!at) say(general, text);
    },
    accept() {
      refused?.refuse(null); // what is being typed and refused here stays so, whatever answer comes in meanwhile
      refused = null;
      show(general, false);
    },
    found(given) {
      found = given && given.lr !== null ? { value: given.lr, label: "found", text: given.reason, kind: "found" } : null;
      finder.found(given);
      ticks();
    },
    finding: finder.progress,
  };
}

/** What is descended: a choice, one line about it, and how its loss is counted. */
function problemControl(context: Context, wishes: Wishes): Control & { facts(scene: Scene): void } {
  const { problems, own } = context.welcome;
  const options = [
    ...(own ? [{ value: "own", text: own.name, title: own.line }] : []),
    ...problems.map(({ name, line }) => ({ value: name, text: name, title: line })),
    { value: "table", text: "your own CSV…", title: "A table of yours" },
  ];
  const choice = select("Problem", options, (value) => (value === "table" ? wishes.own() : wishes.problem(value)));
  const [about, loss] = [h("p", { class: "about quiet" }), h("p", { class: "about quiet" })];
  const control = framed(context, "problem", "Problem", undefined, [choice], [choice, about, loss]);
  let told = "";
  return {
    ...control,
    set: (value) => void (choice.value = value as string),
    facts({ problem }) {
      say(about, problem.line);
      if (problem.loss !== told) loss.replaceChildren(...context.glossary.text(`Loss: ${(told = problem.loss)}.`));
    },
  };
}

/** The weights that the descent begins at, where there are one or two. */
function startControl(context: Context): Control & { facts(scene: Scene): void } {
  const boxes = h("div", { class: "pairs" });
  const back = button("the problem's own", () => context.store.set({ start: [] }, "control"), { class: "link" });
  const control = framed(context, "start", "Start", undefined, [], [boxes, back]);
  let names: string[] = [];
  let here: number[] = [];
  let inputs: HTMLInputElement[] = [];

  function given(index: number, value: number): boolean {
    here = here.map((each, at) => (at === index ? value : each)); // kept, so that the second number typed does not bring back the first
    return context.store.set({ start: here }, "control").length === 0;
  }
  function box(name: string, index: number): HTMLInputElement {
    const input: HTMLInputElement = numberBox(`Start of ${name}`, (value) => given(index, value), (yes) => control.refuse(yes ? `The start of ${name} must be a number.` : null));
    return input;
  }
  return {
    ...control,
    facts({ problem, racers }) {
      if (problem.names.join() !== names.join()) {
        names = problem.names;
        here = [];
        inputs = names.map(box);
        boxes.replaceChildren(...names.map((name, index) => h("div", { class: "named" }, h("span", { "aria-hidden": "true" }, name), inputs[index])));
      }
      const set = context.store.get().start as number[]; // not the scene's: what was typed since is not undone by an answer to what was before
      const first = [...(racers[0]?.path?.points.subarray(0, names.length) ?? [])].map((value) => Number(value.toPrecision(6)));
      if (set.length === names.length) here = set;
      else if (first.length === names.length) here = first; // a scene that is only begun has no path yet
      inputs.forEach((input, index) => {
        input.disabled = here.length !== names.length; // with one number alone nothing could be begun
        if (!input.disabled) fill(input, here[index]);
      });
      show(back, set.length > 0);
    },
  };
}

/** The button that looks for a rate, how far it is, and what it found. */
function finding(context: Context, wishes: Wishes): { element: HTMLElement; progress(progress: Progress | null): void; found(found: Found | null): void } {
  const go = button("Find a good rate", wishes.find, { class: "find" });
  const stop = button("Stop", wishes.stop, { hidden: true });
  const bar = h("progress", { "aria-label": "Finding a rate", hidden: true });
  const told = h("p", { class: "quiet told" });
  const use = button("use it", () => {}, { class: "use", hidden: true });
  let lr: number | null = null;
  use.addEventListener("click", () => lr !== null && context.store.set({ lr }, "found"));
  const running = (yes: boolean): void => {
    show(go, !yes);
    show(stop, yes);
    show(bar, yes);
  };
  return {
    element: h("div", { class: "finder" }, h("div", { class: "row" }, go, stop, bar, use), told),
    progress(progress) {
      running(progress !== null);
      if (!progress) return;
      bar.max = Math.max(1, progress.total);
      bar.value = progress.done;
      show(use, false);
      say(told, `${progress.what}, ${number(progress.done)} of ${number(progress.total)}`);
    },
    found(found) {
      running(false);
      lr = found?.lr ?? null;
      show(use, lr !== null);
      if (lr !== null) use.setAttribute("aria-label", `use it: learning rate ${number(lr)}`);
      told.replaceChildren(...(found ? context.glossary.text(found.lr === null ? found.text : `${number(found.lr)}: ${found.reason}`) : []));
    },
  };
}
