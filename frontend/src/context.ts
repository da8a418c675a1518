// What do all parts of the page share?  the state, the questions, the words -> one value handed to each of them.
import type { Glossary } from "./glossary";
import type { Store } from "./state";
import type { Welcome } from "./wire";

export interface Context {
  root: HTMLElement;
  store: Store;
  welcome: Welcome;
  glossary: Glossary;
  /** False in a report: there is nobody to ask. */
  computes: boolean;
  /** Puts a question with the state and more; returns its number. */
  ask(kind: string, more?: Record<string, unknown>): number;
  /** A sentence for the reader, for a while. */
  tell(text: string): void;
}
