// Do numbers read as in every other renderer?  figures/scales.py's answers -> the same text, ticks and edges.
import { describe, expect, it } from "vitest";
import { axis, along, edges, inBox, nearestIn, placed } from "../../src/draw/axes";
import { fittingTicks, minorTicks, number, tickLabels, ticks } from "../../src/draw/format";
import type { Limits, Scale } from "../../src/draw/marks";
import python from "./fixtures/numbers.json";

describe("numbers", () => {
  it.each(python.numbers as [number, string][])("%d reads %s", (value, text) => expect(number(value)).toBe(text));

  it("says in words what is no number", () => {
    expect([NaN, null, undefined, Infinity, -Infinity].map((value) => number(value))).toEqual([
      "not a number",
      "not a number",
      "not a number",
      "infinite",
      "minus infinite",
    ]);
  });

  it("does not show what single precision added", () => expect(number(Math.fround(0.1))).toBe("0.1"));
});

describe("ticks", () => {
  it.each(python.ticks as [number[], Scale, number, number[], string[]][])(
    "%j %s, at most %i",
    (limits, scale, most, at, labels) => {
      const found = ticks(limits as unknown as Limits, scale, most);
      expect(found).toEqual(at);
      expect(tickLabels(found)).toEqual(labels);
    },
  );

  it.each(python.whole as [number[], number, number[]][])("whole numbers in %j", (limits, most, at) => {
    expect(ticks(limits as unknown as Limits, "linear", most, true)).toEqual(at);
  });

  it("has none where there is no axis", () => {
    expect([ticks([-1.7e308, 1.7e308], "linear", 5), ticks([0, 5e-324], "linear", 5)].every((found) => found.length <= 5)).toBe(
      true,
    );
    expect([ticks([NaN, 1], "linear", 5), ticks([0, 1], "log", 5), ticks([2, 1], "linear", 5)]).toEqual([[], [], []]);
  });

  it("prints real numbers on a log axis, and the small ticks between them", () => {
    expect(tickLabels(ticks([1e-6, 1], "log", 4))).toEqual(["1e-6", "1e-4", "0.01", "1"]);
    expect(minorTicks([0.5, 25], "log")).toEqual([0.5, 0.6, 0.7, 0.8, 0.9, 2, 3, 4, 5, 6, 7, 8, 9, 20]);
  });

  it("takes fewer where the labels have no room, and never one alone where two fit", () => {
    expect(fittingTicks([0, 100], "linear", 7, false, (labels) => labels.length <= 3).at).toEqual([0, 50, 100]);
    expect(fittingTicks([-4.9, 4.7], "linear", 2, false, () => true).at.length).toBeGreaterThan(1);
  });
});

describe("axes", () => {
  it.each(python.edges as [Scale, number[], number[]][])("edges of cells, %s", (scale, centres, expected) => {
    edges(centres, scale).forEach((edge, k) => expect(edge).toBeCloseTo(expected[k]!, 10));
  });

  it.each([
    ["linear", [-1.7e308, 1.7e308]],
    ["log", [5e-324, 1e308]],
    ["linear", [1, 1 + 1e-13]],
    ["log", [1e-3, 10]],
  ] as [Scale, Limits][])("%s %j goes there and back", (scale, limits) => {
    const { to, back } = axis(limits, scale);
    expect([to(limits[0]), to(limits[1])]).toEqual([0, 1]);
    expect(to(back(0.25))).toBeCloseTo(0.25, 2);
  });

  it("keeps pixels within what a canvas can draw, and gaps gaps", () => {
    const at = placed(axis([0, 1], "linear"), axis([1e-3, 1], "log"), { left: 10, top: 20, width: 100, height: 50 });
    expect(at(0.5, 1)).toEqual([60, 20]);
    expect(at(0, 1e-3)).toEqual([10, 70]);
    expect(at(1e300, 0)).toEqual([1e6, 1e6]);
    expect(at(0, NaN)[1]).toBeNaN();
  });

  it("cuts segments at the box and its room", () => {
    const box = { left: 0, top: 0, width: 100, height: 50 };
    expect(inBox([50, 25], [50, -1e6], box, 10)).toEqual([50, 25, 50, -10]);
    expect(inBox([-1e3, 25], [1e3, 25], box, 0)).toEqual([0, 25, 100, 25]);
    expect(inBox([-1, 60], [-1, -60], box, 0)).toBeNull();
    expect(inBox([-50, 40], [50, 140], box, 0)).toBeNull();
    expect(inBox([10, 10], [20, 20], box, 0)).toEqual([10, 10, 20, 20]);
  });

  it("reads a curve between its points", () => {
    const x = [0, 1, 2, 4];
    expect([0.5, 3, 4, 5].map((value) => along(x, [0, 10, 20, 0], value))).toEqual([5, 10, 0, NaN]);
    expect([-1, 0.4, 0.6, 9].map((value) => nearestIn(x, value))).toEqual([0, 0, 1, 3]);
  });
});
