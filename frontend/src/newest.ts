// Which question is asked next?  questions as they come -> one of each kind under way, only the newest of them waiting.

export interface Asked { ask: string; seq: number; [key: string]: unknown }

/** Where the answer to one question stands: the newest of its kind, an older one, or nobody's. */
export interface Flight { seq: number; since: number }

export interface Newest {
  /** Puts a question; returns its number. */
  ask(kind: string, content: Record<string, unknown>): number;
  /** An answer came: true where it is not older than what was shown. `last`: nothing more comes for this question. */
  answered(kind: string, seq: number, last: boolean): boolean;
  /** The number of the question under way; null where none is. */
  current(kind: string): number | null;
  busy(kind: string): boolean;
  /** The kind of the question under way with this number. */
  kindOf(seq: number): string | undefined;
  /** Forgets what was under way (the connection broke). */
  reset(): void;
  /** A number for what is not put in order here. */
  number(): number;
}

/**
 * @param send what puts a question on its way.
 * @param cancel called when a newer question waits for an older one of its kind.
 */
export function newest(send: (asked: Asked) => void, cancel: (kind: string, waited: number) => void = () => {}, now: () => number = () => performance.now()): Newest {
  let seq = 0;
  const flying = new Map<string, Flight>();
  const waiting = new Map<string, Asked>();
  const shown = new Map<string, number>();

  function start(asked: Asked): void {
    flying.set(asked.ask, { seq: asked.seq, since: now() });
    send(asked);
  }

  function landed(kind: string): void {
    flying.delete(kind);
    const next = waiting.get(kind);
    if (!next) return;
    waiting.delete(kind);
    start(next);
  }

  return {
    ask(kind, content) {
      const asked = { ...content, ask: kind, seq: ++seq };
      const under = flying.get(kind);
      if (!under) start(asked);
      else {
        waiting.set(kind, asked);
        cancel(kind, now() - under.since);
      }
      return asked.seq;
    },
    answered(kind, answer, last) {
      const fresh = answer >= (shown.get(kind) ?? 0);
      if (fresh) shown.set(kind, answer);
      if (last && flying.get(kind)?.seq === answer) landed(kind);
      return fresh;
    },
    current: (kind) => flying.get(kind)?.seq ?? null,
    busy: (kind) => flying.has(kind),
    kindOf: (number) => [...flying].find(([, under]) => under.seq === number)?.[0],
    number: () => ++seq,
    reset() {
      flying.clear();
      waiting.clear();
    },
  };
}
