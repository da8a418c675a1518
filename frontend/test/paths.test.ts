// How far is a path walked, and what does this step compute?  steps kept + moments -> places; numbers -> a line of arithmetic.
import { describe, expect, it } from "vitest";
import { lastFinite, placeOn, reached } from "../src/paths";
import { arithmetic } from "../src/rule";
import { pieces } from "../src/glossary";
import { csv } from "../src/download";
import type { Racer } from "../src/wire";

const f32 = (...values: number[]): Float32Array => Float32Array.from(values);

describe("a path that keeps every tenth step", () => {
  const steps = f32(0, 10, 20, 30);
  it.each([[0, 1], [9, 1], [10, 2], [29, 3], [30, 4], [99, 4], [-1, 0]])("has at step %i reached %i of its points", (step, count) => expect(reached(steps, step)).toBe(count));
  it("moves evenly between its points", () => expect([0, 5, 10, 25, 30, 99].map((moment) => placeOn({ steps, last: 3 }, moment))).toEqual([0, 0.5, 1, 2.5, 3, 3]));
  it("stops where the numbers ran out", () => expect(placeOn({ steps, last: 1 }, 29)).toBe(1));
});

it("the last finite point of a path that diverged is found", () => {
  expect(lastFinite(f32(1, 2, 3, 4, 5, NaN, 7, 8), 2)).toBe(1);
  expect(lastFinite(f32(1, 2, 3, 4), 2)).toBe(1);
  expect(lastFinite(f32(Infinity), 1)).toBe(0);
});

describe("the update rule", () => {
  const rule = { before: f32(0.31, 1), direction: f32(-2.4, 3), after: f32(0.43, 0.85), word: "gradient" };
  it("is arithmetic with this step's numbers", () => {
    expect(arithmetic(rule, ["w", "b"], 0, 0, 0.05)).toBe("w ← 0.31 − 0.05 × (−2.4) = 0.43");
    expect(arithmetic(rule, ["w", "b"], 1, 0, 0.05)).toBe("b ← 1 − 0.05 × 3 = 0.85");
  });
  it("of a guess says so", () => expect(arithmetic({ ...rule, word: "guess" }, ["w", "b"], 0, 0, 0.05)).toBe("w ← 0.43, a guess"));
});

describe("terms in a text", () => {
  const terms = ["step", "learning rate", "rate", "loss"].map((name) => ({ name, short: "", more: "" }));
  const found = (text: string): string[] => pieces(text, terms).filter((piece) => piece.term).map((piece) => piece.text);
  it("are found once each, the longest first, in any case", () => expect(found("The Learning rate and the rate: a step is a step.")).toEqual(["Learning rate", "rate", "step"]));
  it("are whole words, in the plural too", () => expect(found("lossless stepwise steps")).toEqual(["steps"]));
  it("leave the text as it was", () => {
    const text = "loss, step; (rate) $& \\1 <b>loss</b>";
    expect(pieces(text, terms).map((piece) => piece.text).join("")).toBe(text);
  });
});

it("a trace as CSV has one row for each step of each descent", () => {
  const racer = { rows: 2, rate: f32(0.5, 0.25), loss: f32(1, NaN), grad_norm: f32(2, 4), update_norm: f32(1, 1) } as unknown as Racer;
  expect(csv([racer, racer]).split("\n")).toEqual(["descent,step,lr,loss,grad_norm,update_norm", "1,0,0.5,1,2,1", "1,1,0.25,NaN,4,1", "2,0,0.5,1,2,1", "2,1,0.25,NaN,4,1", ""]);
});
