// Do words stand where they belong?  poles, marks and hosts of any size -> rows, entries, readings, columns by hand.
import { describe, expect, it } from "vitest";
import { axis, placed } from "../../src/draw/axes";
import { flagged } from "../../src/draw/flags";
import { entries } from "../../src/draw/legend";
import type { Layer, Marks } from "../../src/draw/marks";
import { columnsOf } from "../../src/draw/multiples";
import { slopeAt } from "../../src/draw/overlays";
import { reading } from "../../src/draw/readout";
import { grid, saidAt } from "../../src/draw/samples";

const line = (label: string, y: number[], faint = false): Layer => ({
  type: "line",
  x: y.map((_, k) => k),
  y,
  colour: "blue",
  label,
  style: "solid",
  faint,
});

function marksOf(layers: Layer[], more: Partial<Marks> = {}): Marks {
  return {
    type: "marks",
    title: "t",
    x_label: "step",
    y_label: "loss",
    x_limits: [0, 10],
    y_limits: [0, 10],
    x_scale: "linear",
    y_scale: "linear",
    x_whole: true,
    frameless: false,
    notes: [],
    caption: "",
    layers,
    ...more,
  };
}

const at = placed(axis([0, 10], "linear"), axis([0, 10], "linear"), { left: 0, top: 0, width: 100, height: 100 });

describe("flags", () => {
  it("hang in one row where they have room", () =>
    expect(flagged([0, 100, 200], [50, 50, 50], 300).map(({ row }) => row)).toEqual([0, 0, 0]));

  it("hang above those of the poles they pass", () =>
    expect(flagged([0, 20, 40], [50, 50, 50], 300).map(({ row }) => row)).toEqual([2, 1, 0]));

  it("are pushed in at the right edge", () => expect(flagged([290], [50], 300)).toEqual([{ left: 250, row: 0 }]));
});

describe("legend", () => {
  const rule: Layer = { type: "rule", at: 1, label: "use 0.1", colour: "green", style: "solid" };
  it("names what has a label; rules only where flags have no room", () => {
    const marks = marksOf([line("", [1]), line("a", [1]), rule]);
    expect(entries(marks).map(({ label }) => label)).toEqual(["a"]);
    expect(entries(marks, true).map(({ label }) => label)).toEqual(["a", "use 0.1"]);
  });

  it("says what crosses on grey are", () => {
    const heat: Layer = {
      type: "heat",
      x: [1, 2],
      y: [1],
      values: [1, NaN],
      diverged: [0, 1],
      limits: [0, 1],
      scale: "linear",
      label: "loss",
    };
    expect(entries(marksOf([heat])).map(({ label }) => label)).toEqual(["diverged"]);
    expect(entries(marksOf([{ ...heat, diverged: [0, 0] }]))).toEqual([]);
  });
});

describe("readout", () => {
  it("gives every curve at the nearest step", () => {
    const found = reading(marksOf([line("a", [5, 4, 3]), line("", [2, NaN, 1])]), 1.2, 9, at)!;
    expect(found.heading).toBe("step 1");
    expect(found.values.map(({ label, text }) => [label, text])).toEqual([["a", "4"]]);
    expect(reading(marksOf([line("", [2, NaN, 1])]), 2.1, 9, at)!.values[0]).toMatchObject({ label: "loss", text: "1" });
  });

  it("does not reach for what is far away", () => expect(reading(marksOf([line("a", [5, 4])]), 8, 5, at)).toBeNull());

  it("names the cell of a map", () => {
    const heat: Layer = {
      type: "heat",
      x: [1, 9],
      y: [1, 9],
      values: [0.25, NaN, 3, NaN],
      diverged: [0, 1, 0, 0],
      limits: [0, 1],
      scale: "linear",
      label: "loss",
    };
    const read = (x: number, y: number): string => reading(marksOf([heat], { x_whole: false }), x, y, at)!.values[0]!.text;
    expect([read(1, 1), read(9, 1), read(1, 9), read(9, 9)]).toEqual(["0.25", "diverged", "3", "not measured"]);
  });

  it("names a point under the pointer", () => {
    const point: Layer = { type: "points", x: [5], y: [1e-6], colour: "red", label: "end", shape: "square", faint: false };
    expect(reading(marksOf([point]), 5.5, 0.2, at)!.values).toEqual([{ colour: "red", label: "end", text: "5, 1e-6" }]);
  });
});

describe("room", () => {
  it("columns make panels largest", () => {
    expect([
      columnsOf(4, 400, 400),
      columnsOf(3, 900, 200),
      columnsOf(3, 200, 900),
      columnsOf(1, 10, 10),
      columnsOf(6, 360, 640),
    ]).toEqual([2, 3, 1, 1, 2]);
  });

  it("samples fill the host and no more", () => {
    const { columns, size } = grid(30, 260, 160, 1);
    expect(columns * (size + 5)).toBeLessThanOrEqual(260);
    expect(Math.ceil(30 / columns) * (size + 20)).toBeLessThanOrEqual(160);
  });
});

describe("samples", () => {
  const names = { truth: ["3", "8"], names: ["zero", "3", "8"] };
  it("show what was said at the last measured step", () => {
    const predicted = { steps: [0, 10, 20], classes: [1, 1, 2, 2, 1, 2] };
    expect([0, 9, 10, 15, 99].map((step) => saidAt(predicted, step, names).join())).toEqual(["3,3", "3,3", "8,8", "8,8", "3,8"]);
  });

  it("say nothing where nothing was predicted", () => expect(saidAt({ steps: [0], classes: [NaN] }, 0, names)).toEqual(["", ""]));
});

describe("tangent", () => {
  const x = Array.from({ length: 101 }, (_, k) => -2 + k / 25);
  it("has the slope of the curve", () => {
    const curve = { x, loss: x.map((value) => value ** 2) };
    for (const value of [-1.5, 0, 0.33, 1.9]) expect(slopeAt(curve, value)).toBeCloseTo(2 * value, 1);
    expect(slopeAt(curve, 7)).toBeNaN();
  });
});
