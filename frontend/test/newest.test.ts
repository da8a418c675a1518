// Is only the newest question asked?  questions faster than answers -> one under way of a kind, nothing queued, nothing old shown.
import { describe, expect, it } from "vitest";
import { newest, type Asked } from "../src/newest";

function bench(): { sent: Asked[]; cancelled: string[]; queue: ReturnType<typeof newest>; clock: { now: number } } {
  const [sent, cancelled, clock] = [[] as Asked[], [] as string[], { now: 0 }];
  return { sent, cancelled, clock, queue: newest((asked) => sent.push(asked), (kind, waited) => cancelled.push(`${kind} ${waited}`), () => clock.now) };
}

describe("questions", () => {
  it("wait while one of their kind is under way, and only the newest of them is ever asked", () => {
    const { sent, queue } = bench();
    const first = queue.ask("descend", { lr: 0 });
    for (let lr = 1; lr <= 1000; lr++) queue.ask("descend", { lr });
    expect(sent).toHaveLength(1);
    queue.answered("descend", first, true);
    expect(sent.map((each) => each.lr)).toEqual([0, 1000]);
  });

  it("of different kinds do not wait for each other", () => {
    const { sent, queue } = bench();
    queue.ask("surface", {});
    queue.ask("descend", {});
    expect(sent.map((each) => each.ask)).toEqual(["surface", "descend"]);
  });

  it("stay under way while partial answers come", () => {
    const { sent, queue } = bench();
    const first = queue.ask("descend", {});
    queue.ask("descend", {});
    expect(queue.answered("descend", first, false)).toBe(true);
    expect([sent.length, queue.busy("descend")]).toEqual([1, true]);
  });

  it("have numbers that rise", () => {
    const { queue } = bench();
    const numbers = [queue.ask("a", {}), queue.ask("b", {}), queue.number(), queue.ask("a", {})];
    expect([...numbers].sort((one, other) => one - other)).toEqual(numbers);
  });

  it("tell how long the older one has been under way when a newer one waits", () => {
    const { queue, cancelled, clock } = bench();
    queue.ask("surface", {});
    clock.now = 40;
    queue.ask("surface", {});
    expect(cancelled).toEqual(["surface 40"]);
  });
});

describe("answers", () => {
  it("older than what is shown are dropped", () => {
    const { queue } = bench();
    const [old, young] = [queue.ask("a", {}), queue.number()];
    expect(queue.answered("a", young, true)).toBe(true);
    expect(queue.answered("a", old, true)).toBe(false);
  });

  it("to nothing that is under way do not free the way", () => {
    const { queue } = bench();
    const first = queue.ask("a", {});
    queue.answered("a", first + 100, true);
    expect(queue.current("a")).toBe(first);
  });

  it("that never came are forgotten with the connection, and what waited too", () => {
    const { sent, queue } = bench();
    queue.ask("a", { x: 1 });
    queue.ask("a", { x: 2 });
    queue.reset();
    queue.ask("a", { x: 3 });
    expect(sent.map((each) => each.x)).toEqual([1, 3]);
  });
});
