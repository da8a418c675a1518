// Which rate is where on the slider?  places <-> rates, against the rates that the library walks.
import { describe, expect, it } from "vitest";
import { nudged, placeOf, places, valueAt } from "../src/slider";

const ENDS = [1e-6, 10] as const;

describe("the slider of the rate", () => {
  it("has 40 places for each of its seven decades", () => expect(places(...ENDS)).toBe(280));

  // surefoot.lab.chosen.rates(): places 0, 1, 40, 137, 200, 279, 280
  it.each([[0, 1e-6], [1, 1.06e-6], [40, 1e-5], [137, 0.00266], [200, 0.1], [279, 9.44], [280, 10]])("has at place %i the rate %d", (place, rate) => {
    expect(valueAt(place, ...ENDS)).toBe(rate);
  });

  it("finds every one of its rates again", () => {
    for (let place = 0; place <= 280; place++) expect(placeOf(valueAt(place, ...ENDS), ...ENDS)).toBe(place);
  });

  it("rises", () => {
    const rates = Array.from({ length: 281 }, (_, place) => valueAt(place, ...ENDS));
    expect([...rates].sort((one, other) => one - other)).toEqual(rates);
    expect(new Set(rates).size).toBe(281);
  });

  it.each([[1e-300, 0], [1e300, 280], [NaN, 0], [0, 0], [-1, 0]])("stands at an end for %d", (rate, place) => expect(placeOf(rate, ...ENDS)).toBe(place));

  it("of a count gives whole numbers", () => {
    for (let place = 0; place <= places(1, 5000); place++) expect(Number.isInteger(valueAt(place, 1, 5000, true))).toBe(true);
    expect(valueAt(places(1, 5000), 1, 5000, true)).toBe(5000);
  });
});

describe("an arrow key in the box", () => {
  it("multiplies, and back", () => expect(nudged(nudged(0.1, true), false)).toBeCloseTo(0.1, 3));
  it("stays above 0", () => expect(nudged(1e-300, false)).toBeGreaterThan(0));
});
