// Who else descends from the same start?  rivals in the state -> rows with a rate, an optimizer and a batch each, and how each one fared.
import type { Context } from "./context";
import { button, h, iconButton, say, show } from "./dom";
import { painted, themeOf } from "./draw/colours";
import { number } from "./draw/format";
import { fill, numberBox, select } from "./field";
import type { Plain, Racer, Verdict } from "./wire";
import { BATCHES, OPTIMIZERS } from "./words";

const MOST = 5;
const FACTORS = [3, 1 / 3, 10, 1 / 10, 30]; // of the main rate, for the rivals in the order they are added

export interface Race {
  element: HTMLElement;
  set(rivals: Plain[], main: Plain): void;
  fared(racers: Racer[], verdicts: Verdict[], batches: boolean): void;
}

interface Row { element: HTMLElement; set(rival: Plain, main: Plain): void; fared(racer: Racer | undefined, verdict: Verdict | undefined, batches: boolean): void }

export function race(context: Context): Race {
  const list = h("ol", { class: "rivals" });
  const add = button("Add a descent", () => context.store.set({ race: [...rivals(), next()] }, "race"), { class: "add" });
  const element = h("section", { class: "race", "aria-labelledby": "sf-race" }, h("h2", { id: "sf-race" }, "Race"),
    h("p", { class: "quiet" }, "More descents from the same start, each with its own rate."), list, add);
  let rows: Row[] = [];

  const rivals = (): Plain[] => context.store.get().race as Plain[];
  function next(): Plain {
    const lr = (context.store.get().lr as number) * (FACTORS[rivals().length] ?? 1);
    return { lr: Number(lr.toPrecision(3)) };
  }
  function change(index: number, change: Plain): boolean {
    const [key, value] = Object.entries(change)[0] as [string, unknown];
    if (key === "lr" && !(typeof value === "number" && value > 0)) return false;
    return context.store.set({ race: rivals().map((rival, at) => (at === index ? { ...rival, [key]: value } : rival)) }, "race").length === 0;
  }
  function remove(index: number): void {
    context.store.set({ race: rivals().filter((_rival, at) => at !== index) }, "race");
    add.focus();
  }
  return {
    element,
    set(given, main) {
      if (rows.length !== given.length) {
        rows = given.map((_rival, index) => row(context, index, (what) => change(index, what), () => remove(index)));
        list.replaceChildren(...rows.map((each) => each.element));
      }
      rows.forEach((each, index) => each.set(given[index] as Plain, main));
      show(add, given.length < MOST);
    },
    fared: (racers, verdicts, batches) => rows.forEach((each, index) => each.fared(racers[index + 1], verdicts[index + 1], batches)),
  };
}

function row(context: Context, index: number, change: (change: Plain) => boolean, remove: () => void): Row {
  const who = `descent ${index + 2}`;
  const refused = (yes: boolean): void => void (yes ? box.setAttribute("aria-invalid", "true") : box.removeAttribute("aria-invalid"));
  const box: HTMLInputElement = numberBox(`Rate of ${who}`, (lr) => change({ lr }), refused);
  const named = (key: string, words: Record<string, string>): { value: string; text: string }[] =>
    context.store.field(key).choices.map((value) => ({ value, text: words[value] ?? value }));
  const optimizer = select(`Optimizer of ${who}`, named("optimizer", OPTIMIZERS), (value) => change({ optimizer: value }));
  const batch = select(`Batch of ${who}`, named("batch", BATCHES), (value) => change({ batch: value }));
  const mark = h("i", { class: "dash" });
  const line = h("p", { class: "fared" });
  const element = h("li", {}, h("div", { class: "entry" }, mark, box, optimizer, iconButton("close", `Remove ${who}`, remove), h("div", { class: "second" }, batch, line)));
  return {
    element,
    set(rival, main) {
      fill(box, (rival.lr ?? main.lr) as number);
      optimizer.value = (rival.optimizer ?? main.optimizer) as string;
      batch.value = (rival.batch ?? main.batch) as string;
    },
    fared(racer, verdict, batches) {
      show(batch, batches);
      mark.className = `dash ${racer?.style ?? ""}`;
      if (racer) mark.style.color = painted(racer.colour, themeOf(element));
      say(line, racer && verdict ? `${verdict.title}, loss ${number(racer.final ?? NaN)}` : "");
    },
  };
}
