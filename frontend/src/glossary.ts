// What does this word mean?  a text -> the same text, its terms underlined, each with its explanation on hover, focus and tap.
import { h, show, unique } from "./dom";
import type { Term } from "./wire";

export interface Glossary {
  /** The text, the first place of every term in it explained. */
  text(text: string): Node[];
  /** One label, explained where it is a term. */
  label(text: string, term?: string): Node;
}

/** A piece of a text: plain, or a term. */
export interface Piece { text: string; term: Term | null }

/** Cuts a text at the first place of every term; the longest term wins. */
export function pieces(text: string, terms: Term[]): Piece[] {
  const found: { from: number; to: number; term: Term }[] = [];
  for (const term of [...terms].sort((one, other) => other.name.length - one.name.length)) {
    const free = placesOf(text, term.name).find(([from, to]) => !found.some((each) => each.from < to && from < each.to));
    if (free) found.push({ from: free[0], to: free[1], term });
  }
  found.sort((one, other) => one.from - other.from);
  const cut: Piece[] = [];
  let at = 0;
  for (const { from, to, term } of found) {
    if (from > at) cut.push({ text: text.slice(at, from), term: null });
    cut.push({ text: text.slice(from, to), term });
    at = to;
  }
  if (at < text.length) cut.push({ text: text.slice(at), term: null });
  return cut;
}

/** Where a name stands as a whole word, in the plural too. */
function placesOf(text: string, name: string): [from: number, to: number][] {
  const escaped = name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const all = text.matchAll(new RegExp(`(?<![\\p{L}\\p{N}-])${escaped}s?(?![\\p{L}\\p{N}-])`, "giu"));
  return [...all].map((match) => [match.index, match.index + match[0].length]);
}

export function glossary(root: HTMLElement, terms: Term[]): Glossary {
  const short = h("p");
  const more = h("p", { class: "more" });
  const hint = h("p", { class: "quiet" }, "Enter or click: more");
  const bubble = h("div", { class: "bubble", role: "tooltip", id: unique("term"), hidden: true }, short, more, hint);
  let owner: HTMLElement | null = null;
  root.append(bubble);

  function open(word: HTMLElement, term: Term, long: boolean): void {
    owner = word;
    short.textContent = term.short;
    more.textContent = term.more;
    show(more, long);
    show(hint, !long);
    show(bubble, true);
    word.setAttribute("aria-describedby", bubble.id);
    word.setAttribute("aria-expanded", String(long));
    place(root, bubble, word);
  }
  function close(): void {
    owner?.removeAttribute("aria-describedby");
    owner?.setAttribute("aria-expanded", "false");
    owner = null;
    show(bubble, false);
  }
  root.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !owner) return;
    close();
    event.stopPropagation();
  });
  bubble.addEventListener("pointerleave", close);

  function word(text: string, term: Term): HTMLElement {
    // no <button>: that is a box in a line of text, and would break the line around it
    const element = h("span", { role: "button", tabindex: 0, class: "term", "aria-expanded": "false", "aria-label": `${text}: what is it?` }, text);
    element.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && open(element, term, false));
    element.addEventListener("pointerleave", (event) => !bubble.contains(event.relatedTarget as Node | null) && close());
    element.addEventListener("focus", () => element.matches(":focus-visible") && open(element, term, false));
    element.addEventListener("blur", close);
    element.addEventListener("click", (event) => {
      event.preventDefault(); // inside a label the click would move on to its control
      open(element, term, true);
    });
    element.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      open(element, term, true);
    });
    return element;
  }
  const nodes = (text: string): Node[] =>
    pieces(text, terms).map((piece) => (piece.term ? word(piece.text, piece.term) : document.createTextNode(piece.text)));
  return {
    text: nodes,
    label(text, name) {
      const term = terms.find((each) => each.name.toLowerCase() === (name ?? text).toLowerCase());
      return term ? word(text, term) : document.createTextNode(text);
    },
  };
}

/** Below the word where there is room, else above it; never outside of the window. Places are counted from the corner of the root. */
function place(root: HTMLElement, bubble: HTMLElement, word: HTMLElement): void {
  const at = word.getBoundingClientRect();
  const size = bubble.getBoundingClientRect();
  const corner = root.getBoundingClientRect();
  const below = at.bottom + 4 + size.height < innerHeight;
  const left = Math.max(8, Math.min(at.left, innerWidth - size.width - 8));
  const top = below ? at.bottom + 4 : Math.max(8, at.top - size.height - 4);
  bubble.style.left = `${left - corner.left}px`;
  bubble.style.top = `${top - corner.top}px`;
}
