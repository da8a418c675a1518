// How is an element made?  a tag, attributes, handlers, children -> the element; text is only ever set as text.

export type Child = Node | string | null | undefined | false;
export type Attributes = Record<string, string | number | boolean | null | undefined | ((event: never) => void)>;

/** Handlers are given as `onclick` and so on; true is an attribute without a value, false and null are none. */
export function h<Tag extends keyof HTMLElementTagNameMap>(tag: Tag, attributes: Attributes = {}, ...children: Child[]): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value as EventListener);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child): child is Node | string => child !== null && child !== undefined && child !== false));
  return element;
}

/** Sets the text only where it differs: a live region does not speak twice, and nothing is laid out in vain. */
export function say(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

export function show(element: HTMLElement, shown: boolean): void {
  if (element.hidden === shown) element.hidden = !shown;
}

let counted = 0;
/** A name that no other element of the document has. */
export function unique(stem: string): string {
  return `sf-${stem}-${++counted}`;
}

const SHAPES = {
  play: "M4 2.5v11l9-5.5z",
  pause: "M4 3h3v10H4zM9 3h3v10H9z",
  back: "M11 3v10L5 8zM3 3h1.6v10H3z",
  forward: "M5 3v10l6-5zM11.4 3H13v10h-1.6z",
  close: "M3.5 4.6 4.6 3.5 8 6.9l3.4-3.4 1.1 1.1L9.1 8l3.4 3.4-1.1 1.1L8 9.1l-3.4 3.4-1.1-1.1L6.9 8z",
} as const;

export function icon(shape: keyof typeof SHAPES): SVGSVGElement {
  const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  picture.setAttribute("viewBox", "0 0 16 16");
  picture.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", SHAPES[shape]);
  picture.append(path);
  return picture;
}

/** A button whose name is its text. */
export function button(text: string, onclick: () => void, attributes: Attributes = {}): HTMLButtonElement {
  return h("button", { type: "button", onclick, ...attributes }, text);
}

/** A button that shows a picture and is named in words. */
export function iconButton(shape: keyof typeof SHAPES, name: string, onclick: () => void): HTMLButtonElement {
  return h("button", { type: "button", class: "icon", "aria-label": name, title: name, onclick }, icon(shape));
}

/** Some buttons of which one is pressed. */
export function choice(name: string, choices: readonly string[], chosen: (value: string) => void): { element: HTMLElement; set(value: string): void } {
  const buttons = choices.map((value) => button(value, () => chosen(value), { "aria-pressed": "false" }));
  const element = h("div", { class: "choice", role: "group", "aria-label": name }, ...buttons);
  return {
    element,
    set: (value) => buttons.forEach((each, index) => each.setAttribute("aria-pressed", String(choices[index] === value))),
  };
}

/** At most one call in so many milliseconds, the last one never lost. */
export function calmly(wait: number, act: () => void): () => void {
  let timer: ReturnType<typeof setTimeout> | null = null;
  return () => {
    timer ??= setTimeout(() => {
      timer = null;
      act();
    }, wait);
  };
}
