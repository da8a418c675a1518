// What is training right now?  recorded runs -> a list, one of them followed while it moves.
import type { Context } from "./context";
import { button, h, say, show } from "./dom";
import { number } from "./draw/format";
import type { Live, Run, Runs } from "./wire";

export interface LiveRuns {
  body: HTMLElement;
  badge: HTMLElement;
  banner: HTMLElement;
  runs(runs: Runs): void;
  /** What is shown of a followed run, as one line; null where it is not the one that is followed. */
  live(live: Live): string | null;
  following(): boolean;
  /** After a new connection the server knows nothing of what was followed. */
  again(): void;
  stop(): void;
}

export function liveRuns(context: Context, stopped: () => void): LiveRuns {
  const badge = h("span", { class: "badge", hidden: true });
  const none = h("p", {}, "No run has been recorded here yet. Start one in a terminal, and it appears: ", h("code", {}, "surefoot descend line"));
  const list = h("ul", { class: "runs" });
  const body = h("div", {}, none, list);
  const what = h("span");
  const banner = h("div", { class: "banner following", hidden: true }, what, button("Stop following", () => stop()));
  let followed: Run | null = null;

  function follow(run: Run): void {
    followed = run;
    context.ask("follow", { run: run.id });
    say(what, `Following run ${run.id}: ${nameOf(run)}, ${run.optimizer ?? ""}`);
    show(banner, true);
  }
  function stop(): void {
    if (!followed) return;
    followed = null;
    context.ask("follow", { run: null });
    show(banner, false);
    stopped();
  }
  function item(run: Run): HTMLElement {
    const going = goes(run);
    const facts = `${run.optimizer ?? "own loop"}, rate ${number(run.lr ?? NaN)}, ${number(run.rows)} steps, loss ${number(run.loss ?? NaN)}`;
    const open = button("Open", () => {
      stop();
      context.ask("run", { run: run.id });
    }, { "aria-label": `Open run ${run.id}` });
    return h("li", { class: going ? "going" : "" },
      h("strong", {}, `${run.id}. ${nameOf(run)}`), h("span", { class: "state" }, going ? "running" : run.ended === "steps" ? "finished" : String(run.ended)),
      h("p", { class: "quiet" }, facts), h("p", { class: "quiet" }, run.started.slice(0, 16)),
      h("div", { class: "row" }, going && button("Follow", () => follow(run), { "aria-label": `Follow run ${run.id}`, class: "primary" }), open));
  }
  return {
    body,
    badge,
    banner,
    runs({ runs }) {
      const going = runs.filter(goes).length;
      show(none, runs.length === 0);
      keepFocus(list, () => list.replaceChildren(...[...runs].reverse().map(item)));
      show(badge, going > 0);
      say(badge, `${going} running`);
    },
    live(live) {
      if (!followed || live.run !== followed.id) return null;
      const { last } = live;
      const line = last ? `step ${number(last.step)}, loss ${number(last.loss ?? NaN)}, rate ${number(last.lr ?? NaN)}` : "no step yet";
      say(what, `Run ${live.run}, ${nameOf(followed)}: ${line}${live.ended && live.ended !== RUNNING ? `; ended: ${live.ended}` : ""}`);
      return line;
    },
    following: () => followed !== null,
    again() {
      if (followed) context.ask("follow", { run: followed.id });
    },
    stop,
  };
}

const RUNNING = "running"; // as the store calls it

function goes(run: Run): boolean {
  return run.ended === null || run.ended === RUNNING;
}

function nameOf(run: Run): string {
  return run.problem ?? "a problem of its own";
}

/** A list that is made anew while somebody stands in it: the focus goes back to the button of the same name. */
function keepFocus(list: HTMLElement, change: () => void): void {
  const name = list.contains(document.activeElement) ? document.activeElement?.getAttribute("aria-label") : null;
  change();
  if (name) [...list.querySelectorAll("button")].find((each) => each.getAttribute("aria-label") === name)?.focus();
}
