// Where is what?  the parts of the page -> one screen with landmarks: head, settings, pictures, verdict, playback, sheets.
import type { Context } from "./context";
import { button, h, say, show } from "./dom";
import { select } from "./field";

export interface Shell {
  /** A message of the connection; empty: there is none. */
  offline(text: string): void;
  /** What the user's own code raised; null: nothing. */
  raised(text: string | null, traceback?: string, elsewhere?: boolean): void;
  tell(text: string): void;
  /** What a report is about. */
  about(text: string): void;
  hide(names: string[]): void;
}

export interface Parts {
  controls: HTMLElement; panes: HTMLElement; verdict: HTMLElement; rule: HTMLElement; playbar: HTMLElement; sheet: HTMLElement;
  banner: HTMLElement; knobs: HTMLElement[];
}

/** Everything that stands still: the frame around the parts. */
export function shell(context: Context, parts: Parts): Shell {
  const { root } = context;
  const offline = h("div", { class: "banner offline", hidden: true });
  const raised = h("div", { class: "raised", hidden: true });
  const toast = h("div", { class: "toast", hidden: true });
  const strip = h("div", { class: "strip" }, parts.verdict, parts.rule);
  const knobs = h("nav", { class: "knobs", "aria-label": "Sheets" }, ...parts.knobs);
  const names = { auto: "theme: auto", light: "theme: light", dark: "theme: dark" };
  const theme = select("Theme", context.store.field("theme").choices.map((value) => ({ value, text: names[value as keyof typeof names] ?? value })), (value) => context.store.set({ theme: value }, "shell"));
  const about = h("p", { class: "about" });
  const top = h("header", { class: "top" }, h("h1", {}, "surefoot ", h("span", {}, context.computes ? "lab" : "report")), about, knobs, theme);
  const main = h("main", {}, raised, parts.panes, strip);
  root.replaceChildren(top, offline, parts.banner, h("div", { class: "middle" }, parts.controls, main, parts.sheet), h("footer", { class: "foot" }, parts.playbar), toast);
  root.classList.toggle("reading", !context.computes);
  context.store.subscribe((changed) => changed.includes("theme") && (theme.value = context.store.get().theme as string));
  theme.value = context.store.get().theme as string;
  let timer: ReturnType<typeof setTimeout> | undefined;
  return {
    offline(text) {
      say(offline, text);
      show(offline, text !== "");
    },
    raised(text, traceback = "", elsewhere = false) {
      show(raised, text !== null);
      if (text === null) return;
      raised.replaceChildren(h("h2", {}, elsewhere ? "The problem raised an error where the lab tried it by itself, at other rates or weights" : "The problem raised an error"), h("p", {}, text),
        h("details", {}, h("summary", {}, "Traceback"), h("pre", { tabindex: 0, role: "region", "aria-label": "Traceback" }, traceback)), button("Close", () => show(raised, false)));
    },
    about: (text) => say(about, text),
    tell(text) {
      say(toast, text);
      show(toast, true);
      clearTimeout(timer);
      timer = setTimeout(() => show(toast, false), 8000);
    },
    hide(hidden) {
      for (const [name, element] of [["verdict", parts.verdict], ["rule", parts.rule]] as const) show(element, !hidden.includes(name));
      for (const knob of parts.knobs) {
        const name = [...knob.classList].find((each) => each.startsWith("knob-"))?.slice(5) ?? "";
        knob.classList.toggle("gone", hidden.includes(name));
      }
      show(strip, !(hidden.includes("verdict") && hidden.includes("rule")));
    },
  };
}
