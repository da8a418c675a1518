// What does the server say?  one binary frame -> a message whose arrays are views into the frame.
import type { Marks, Panels, Scale, Style } from "./draw/marks";

/** A loose JSON object, before it is known to be a message. */
export type Plain = Record<string, unknown>;

export interface Field {
  key: string;
  kind: string;
  default: unknown;
  low: number | null;
  high: number | null;
  choices: string[];
  label: string;
  help: string;
  seen_only: boolean;
}

export type { Marks, Panels };
export type Picture = Marks | Panels;

export interface Remedy { text: string; setting: string | null; value: unknown }
export interface Verdict {
  verdict: string; ill: boolean; confidence: number | string | null; title: string; told: string; basis: "trace" | "problem";
  basic: string; medium: string; detailed: string; remedy: Remedy | null;
}

export interface Limit { lr: number; label: string; text: string }
export interface ProblemFacts {
  name: string; title: string; line: string; weights: number; names: string[]; dims: 0 | 1 | 2; samples: number; loss: string; batches: boolean;
  uses: string[]; most_steps: number; slider: [number, number]; limits: Limit[];
}
export interface Path { steps: Float32Array; points: Float32Array }
export interface UpdateRule { before: Float32Array; direction: Float32Array; after: Float32Array; word: string }
export interface Fit { x: Float32Array; y: Float32Array; steps: Float32Array }
export interface Racer {
  label: string; colour: string; style: Style; lr: number; optimizer: string; batch: string; samples_per_step: number;
  ended: string; diverged_at: number | null; told: string; rows: number;
  loss: Float32Array; rate: Float32Array; grad_norm: Float32Array; update_norm: Float32Array; validation: Float32Array | null;
  seconds: number; final: number | null;
  path: Path | null; rule: UpdateRule | null; fit: Fit | null;
  verdict: Verdict;
}
/** What a classifier of points in the plane says all over it, at some steps: steps * rows * columns values. */
export interface PlaneField { x: Float32Array; y: Float32Array; values: Float32Array; steps: Float32Array; limits: [number, number]; label: string }
export interface Samples {
  width: number; height: number; images: Float32Array; truth: string[]; names: string[]; shown: string; caption: string; before?: string[];
  predicted: { steps: Float32Array; classes: Float32Array }[];
}

export interface Welcome {
  kind: "welcome"; seq: number; version: string; table: Field[];
  problems: { name: string; line: string; usual?: Plain }[]; own: { name: string; line: string } | null;
  glossary: Term[]; lessons: Lesson[]; state: Plain; live: boolean;
}
export interface Term { name: string; short: string; more: string }
export interface Lesson {
  id: string; title: string; minutes: number; task: string; state: Plain; question: string; choices: string[]; answer: number;
  explain: string; wonder: string; terms: string[]; hide: string[];
}
export interface Scene {
  kind: "scene"; seq: number; partial: boolean; exact: boolean; state: Plain; notes: string[];
  keys: { data: string; surface: string; rates: string; verdict: string };
  problem: ProblemFacts; racers: Racer[]; pictures: { loss: Picture; data: Marks | null }; samples: Samples | null; field?: PlaneField | null; code: string; about?: string;
}
export interface ShownPath { steps: Float32Array; points: Float32Array; loss: Float32Array; under: Float32Array; distance: Float32Array }
export interface Surface {
  kind: "surface"; seq: number; key: string; dims: 1 | 2; exact: boolean; names: string[];
  x: Float32Array; y: Float32Array | null; loss: Float32Array; limits: [number, number]; scale: Scale;
  minima: { point: number[]; loss: number }[]; picture: Marks; text: string[]; explained: number | null; by_chance: number | null;
  paths: ShownPath[] | null;
}
export interface Verdicts { kind: "verdicts"; seq: number; key: string; verdicts: Verdict[]; forks: (Picture | null)[] }
export interface Rates {
  kind: "rates"; seq: number; key: string; picture: Picture | null; map: Marks | null; best: number | null; note: string;
}
export interface RangeTest { kind: "range"; seq: number; picture: Picture; suggestions: { rule: string; lr: number | null; reason: string }[] }
export interface Found {
  kind: "found"; seq: number; lr: number | null; low: number | null; high: number | null; ceiling: number | null;
  confident: boolean; reason: string; text: string; gradients: number; seconds: number; picture: Picture;
}
export interface Progress { kind: "progress"; seq: number; ask: string; what: string; done: number; total: number }
export interface Columns {
  kind: "columns"; seq: number; name: string; rows: number;
  columns: { name: string; kind: string; usable: boolean }[]; target: string; note: string;
}
export interface Run {
  id: number | string; problem: string | null; optimizer: string | null; lr: number | null; steps: number | null; rows: number; loss: number | null; ended: string | null; started: string;
}
export interface Runs { kind: "runs"; seq: number; runs: Run[] }
export interface Live {
  kind: "live"; seq: number; run: number | string; rows: number; picture: Picture | null;
  last: { step: number; loss: number | null; lr: number | null; grad_norm: number | null } | null; ended: string | null; verdict: Verdict | null;
}
export interface FileAnswer { kind: "file"; seq: number; name: string; mime: string; base64: string }
export interface Refused { kind: "refused"; seq: number; ask: string; field: string | null; text: string }
export interface Raised { kind: "raised"; seq: number; ask: string; text: string; traceback: string }
export interface Trouble { kind: "trouble"; seq: number; ask: string; text: string }
export interface Cancelled { kind: "cancelled"; seq: number; what: string }
export interface Absent { kind: "absent"; seq: number; ask: string }

export type Message =
  | Welcome | Scene | Surface | Verdicts | Rates | RangeTest | Found | Progress | Columns | Runs | Live | FileAnswer
  | Refused | Raised | Trouble | Cancelled | Absent;

/** The message of a frame. Throws a RangeError where the bytes are no frame. */
export function unpack(frame: ArrayBuffer): Message {
  const length = frame.byteLength < 4 ? NaN : new DataView(frame).getUint32(0, true);
  if (!(4 + length <= frame.byteLength) || length % 4 !== 0) throw new RangeError("not a frame of the lab");
  const header = new TextDecoder().decode(new Uint8Array(frame, 4, length));
  const data = new Float32Array(frame, 4 + length, Math.floor((frame.byteLength - 4 - length) / 4));
  return JSON.parse(header, (_key, value: unknown) => arrayOf(value, data)) as Message;
}

function arrayOf(value: unknown, data: Float32Array): unknown {
  if (typeof value !== "object" || value === null || !("f32" in value)) return value;
  const [offset, count] = (value as { f32: [number, number] }).f32;
  if (!(offset >= 0 && count >= 0 && offset + count <= data.length)) throw new RangeError("an array reaches beyond its frame");
  return data.subarray(offset, offset + count);
}

/** Several frames one after the other, each after its length as uint32: how a report keeps them. */
export function unpackAll(bytes: ArrayBuffer): Message[] {
  const messages: Message[] = [];
  const view = new DataView(bytes);
  for (let at = 0; at + 4 <= bytes.byteLength; ) {
    const length = view.getUint32(at, true);
    messages.push(unpack(bytes.slice(at + 4, at + 4 + length)));
    at += 4 + length;
  }
  return messages;
}
