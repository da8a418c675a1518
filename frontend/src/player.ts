// Which step is shown now?  time, speed, rows -> a playhead that runs, stops at the end, and can be moved by hand.

export interface Playhead {
  /** The step that is shown, a fraction while it runs; -1 is the end. */
  at: number;
  playing: boolean;
}

const WHOLE = 4; // seconds for a whole run at speed 1
const SLOWEST = 2; // steps a second of a short run: slow enough to follow each of them

/** Steps a second at speed 1: a whole run in about four seconds, but a handful of steps not slower than two a second. */
export function pace(rows: number): number {
  return Math.max(SLOWEST, rows / WHOLE);
}

/** The step, as a whole number from 0 to rows. */
export function stepOf(head: Playhead, rows: number): number {
  return head.at < 0 ? rows : Math.min(rows, Math.floor(head.at));
}

/** The playhead after some seconds; it stops at the end. */
export function advanced(head: Playhead, seconds: number, rows: number, speed: number): Playhead {
  if (!head.playing) return head;
  const at = (head.at < 0 ? 0 : head.at) + seconds * pace(rows) * speed;
  return at >= rows ? { at: -1, playing: false } : { at, playing: true };
}

/** Play: on from here, or from the start where it stood at the end. */
export function played(head: Playhead, rows: number): Playhead {
  return { at: stepOf(head, rows) >= rows ? 0 : head.at, playing: true };
}

export function paused(head: Playhead, rows: number): Playhead {
  return { at: head.at < 0 ? -1 : stepOf(head, rows), playing: false };
}

/** To a step, by hand; the last one is the end, wherever that will be. Before there are rows, it waits for them. */
export function moved(step: number, rows: number): Playhead {
  if (rows === 0) return { at: Math.max(0, Math.round(step)), playing: false };
  const at = Math.max(0, Math.min(rows, Math.round(step)));
  return { at: at >= rows ? -1 : at, playing: false };
}
