// How does somebody else see the very same?  the state -> a link, with what a class is not to see left out; and the same in Python.
import type { Context } from "./context";
import { button, h, say } from "./dom";
import { encode, type State } from "./state";
import { PANES } from "./words";

/** The link to a state, with other things hidden than here. */
export function link(context: Context, hide: string[]): string {
  const state: State = { ...context.store.get(), hide };
  const address = location.href.replace(/#.*$/, "").replace(/[?&]token=[^&]*/, ""); // the token opens this machine only, and is nobody else's business
  return `${address}#${encode(context.store.table, state, context.welcome.state)}`;
}

export function sharing(context: Context): { body: HTMLElement; refresh(): void } {
  const text = h("input", { type: "text", readonly: true, "aria-label": "Link to this view" });
  const told = h("span", { class: "quiet" });
  const look = h("a", { target: "_blank", rel: "noopener" }, "Look at it");
  const kinds = hideable(context).map(({ name, label }) => ({ name, label, box: h("input", { type: "checkbox" }) }));
  const ticked = (): string[] => kinds.filter((kind) => kind.box.checked).map((kind) => kind.name);
  function refresh(): void {
    text.value = link(context, ticked());
    look.href = text.value;
    say(told, "");
  }
  for (const { box } of kinds) box.addEventListener("change", refresh);
  const copy = button("Copy link", () => void copied(text.value, text, told), { class: "primary" });
  return {
    body: h("div", {}, h("p", {}, "The link holds everything that is set, the seed included."), text, h("div", { class: "row" }, copy, look, told),
      h("fieldset", { class: "hides" }, h("legend", {}, "For a class: hide"), ...kinds.map(({ box, label }) => h("label", {}, box, h("span", {}, label))))),
    refresh,
  };
}

function hideable(context: Context): { name: string; label: string }[] {
  const fields = context.store.table.filter((field) => !field.seen_only && field.key !== "target" && !(field.key in PANES));
  return [...fields.map(({ key, label }) => ({ name: key, label })), ...Object.entries(PANES).map(([name, label]) => ({ name, label }))];
}

/** The clipboard is only there on some pages; selecting the text always works. */
async function copied(value: string, field: HTMLInputElement | HTMLElement, told: HTMLElement): Promise<void> {
  try {
    await navigator.clipboard.writeText(value);
    say(told, "Copied.");
  } catch {
    if (field instanceof HTMLInputElement) field.select();
    else getSelection()?.selectAllChildren(field);
    say(told, "Selected: copy it with Ctrl+C.");
  }
}

export function snippet(): { body: HTMLElement; set(code: string): void } {
  const code = h("code");
  const told = h("span", { class: "quiet" });
  const copy = button("Copy", () => void copied(code.textContent ?? "", code, told), { class: "primary" });
  return {
    body: h("div", {}, h("p", {}, "This program gives the very numbers that are shown."), h("pre", { tabindex: 0, role: "region", "aria-label": "Program" }, code), h("div", { class: "row" }, copy, told)),
    set: (text) => say(code, text),
  };
}
