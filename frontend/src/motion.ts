// When is a frame drawn?  a playhead that runs, pictures that are out of date -> one drawing a frame, and counts for tests.
import { advanced, moved, paused, played, stepOf, type Playhead } from "./player";

export interface Counters { frames: number; fps: number; rtt: number[]; steps: number; drawn: number }

declare global {
  interface Window { __lab?: Counters }
}

export function counters(): Counters {
  return (window.__lab ??= { frames: 0, fps: 0, rtt: [], steps: 0, drawn: -1 });
}

export interface Motion {
  readonly head: Playhead;
  /** The moment that is shown: a step, or between two. */
  moment(): number;
  toggle(): void;
  /** From the start to the end; at once to the end where motion is not wanted. */
  run(): void;
  by(steps: number): void;
  to(step: number): void;
  rows(rows: number): void;
  dirty(): void;
}

export interface Seen { draw(moment: number, playing: boolean): void; stopped(at: number): void; ended(): void; speed(): number }

const GAP = 250; // ms without a frame after which the count of frames a second begins anew

export function motion(seen: Seen): Motion {
  const counts = counters();
  let head: Playhead = { at: -1, playing: false };
  let rows = 0;
  let asked = false;
  let last = 0;
  let recent: number[] = [];

  function frame(now: number): void {
    asked = false;
    const seconds = Math.min(0.1, Math.max(0, (now - last) / 1000)); // a page that slept does not jump
    count(now);
    const was = head.playing;
    head = advanced(head, seconds, rows, seen.speed());
    const step = stepOf(head, rows);
    if (step !== counts.drawn) counts.steps++;
    counts.drawn = step;
    seen.draw(head.at < 0 ? rows : Math.min(rows, head.at), head.playing); // between two steps too: few steps then move as smoothly as many
    if (head.playing) dirty();
    else if (was) finished();
  }
  function count(now: number): void {
    counts.frames++;
    recent = now - last > GAP ? [now] : [...recent.filter((each) => now - each < 1000), now];
    const span = now - (recent[0] as number);
    if (span > 0) counts.fps = ((recent.length - 1) * 1000) / span;
    last = now;
  }
  function finished(): void {
    seen.stopped(-1);
    seen.ended();
  }
  function dirty(): void {
    if (asked) return;
    asked = true;
    requestAnimationFrame(frame);
  }
  function set(given: Playhead): void {
    const stopped = !given.playing;
    if (given.playing && !head.playing) last = performance.now();
    head = given;
    if (stopped) seen.stopped(head.at);
    dirty();
  }
  return {
    get head() {
      return head;
    },
    moment: () => (head.at < 0 ? rows : Math.min(rows, head.at)),
    toggle: () => set(head.playing ? paused(head, rows) : played(head, rows)),
    run() {
      if (!matchMedia("(prefers-reduced-motion: reduce)").matches) return set({ at: 0, playing: true });
      set({ at: -1, playing: false });
      seen.ended();
    },
    by: (steps) => set(moved(stepOf(head, rows) + steps, rows)),
    to: (step) => set(step < 0 ? { at: -1, playing: false } : rows === 0 ? { at: step, playing: false } : moved(step, rows)), // of a link: no run yet
    rows(given) {
      rows = given;
      dirty();
    },
    dirty,
  };
}
