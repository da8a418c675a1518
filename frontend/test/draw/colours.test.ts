// Are colours those of matplotlib, and seen on their paper?  its scales + WCAG 2.2's contrast -> differences and ratios.
import { describe, expect, it } from "vitest";
import { contrast, css, dashes, NAMES, onScale, painted, parsed, rim, share, type Theme } from "../../src/draw/colours";
import type { Style } from "../../src/draw/marks";
import { CIVIDIS, VIRIDIS } from "../../src/draw/scales";
import python from "./fixtures/colours.json";

const PAPERS: [string, Theme][] = ["#ffffff", "#f6f6f4", "#16181d", "#23272f"].map((paper, k) => [
  paper,
  { dark: k > 1, ink: k > 1 ? "#e8e8e8" : "#111111", paper },
]);
const SHARES = Array.from({ length: 21 }, (_, k) => k / 20);

describe("scales", () => {
  it.each([
    ["viridis", VIRIDIS],
    ["cividis", CIVIDIS],
  ] as const)("%s is matplotlib's to 1/255", (name, map) => {
    const off = python[name].flatMap((rgb, step) => onScale((step + 0.5) / 256, map).map((part, k) => Math.abs(part - rgb[k]!)));
    expect(off.length).toBe(768);
    expect(Math.max(...off)).toBeLessThanOrEqual(1);
  });

  it("areas have the scale of the other renderers", () => {
    const ends = python[python.map as "viridis"];
    expect(onScale(0)).toEqual(ends[0]!.map(Math.round));
    expect(onScale(1)).toEqual(ends[255]!.map(Math.round));
    expect(onScale(NaN)).toEqual(onScale(-3));
  });

  it("values beyond the limits have the colour of the nearest end", () => {
    expect([0.5, 1, 10, 100, 1000].map((value) => share(value, [1, 100], "log"))).toEqual([0, 0, 0.5, 1, 1]);
    expect([-1, 5, 20].map((value) => share(value, [0, 10], "linear"))).toEqual([0, 0.5, 1]);
  });
});

describe("names", () => {
  it("are those of layers.py", () => expect([...NAMES].sort()).toEqual([...python.names].sort()));

  it.each(PAPERS)("have 3:1 and more on %s", (paper, theme) => {
    for (const name of NAMES) expect(contrast(painted(name, theme), paper), name).toBeGreaterThanOrEqual(3);
  });

  it.each(PAPERS.filter(([paper]) => paper === "#ffffff" || paper === "#16181d"))("so have numbers on %s", (paper, theme) => {
    for (const part of SHARES) expect(contrast(hex(painted(part, theme)), paper), String(part)).toBeGreaterThanOrEqual(3);
  });

  it("are told apart", () => {
    for (const [, theme] of PAPERS) expect(new Set(NAMES.map((name) => painted(name, theme))).size).toBe(NAMES.length);
  });
});

describe("text of colours", () => {
  it("is read in the forms that browsers write", () => {
    expect(["#fff", "#102030", "rgb(1, 2, 3)", "rgba(1, 2, 3, 0.5)", "rgba(0, 0, 0, 0)", "transparent"].map(parsed)).toEqual([
      [255, 255, 255],
      [16, 32, 48],
      [1, 2, 3],
      [1, 2, 3],
      null,
      null,
    ]);
    expect(css([1, 2, 3])).toBe("rgb(1,2,3)");
  });

  it("rims set off from what they surround", () => {
    expect(rim("#ffffff")).toContain("0,0,0");
    expect(rim("#000000")).toContain("255,255,255");
  });

  it("styles have dashes of their own", () => {
    const styles: Style[] = ["solid", "dashed", "dotted", "dashdot"];
    expect(new Set(styles.map((style) => dashes(style).join())).size).toBe(4);
    expect(dashes("solid")).toEqual([]);
  });
});

function hex(colour: string): string {
  return `#${parsed(colour)!
    .map((part) => part.toString(16).padStart(2, "0"))
    .join("")}`;
}
