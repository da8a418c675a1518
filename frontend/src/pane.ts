// What stands in one cell of the grid?  a name -> title, picture, words instead of it where there is none, a caption.
import { button, h, say, show } from "./dom";
import { multiples, type Multiples } from "./draw/multiples";
import { picture, type Picture as Single } from "./draw/picture";
import type { Panels, Picture } from "./wire";
import { PANES } from "./words";

export interface Pane {
  name: string;
  element: HTMLElement;
  head: HTMLElement;
  host: HTMLElement;
  /** Words instead of the picture, perhaps with something to do; null: the picture is there. */
  instead(text: string | null, act?: { text: string; onclick: () => void }): void;
  caption(text: string): void;
  title(text: string): void;
}

export function pane(name: string): Pane {
  const host = h("div", { class: "host" });
  const words = h("div", { class: "instead", hidden: true });
  const under = h("p", { class: "caption quiet", hidden: true });
  const id = `sf-pane-${name}`;
  const title = h("h3", { id }, PANES[name] ?? name);
  const head = h("header", {}, title);
  const element = h("section", { class: `pane pane-${name}`, "aria-labelledby": id }, head, h("div", { class: "stage" }, host, words), under);
  let said = "";
  return {
    name, element, host, head,
    title: (text) => say(title, text),
    instead(text, act) {
      show(words, text !== null);
      host.classList.toggle("away", text !== null);
      const now = `${text}|${act?.text}`;
      if (now === said) return;
      said = now;
      words.replaceChildren(h("p", {}, text ?? ""), ...(act ? [button(act.text, act.onclick)] : []));
    },
    caption(text) {
      say(under, text);
      under.title = text;
      show(under, text !== "");
    },
  };
}

/** A picture, or several beside each other, in the same place. */
export interface Drawing {
  single: Single;
  set(picture: Picture): void;
  destroy(): void;
}

export function drawing(host: HTMLElement, label: string, title = true): Drawing {
  const [one, some] = [h("div", { class: "host" }), h("div", { class: "host", hidden: true })];
  host.append(one, some);
  const single = picture(one, { label, title });
  let several: Multiples | null = null;
  const panels = (given: Panels): void => {
    several ??= multiples(some, { label });
    several.panels(given as Parameters<Multiples["panels"]>[0]);
  };
  return {
    single,
    set(given) {
      show(one, given.type === "marks");
      show(some, given.type === "panels");
      if (given.type === "marks") single.set(given);
      else panels(given);
    },
    destroy() {
      single.destroy();
      several?.destroy();
      host.replaceChildren();
    },
  };
}
