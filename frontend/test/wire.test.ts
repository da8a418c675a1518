// Is a frame read as it was written?  frames made by hand, byte by byte -> messages, or an error where it is none.
import { describe, expect, it } from "vitest";
import { unpack, unpackAll, type Scene } from "../src/wire";

/** A frame as the server makes it: length, JSON filled up with spaces, floats. */
function frame(header: string, floats: number[] = []): ArrayBuffer {
  const text = new TextEncoder().encode(header);
  const length = Math.ceil(text.length / 4) * 4;
  const bytes = new Uint8Array(4 + length + 4 * floats.length).fill(32);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, length, true);
  bytes.set(text, 4);
  floats.forEach((value, index) => view.setFloat32(4 + length + 4 * index, value, true));
  return bytes.buffer;
}

describe("a frame", () => {
  it("is a message whose arrays are float32, at any depth", () => {
    const message = unpack(frame('{"kind":"scene","racers":[{"loss":{"f32":[0,2]}},{"loss":{"f32":[2,3]}}]}', [1, 0.1, NaN, Infinity, -2])) as Scene;
    expect([...(message.racers[0]?.loss ?? [])]).toEqual([1, Math.fround(0.1)]);
    expect([...(message.racers[1]?.loss ?? [])]).toEqual([NaN, Infinity, -2]);
    expect(message.racers[0]?.loss).toBeInstanceOf(Float32Array);
  });

  it("holds any letters", () => expect(unpack(frame('{"kind":"trouble","text":"λ ≤ 2/L \u{1f9d7}"}'))).toEqual({ kind: "trouble", text: "λ ≤ 2/L \u{1f9d7}" }));

  it("may hold no array, and an empty one", () => {
    expect((unpack(frame('{"kind":"x","a":{"f32":[0,0]}}')) as unknown as { a: Float32Array }).a).toHaveLength(0);
  });

  it.each([
    ["nothing", new ArrayBuffer(0)],
    ["three bytes", new ArrayBuffer(3)],
    ["a length beyond its end", Uint8Array.from([255, 255, 255, 255, 0, 0, 0, 0]).buffer],
    ["no JSON", frame("nonsense")],
    ["an array beyond its end", frame('{"a":{"f32":[1,2]}}', [1, 2])],
    ["an array before its start", frame('{"a":{"f32":[-1,1]}}', [1, 2])],
  ])("of %s is an error", (_what, bytes) => expect(() => unpack(bytes as ArrayBuffer)).toThrow());

  it("follows another in a report", () => {
    const frames = [frame('{"kind":"a","x":{"f32":[0,1]}}', [7]), frame('{"kind":"bb"}')];
    const whole = new Uint8Array(frames.reduce((sum, each) => sum + 4 + each.byteLength, 0));
    let at = 0;
    for (const each of frames) {
      new DataView(whole.buffer).setUint32(at, each.byteLength, true);
      whole.set(new Uint8Array(each), at + 4);
      at += 4 + each.byteLength;
    }
    expect(unpackAll(whole.buffer).map((message) => message.kind)).toEqual(["a", "bb"]);
  });
});
