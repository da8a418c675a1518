// Does the playhead run as it should?  seconds, speeds, hands -> steps.
import { describe, expect, it } from "vitest";
import { advanced, moved, pace, paused, played, stepOf, type Playhead } from "../src/player";

const END: Playhead = { at: -1, playing: false };
const run = (rows: number, speed: number, frame = 1 / 60): number => {
  let [head, seconds] = [played(END, rows), 0];
  while (head.playing && seconds < 100) [head, seconds] = [advanced(head, frame, rows, speed), seconds + frame];
  return seconds;
};

describe("the playhead", () => {
  it.each([[200, 1, 4], [20_000, 1, 4], [200, 10, 0.4], [200, 0.5, 8], [4, 1, 2]])("takes %i steps at speed %d in %d seconds", (rows, speed, seconds) => {
    expect(run(rows, speed)).toBeCloseTo(seconds, 1);
  });

  it("does not depend on how often it is drawn", () => expect(run(200, 1, 1 / 10)).toBeCloseTo(run(200, 1, 1 / 240), 0));

  it("stops at the end", () => expect(advanced({ at: 199, playing: true }, 1, 200, 1)).toEqual(END));

  it("begins anew when it stood at the end, else goes on", () => {
    expect(played(END, 200)).toEqual({ at: 0, playing: true });
    expect(played({ at: 200, playing: false }, 200).at).toBe(0);
    expect(played({ at: 50, playing: false }, 200).at).toBe(50);
  });

  it("is paused on a whole step", () => expect(paused({ at: 12.7, playing: true }, 200)).toEqual({ at: 12, playing: false }));

  it("stands still while it does not play", () => expect(advanced({ at: 3, playing: false }, 10, 200, 1).at).toBe(3));

  it("cannot be moved out of the run", () => {
    expect([moved(-5, 200).at, moved(1e9, 200).at, moved(3.4, 200).at]).toEqual([0, -1, 3]);
  });

  it("is a whole step of a run, and of one that has become shorter", () => {
    expect([stepOf(END, 200), stepOf({ at: 150.9, playing: true }, 200), stepOf({ at: 150, playing: false }, 60), stepOf(END, 0)]).toEqual([200, 150, 60, 0]);
  });

  it("has a pace for a run without rows", () => expect(pace(0)).toBeGreaterThan(0));
});
