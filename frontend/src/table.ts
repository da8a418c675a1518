// What does my own table look like?  a dropped CSV -> its columns -> the one that is to be predicted.
import type { Context } from "./context";
import { h, say, show } from "./dom";
import { number } from "./draw/format";
import { select } from "./field";
import type { Columns } from "./wire";

const MOST = 7_000_000; // bytes; with its frame a question must stay below 8 MB

export interface TableSheet { body: HTMLElement; columns(columns: Columns): void; refused(text: string): void; take(file: File): void }

export function tableSheet(context: Context, open: () => void): TableSheet {
  const choose = h("input", { type: "file", accept: ".csv,text/csv", "aria-label": "CSV file" });
  const zone = h("div", { class: "drop" }, h("p", {}, "Drop a CSV file here, or choose one. It stays on this computer."), choose);
  const told = h("p", {});
  const target = h("div", { class: "target" });
  choose.addEventListener("change", () => choose.files?.[0] && take(choose.files[0]));
  dropping(context.root, (file) => {
    open();
    take(file);
  });

  function take(file: File): void {
    if (file.size > MOST) return say(told, `${file.name} has ${number(file.size / 1e6)} MB; at most ${MOST / 1e6} MB can be read. Take fewer rows.`);
    say(told, `Reading ${file.name}.`);
    void file.text().then((text) => context.ask("table", { name: file.name, text }));
  }
  return {
    body: h("div", {}, zone, told, target),
    take,
    refused(text) {
      say(told, text);
      show(target, false);
    },
    columns(columns) {
      say(told, `${columns.name}: ${number(columns.rows)} rows, ${number(columns.columns.length)} columns. ${columns.note}`);
      const usable = columns.columns.filter((column) => column.usable).map(({ name, kind }) => ({ value: name, text: `${name} (${kind})` }));
      const choice = select("Column to predict", usable, (name) => context.store.set({ problem: "table", target: name }, "table"));
      choice.value = columns.target;
      target.replaceChildren(h("p", { class: "label" }, "Column to predict"), choice);
      show(target, usable.length > 0);
      if (usable.length > 0) context.store.set({ problem: "table", target: columns.target, start: [] }, "table");
    },
  };
}

/** A file may be dropped anywhere on the page. */
function dropping(root: HTMLElement, take: (file: File) => void): void {
  root.addEventListener("dragover", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    root.classList.add("dropping");
  });
  root.addEventListener("dragleave", (event) => event.relatedTarget === null && root.classList.remove("dropping"));
  root.addEventListener("drop", (event) => {
    root.classList.remove("dropping");
    const file = event.dataTransfer?.files[0];
    if (!file) return;
    event.preventDefault();
    take(file);
  });
}
