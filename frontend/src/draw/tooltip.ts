// How is a reading shown?  heading + values -> a small box in the half of the picture where the pointer is not.

import { painted, type Theme } from "./colours";
import { element } from "./frame";
import type { Reading } from "./readout";

export type Tooltip = { show: (reading: Reading | null, right: boolean, theme: Theme) => void };

export function tooltip(parent: HTMLElement): Tooltip {
  const box = element("div", "draw-readout");
  box.hidden = true;
  box.setAttribute("aria-hidden", "true"); // the numbers are also in the table of the page
  parent.append(box);
  return {
    show: (reading, right, theme) => {
      box.hidden = !reading;
      if (!reading) return;
      box.classList.toggle("draw-right", right);
      box.replaceChildren(
        element("b", "", reading.heading),
        ...reading.values.map((value) => line(value.label, value.text, value.colour, theme)),
      );
    },
  };
}

function line(label: string, text: string, colour: string | number | null, theme: Theme): HTMLElement {
  const row = element("div", "");
  const sign = element("i", "");
  if (colour !== null) sign.style.background = painted(colour, theme);
  row.append(sign, element("span", "", label), element("span", "draw-value", text));
  return row;
}
