// How does a picture get into a document?  pane + format -> a file, from the server or out of the data in hand.
import type { Context } from "./context";
import { button, h, say } from "./dom";
import type { FileAnswer, Racer } from "./wire";

export interface Downloads { body: HTMLElement; file(file: FileAnswer): void; refused(text: string): void }

/** What is in hand when nobody is there to draw. */
export interface InHand { png(pane: string): Promise<Blob> | null; racers(): Racer[] }

const PICTURES: [pane: string, text: string, local: string][] = [
  ["loss", "Loss curve", "loss"], ["landscape", "Contour", "contour"], ["3d", "Surface", "surface"], ["fit", "Data and fit", "data"],
  ["rate", "Loss against rate", "rates"], ["map", "Rate and steps", "map"],
];

const STILL = ["rate", "map"]; // pictures of many descents at their ends: nothing in them moves

export function downloads(context: Context, hand: InHand): Downloads {
  const told = h("p", { class: "quiet" });
  const asked = (what: string, pane: string): void => {
    say(told, "The file is being made.");
    context.ask("download", { what, pane });
  };
  const local = async (pane: string): Promise<void> => {
    const blob = await hand.png(pane);
    if (blob) save(blob, `surefoot-${pane}.png`);
    else say(told, "This picture is not shown, so there is nothing to save.");
  };
  const kinds = context.computes ? ["png", "svg", "gif"] : ["png"];
  const act = (kind: string, pane: string, own: string): void => (context.computes ? asked(kind, pane) : void local(own));
  const rows = PICTURES.map(([pane, text, own]) =>
    h("tr", {}, h("th", { scope: "row" }, text), ...kinds.map((kind) => h("td", {}, kind === "gif" && STILL.includes(pane) ? null : maker(kind, text, () => act(kind, pane, own))))));
  const trace = button("Trace as CSV", () => (context.computes ? asked("csv", "loss") : save(new Blob([csv(hand.racers())], { type: "text/csv" }), "surefoot-trace.csv")));
  return {
    body: h("div", {}, h("table", { class: "files" }, h("tbody", {}, ...rows)), trace, told),
    file(file) {
      say(told, `${file.name} is saved.`);
      save(new Blob([Uint8Array.from(atob(file.base64), (letter) => letter.charCodeAt(0))], { type: file.mime }), file.name);
    },
    refused: (text) => say(told, text),
  };
}

function maker(kind: string, text: string, onclick: () => void): HTMLElement {
  const name = kind.toUpperCase();
  return button(name, onclick, { "aria-label": `${text} as ${name}${kind === "gif" ? ", moving" : ""}` });
}

/** The traces of all racers, one row for each step. */
export function csv(racers: Racer[]): string {
  const lines = racers.flatMap((racer, place) =>
    Array.from({ length: racer.rows }, (_, step) => [place + 1, step, racer.rate[step], racer.loss[step], racer.grad_norm[step], racer.update_norm[step]].join(",")));
  return ["descent,step,lr,loss,grad_norm,update_norm", ...lines, ""].join("\n");
}

function save(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob);
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
