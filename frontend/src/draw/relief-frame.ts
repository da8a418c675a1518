// What stands around a mountain range?  limits + names + direction -> floor, walls, edges and numbers of the box.

import { fittingTicks } from "./format";
import type { Limits, Scale } from "./marks";
import { boxed, dot, height, TALL, type Direction, type Triple } from "./projection";

export type Stroke = { points: Triple[]; strong: boolean };
export type Word = {
  at: Triple;
  text: string;
  across: CanvasTextAlign;
  upright: CanvasTextBaseline;
  shift: [number, number];
  along?: Triple;
};
export type Frame = { strokes: Stroke[]; words: Word[] };

export type Named = { x: Limits; y: Limits; limits: Limits; scale: Scale; names: readonly string[] };

/** From the edge of the floor to its numbers, and to its name. */
export type Room = readonly [number, number];

/** A grid on the floor and the two walls behind, the edges of the floor, the upright axis, with at most so many numbers each. */
export function around(named: Named, from: Direction, most: number, room: Room): Frame {
  const near: [number, number] = [from.towards[0] < 0 ? -1 : 1, from.towards[1] < 0 ? -1 : 1];
  const left = leftOf(near, from);
  const numbers = [
    numbersOf(named.x, "linear", most),
    numbersOf(named.y, "linear", most),
    numbersOf(named.limits, named.scale, most),
  ] as const;
  const [x, y, z] = [
    numbers[0].at.map((value) => boxed(value, ...named.x)),
    numbers[1].at.map((value) => boxed(value, ...named.y)),
    numbers[2].at.map((value) => height(value, named.limits, named.scale)),
  ];
  return {
    strokes: [...walls(x, y, z, near, left), ...edges(left)],
    words: [
      ...beside(0, x, numbers[0].labels, named.names[0] ?? "", near, from, room),
      ...beside(1, y, numbers[1].labels, named.names[1] ?? "", near, from, room),
      ...uprightWords(z, numbers[2].labels, left),
    ],
  };
}

function numbersOf(limits: Limits, scale: Scale, most: number): { at: number[]; labels: string[] } {
  return fittingTicks(limits, scale, most, false, () => true);
}

/** The corner of the floor at the left. */
function leftOf(near: [number, number], from: Direction): [number, number] {
  const beside: [number, number] = [near[0], -near[1]];
  return dot([...beside, 0], from.right) < 0 ? beside : [-near[0], near[1]];
}

function walls(x: number[], y: number[], z: number[], near: [number, number], left: [number, number]): Stroke[] {
  const far: [number, number] = [-near[0], -near[1]];
  const lines: Triple[][] = [
    ...x.map((at): Triple[] => [
      [at, -1, 0],
      [at, 1, 0],
    ]),
    ...y.map((at): Triple[] => [
      [-1, at, 0],
      [1, at, 0],
    ]),
    ...[...z, TALL].map((at): Triple[] => [
      [-far[0], far[1], at],
      [far[0], far[1], at],
      [far[0], -far[1], at],
    ]),
    ...[far, [-left[0], -left[1]]].map((corner): Triple[] => [
      [corner[0]!, corner[1]!, 0],
      [corner[0]!, corner[1]!, TALL],
    ]),
  ];
  return lines.map((points) => ({ points, strong: false }));
}

function edges(left: [number, number]): Stroke[] {
  const floor: Triple[] = [
    [-1, -1, 0],
    [1, -1, 0],
    [1, 1, 0],
    [-1, 1, 0],
    [-1, -1, 0],
  ];
  return [
    { points: floor, strong: true },
    {
      points: [
        [...left, 0],
        [...left, TALL],
      ],
      strong: true,
    },
  ];
}

/** The numbers and the name along an edge of the floor that is towards the viewer. */
function beside(
  axis: 0 | 1,
  at: number[],
  labels: string[],
  name: string,
  near: [number, number],
  from: Direction,
  room: Room,
): Word[] {
  const other = axis === 0 ? 1 : 0;
  const outwards = near[other]!;
  const across = outwards * from.right[other]!;
  const side: CanvasTextAlign = Math.abs(across) < 0.2 ? "center" : across > 0 ? "left" : "right";
  const place = (along: number, away: number): Triple => (axis === 0 ? [along, outwards * away, 0] : [outwards * away, along, 0]);
  const word = (where: Triple, text: string): Word => ({ at: where, text, across: side, upright: "top", shift: [0, 0] });
  return [
    ...at.map((value, k) => word(place(value, 1 + room[0]), labels[k]!)),
    { ...word(place(0, 1 + room[1]), name), along: axis === 0 ? [1, 0, 0] : [0, 1, 0] },
  ];
}

function uprightWords(z: number[], labels: string[], left: [number, number]): Word[] {
  const numbers = z.map((at, k): Word => ({
    at: [...left, at],
    text: labels[k]!,
    across: "right",
    upright: "middle",
    shift: [-6, 0],
  }));
  return [...numbers, { at: [...left, TALL], text: "loss", across: "center", upright: "bottom", shift: [0, -6] }];
}
