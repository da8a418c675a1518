// Does a link bring back what was set?  states, hostile links -> the same state, or a note; never an exception.
import { describe, expect, it } from "vitest";
import { allowed, decode, defaults, differing, encode, store } from "../src/state";
import type { Field } from "../src/wire";

const field = (key: string, kind: string, usual: unknown, more: Partial<Field> = {}): Field => ({
  key, kind, default: usual, low: null, high: null, choices: [], label: key, help: "", seen_only: false, ...more,
});
const TABLE: Field[] = [
  field("problem", "choice", "line", { choices: ["line", "valley", "table"] }),
  field("lr", "number", 0.1, { low: 0, high: 1e300 }),
  field("steps", "count", 200, { low: 1, high: 1e9 }),
  field("optimizer", "choice", "sgd", { choices: ["sgd", "adam"] }),
  field("start", "numbers", []),
  field("race", "race", [], { choices: ["lr", "optimizer"] }),
  field("target", "text", ""),
  field("step", "count", -1, { low: -1, high: 1e9, seen_only: true }),
  field("hide", "names", [], { choices: ["seed", "noise", "map"], seen_only: true }),
];
const full = (change: Record<string, unknown>): Record<string, unknown> => ({ ...defaults(TABLE), ...change });
const there = (change: Record<string, unknown>): unknown => full(decode(TABLE, encode(TABLE, full(change))).change);

describe("a link", () => {
  it("of the defaults is empty", () => expect(encode(TABLE, defaults(TABLE))).toBe(""));

  it("is written as it was agreed", () => {
    const state = full({ lr: 0.5, start: [0.5, -1], race: [{ lr: 0.01 }, { lr: 0.5, optimizer: "adam" }], hide: ["seed", "noise"] });
    expect(encode(TABLE, state)).toBe("lr=0.5&start=0.5,-1&race=lr:0.01;lr:0.5,optimizer:adam&hide=seed,noise");
  });

  it.each([
    { lr: 1e-300 }, { lr: 1e300 }, { lr: 0.1 + 0.2 }, { steps: 1_000_000_000 }, { start: [-1e-7, 1e21] }, { target: "a&b=c#d %,;:é\u{1f600}" },
    { race: [{}, { lr: 3e-5, optimizer: "adam" }] }, { step: 0 }, { hide: ["map"] }, { problem: "valley", lr: 2, steps: 3 },
  ])("brings back %j", (change) => expect(there(change)).toEqual(full(change)));

  it("says what the server was started with is otherwise now, even back at the default", () => {
    expect(encode(TABLE, defaults(TABLE), { lr: 0.3 })).toBe("lr=0.1");
  });

  it.each([
    "lr=0", "lr=-1", "lr=NaN", "lr=Infinity", "lr=1e301", "lr=", "lr=abc", "lr=0x10p", "steps=1.5", "steps=0", "steps=1e10", "problem=elsewhere", "unknown=1",
    "__proto__=1", "constructor=1", "start=1,a", "start=1,2,3", "start=1,", "race=lr:0", "race=steps:3", "race=__proto__:1", "race=lr:1;lr:1;lr:1;lr:1;lr:1;lr:1",
    "hide=everything", "lr=%", "lr=%E0%A4%A", "=", "lr", "<script>=1",
  ])("with %s sets nothing and says so", (link) => {
    const read = decode(TABLE, `#${link}`);
    expect(read.change).toEqual({});
    expect(read.notes).toHaveLength(1);
  });

  it("keeps what is right beside what is wrong", () => {
    expect(decode(TABLE, "#lr=0.5&steps=x&optimizer=adam").change).toEqual({ lr: 0.5, optimizer: "adam" });
  });

  it("of a megabyte is not read", () => expect(decode(TABLE, `#lr=0.5&target=${"x".repeat(1e6)}`).change).toEqual({}));

  it("leaves the prototype of all objects alone", () => {
    decode(TABLE, "#__proto__=1&race=__proto__:polluted,lr:1");
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });
});

describe("the store", () => {
  it("refuses what the table does not allow, and takes the rest", () => {
    const kept = store(TABLE, {});
    expect(kept.set({ lr: -1, steps: 7, nothing: 1 })).toEqual(["lr", "nothing"]);
    expect([kept.get().lr, kept.get().steps]).toEqual([0.1, 7]);
  });

  it("tells what changed, once, and by whom", () => {
    const told: unknown[] = [];
    const kept = store(TABLE, { lr: 0.3 });
    kept.subscribe((changed, by) => told.push([changed, by]));
    kept.set({ lr: 0.3, steps: 200 }, "a");
    kept.set({ lr: 0.4 }, "b");
    expect(told).toEqual([[["lr"], "b"]]);
  });

  it("sends only what differs", () => expect(differing(TABLE, full({ steps: 3 }))).toEqual({ steps: 3 }));

  it("does not hand out what it checks", () => {
    const given = [1, 2];
    const read = allowed(TABLE[4] as Field, given) as number[];
    given[0] = NaN;
    expect(read).toEqual([1, 2]);
  });
});
