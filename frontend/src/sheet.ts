// What lies beside the pictures?  named sheets -> one place where one of them is open at a time.
import { button, h, iconButton, show } from "./dom";

export interface Sheet { name: string; title: string; body: HTMLElement; opened?(): void; closed?(): void }

export interface Sheets {
  /** Where the sheets are. */
  element: HTMLElement;
  add(sheet: Sheet): HTMLButtonElement;
  open(name: string, focus?: boolean): void;
  close(): void;
  shown(): string;
}

export function sheets(): Sheets {
  const element = h("aside", { class: "sheet", hidden: true });
  const all = new Map<string, { sheet: Sheet; place: HTMLElement; knob: HTMLButtonElement; head: HTMLElement }>();
  let shown = "";

  function close(): void {
    const was = all.get(shown);
    shown = "";
    show(element, false);
    if (!was) return;
    const focused = element.contains(document.activeElement) || document.activeElement === document.body;
    was.place.remove(); // what is not open is not in the page: its names are then not heard twice
    was.knob.setAttribute("aria-expanded", "false");
    was.sheet.closed?.();
    if (focused) was.knob.focus();
  }
  function open(name: string, focus = true): void {
    if (shown === name) return;
    if (shown) close();
    const now = all.get(name);
    if (!now) return;
    shown = name;
    element.setAttribute("aria-label", now.sheet.title);
    show(element, true);
    element.append(now.place);
    now.knob.setAttribute("aria-expanded", "true");
    now.sheet.opened?.();
    if (focus) now.head.focus();
  }
  element.addEventListener("keydown", (event) => event.key === "Escape" && close());
  return {
    element,
    open,
    close,
    shown: () => shown,
    add(sheet) {
      const head = h("h2", { tabindex: -1 }, sheet.title);
      const place = h("div", { class: `page page-${sheet.name}` }, h("header", {}, head, iconButton("close", `Close ${sheet.title}`, close)), sheet.body);
      const knob = button(sheet.title, () => (shown === sheet.name ? close() : open(sheet.name)), { class: `knob knob-${sheet.name}`, "aria-expanded": "false" });
      all.set(sheet.name, { sheet, place, knob, head });
      return knob;
    },
  };
}
