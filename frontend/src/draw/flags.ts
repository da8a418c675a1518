// Where does the name of a rule stand?  positions + widths of the names -> rows above the picture, no pole through a flag.

export const MOST_ROWS = 0.3; // of the height: with more flags than that, the names stand in the key

export type Flag = { left: number; row: number };

const GAP = 8; // pixels between two flags in a row

/** Flags fly to the right of their poles, or are pushed left at the edge; one that passes other poles hangs above their flags. */
export function flagged(poles: readonly number[], widths: readonly number[], right: number): Flag[] {
  const found: Flag[] = poles.map(() => ({ left: 0, row: 0 }));
  const hung: { left: number; row: number }[] = [];
  const order = poles.map((_, place) => place).sort((a, b) => poles[b]! - poles[a]!);
  for (const place of order) {
    const left = Math.min(poles[place]!, right - widths[place]!);
    const row = Math.max(0, ...hung.filter((flag) => flag.left < left + widths[place]! + GAP).map((flag) => flag.row + 1));
    hung.push((found[place] = { left, row }));
  }
  return found;
}
