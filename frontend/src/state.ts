// What is set?  a declared table + changes, a link -> the state, and back to the shortest link.
import type { Field, Plain } from "./wire";

/** Every key of the table with its value. */
export type State = Record<string, unknown>;
export type Change = Record<string, unknown>;

const LONGEST = 8000; // characters of a link that are read at all
const RIVALS = 5;

/** The value as the table allows it, or undefined. */
export function allowed(field: Field, value: unknown): unknown {
  return READERS[field.kind]?.(field, value);
}

const READERS: Record<string, (field: Field, value: unknown) => unknown> = {
  number: (field, value) => within(field, value),
  count: (field, value) => {
    const number = within(field, value);
    return number !== undefined && Number.isInteger(number) ? number : undefined;
  },
  choice: (field, value) => (typeof value === "string" && field.choices.includes(value) ? value : undefined),
  text: (_field, value) => (typeof value === "string" && value.length <= 1000 ? value : undefined),
  names: (field, value) =>
    Array.isArray(value) && value.every((each) => field.choices.includes(each as string)) ? [...new Set(value as string[])] : undefined,
  numbers: (_field, value) =>
    Array.isArray(value) && value.length <= 2 && value.every((each) => typeof each === "number" && Math.abs(each) <= 1e30) ? [...value] : undefined,
  race: (_field, value) => (Array.isArray(value) && value.length <= RIVALS && value.every(isPlain) ? value.map((each) => ({ ...each })) : undefined),
};

function within(field: Field, value: unknown): number | undefined {
  if (typeof value !== "number" || !Number.isFinite(value)) return undefined;
  if (field.key === "lr" && value <= 0) return undefined; // the one open bound
  return value >= (field.low ?? -Infinity) && value <= (field.high ?? Infinity) ? value : undefined;
}

function isPlain(value: unknown): value is Plain {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** All defaults of the table. */
export function defaults(table: Field[]): State {
  return Object.fromEntries(table.map((field) => [field.key, field.default]));
}

export function same(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

/** The keys of `state` that differ from the defaults: what travels to the server. */
export function differing(table: Field[], state: State): State {
  return Object.fromEntries(table.filter((field) => !same(state[field.key], field.default)).map((field) => [field.key, state[field.key]]));
}

/**
 * The link of a state, without its `#`: what differs from the default, or from what the server was started with.
 */
export function encode(table: Field[], state: State, started: State = {}): string {
  const told = table.filter(({ key, default: usual }) => !same(state[key], usual) || (key in started && !same(started[key], state[key])));
  return told.map((field) => `${field.key}=${escaped(written(field, state[field.key]))}`).join("&");
}

function written(field: Field, value: unknown): string {
  if (field.kind === "race") return (value as Plain[]).map((rival) => Object.entries(rival).map(([key, each]) => `${key}:${String(each)}`).join(",")).join(";");
  return Array.isArray(value) ? value.join(",") : String(value);
}

function escaped(text: string): string {
  return encodeURIComponent(text).replace(/%2C/g, ",").replace(/%3A/g, ":").replace(/%3B/g, ";");
}

/** What a link sets, and what in it could not be used. Never throws. */
export function decode(table: Field[], link: string): { change: Change; notes: string[] } {
  const change: Change = {};
  const notes: string[] = [];
  const text = link.replace(/^#/, "");
  if (text.length > LONGEST) return { change, notes: [`The link is longer than ${LONGEST} characters and was not used.`] };
  for (const part of text.split("&").filter(Boolean)) {
    const [key, value] = halves(part, "=");
    const field = table.find((each) => each.key === key);
    const read = field ? allowed(field, parsed(table, field, unescaped(value))) : undefined;
    if (read === undefined) notes.push(`Not used from the link: ${part.slice(0, 60)}`);
    else change[key] = read;
  }
  return { change, notes };
}

function halves(part: string, mark: string): [string, string] {
  const at = part.indexOf(mark);
  return at < 0 ? [part, ""] : [part.slice(0, at), part.slice(at + 1)];
}

function unescaped(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined; // a broken escape
  }
}

function parsed(table: Field[], field: Field, text: string | undefined): unknown {
  if (text === undefined) return undefined;
  const listed = text === "" ? [] : text.split(",");
  if (field.kind === "number" || field.kind === "count") return numberOf(text);
  if (field.kind === "numbers") return listed.map(numberOf);
  if (field.kind === "names") return listed;
  if (field.kind === "race") return text === "" ? [] : rivalsOf(table, field, text);
  return text;
}

function numberOf(text: string): number {
  return text.trim() === "" ? NaN : Number(text);
}

/** The rivals of a race, or undefined where one of them makes no sense. */
function rivalsOf(table: Field[], race: Field, text: string): Plain[] | undefined {
  const rivals = text.split(";").map((each) => each.split(",").filter(Boolean).map((item) => halves(item, ":")));
  const read = rivals.map((items) => items.map(([key, value]) => [key, rivalValue(table, race, key, value)] as const));
  if (read.some((items) => items.some(([, value]) => value === undefined))) return undefined;
  return read.map((items) => Object.fromEntries(items));
}

function rivalValue(table: Field[], race: Field, key: string, value: string): unknown {
  const field = race.choices.includes(key) ? table.find((each) => each.key === key) : undefined;
  return field && allowed(field, parsed(table, field, value));
}

export interface Store {
  readonly table: Field[];
  get(): State;
  field(key: string): Field;
  /** Changes some values; those that the table does not allow are left out, and returned. */
  set(change: Change, by?: string): string[];
  /** `by` is who changed it, so that nobody answers himself. */
  subscribe(heard: (changed: string[], by: string) => void): void;
}

export function store(table: Field[], initial: State): Store {
  let state: State = { ...defaults(table), ...initial };
  const heard: ((changed: string[], by: string) => void)[] = [];
  const fields = new Map(table.map((field) => [field.key, field]));
  return {
    table,
    get: () => state,
    field: (key) => fields.get(key) as Field,
    set(change, by = "") {
      const read = Object.entries(change).map(([key, value]) => [key, fields.has(key) ? allowed(fields.get(key) as Field, value) : undefined] as const);
      const changed = read.filter(([key, value]) => value !== undefined && !same(value, state[key]));
      if (changed.length > 0) {
        state = { ...state, ...Object.fromEntries(changed) };
        for (const each of heard) each(changed.map(([key]) => key), by);
      }
      return read.filter(([, value]) => value === undefined).map(([key]) => key);
    },
    subscribe: (given) => void heard.push(given),
  };
}
