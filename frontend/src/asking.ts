// When is what asked?  changes of the state, answers -> questions: at once while a control moves, exactly once it rests.
import type { Transport } from "./transport";
import { newest, type Newest } from "./newest";
import { counters } from "./motion";
import { differing, type Store } from "./state";
import type { Message, Rates, Scene, Surface, Verdicts } from "./wire";

export const REST = 250; // ms without a change
const IMPATIENT = 150; // ms that a descent may still take when a newer one waits
const KEPT = 5000; // round trips that are remembered
const ANSWER: Record<string, string> = {
  welcome: "hello", scene: "descend", surface: "surface", verdicts: "verdict", rates: "rates", range: "range", found: "find", columns: "table", file: "download",
};
/** Answered again and again, so that there is no answer to wait for. */
const STREAMS = ["runs", "follow"];

export interface Asking {
  /** From here on every question is about this state. */
  about(store: Store): void;
  ask(kind: string, more?: Record<string, unknown>): number;
  /** Something that is computed from has changed. */
  changed(): void;
  /** Everything anew, now: after a new connection. */
  again(): void;
  /** Books an answer; null where it is older than what is shown, else what it answers. */
  booked(message: Message): string | null;
  /** A final scene is shown: what else belongs to it? */
  rested(scene: Scene, shown: { surface: Surface | null; rates: Rates | null; verdicts: Verdicts | null }, hidden: string[]): void;
  compute(): void;
  /** What was asked is no longer wanted. */
  stop(kind: string): void;
  queue: Newest;
}

export function asking(transport: Transport): Asking {
  let held: Store | null = null;
  const sent = new Map<number, number>();
  const given = new Set<number>();
  const rests = new Set<number>();
  let timer: ReturnType<typeof setTimeout> | undefined;

  const queue = newest(
    (asked) => {
      if (asked.ask === "descend") sent.set(asked.seq, performance.now());
      transport.ask(asked);
    },
    (kind, waited) => cancel(kind, kind === "descend" ? waited > IMPATIENT : ["surface", "rates"].includes(kind)),
  );
  function cancel(kind: string, wanted: boolean): void {
    const now = queue.current(kind);
    if (!wanted || now === null || given.has(now)) return;
    given.add(now);
    transport.ask({ ask: "cancel", seq: now, what: kind });
  }
  function plain(seen: boolean): Record<string, unknown> {
    if (!held) return {};
    const { table, field, get } = held;
    return Object.fromEntries(Object.entries(differing(table, get())).filter(([key]) => seen || !field(key).seen_only));
  }
  function ask(kind: string, more: Record<string, unknown> = {}): number {
    const content = { state: plain(kind === "download"), ...more };
    if (!STREAMS.includes(kind)) return queue.ask(kind, content);
    const seq = queue.number();
    transport.ask({ ...content, ask: kind, seq });
    return seq;
  }
  function rest(): void {
    rests.clear();
    rests.add(ask("descend", { rest: true }));
  }
  function timed(seq: number): void {
    const since = sent.get(seq);
    if (since === undefined) return;
    sent.clear(); // one is under way at a time
    const { rtt } = counters();
    rtt.push(performance.now() - since);
    if (rtt.length > KEPT) rtt.splice(0, rtt.length - KEPT);
  }
  return {
    queue,
    ask,
    about: (store) => void (held = store),
    changed() {
      clearTimeout(timer);
      timer = setTimeout(rest, REST);
      ask("descend", { rest: false });
    },
    again() {
      clearTimeout(timer);
      queue.reset();
      given.clear();
      rest();
    },
    booked(message) {
      const seq = "seq" in message ? message.seq : 0;
      if (message.kind === "runs" || message.kind === "live") return message.kind;
      const kind = "ask" in message ? message.ask : message.kind === "cancelled" ? message.what : (queue.kindOf(seq) ?? ANSWER[message.kind] ?? "");
      const last = message.kind !== "progress" && !(message.kind === "scene" && message.partial);
      if (last && kind === "descend" && message.kind === "scene") timed(seq);
      if (message.kind === "cancelled") given.delete(seq);
      return queue.answered(kind, seq, last) ? kind : null;
    },
    rested(scene, shown, hidden) {
      if (scene.partial || !rests.has(scene.seq)) return;
      const seen = (...names: string[]): boolean => names.some((name) => !hidden.includes(name));
      if (scene.keys.surface && scene.keys.surface !== shown.surface?.key && seen("surface", "contour")) ask("surface");
      if (scene.keys.rates && scene.keys.rates !== shown.rates?.key && seen("rates", "map")) ask("rates", { compute: scene.problem.dims !== 0 });
      if (scene.keys.verdict && scene.keys.verdict !== shown.verdicts?.key && seen("verdict")) ask("verdict");
    },
    stop: (kind) => cancel(kind, true),
    compute: () => void ask("rates", { compute: true }),
  };
}
