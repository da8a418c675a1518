// How is the run moved by hand?  buttons, a slider, keys -> the playhead.
import { button, h, icon, iconButton, say, type Child } from "./dom";
import { number } from "./draw/format";

export interface Hands {
  toggle(): void;
  by(steps: number): void;
  to(step: number): void;
  speed(speed: number): void;
}

export interface Playbar {
  element: HTMLElement;
  set(step: number, rows: number, playing: boolean): void;
  speed(speed: number): void;
}

const SPEEDS = [0.1, 0.25, 0.5, 1, 2, 5, 10];

export function playbar(hands: Hands): Playbar {
  const word = h("span", {}, "Run");
  const play = button("", hands.toggle, { class: "play primary", title: "Run or pause (space)" });
  play.append(icon("play"), word);
  const scrub = h("input", { type: "range", min: 0, max: 1, step: 1, class: "scrub", "aria-label": "Step" });
  scrub.addEventListener("input", () => hands.to(Number(scrub.value)));
  const where = h("span", { class: "where" });
  const speeds = h("select", { "aria-label": "Speed" }, ...SPEEDS.map((speed): Child => h("option", { value: speed }, `${speed}×`)));
  speeds.addEventListener("change", () => hands.speed(Number(speeds.value)));
  const element = h("section", { class: "playbar", "aria-label": "Playback" },
    play, iconButton("back", "One step back", () => hands.by(-1)), iconButton("forward", "One step forward", () => hands.by(1)), scrub, where, speeds);
  element.addEventListener("keydown", (event) => arrows(event, scrub, hands));
  let shownPlaying: boolean | null = null;
  return {
    element,
    set(step, rows, playing) {
      scrub.max = String(rows);
      scrub.value = String(step);
      scrub.setAttribute("aria-valuetext", `step ${number(step)} of ${number(rows)}`);
      say(where, `${number(step)} / ${number(rows)}`);
      if (playing === shownPlaying) return;
      shownPlaying = playing;
      play.replaceChildren(icon(playing ? "pause" : "play"), word);
      say(word, playing ? "Pause" : "Run");
    },
    speed(speed) {
      if (!SPEEDS.includes(speed)) extra(speeds, speed);
      speeds.value = String(speed);
    },
  };
}

/** A speed of a link that is not among the usual ones. */
function extra(speeds: HTMLSelectElement, speed: number): void {
  if ([...speeds.options].some((option) => option.value === String(speed))) return;
  speeds.append(h("option", { value: speed }, `${number(speed)}×`));
}

/** Arrow keys step wherever the focus is in the bar; on the slider they do so by themselves. */
function arrows(event: KeyboardEvent, scrub: HTMLElement, hands: Hands): void {
  if (event.target === scrub || event.target instanceof HTMLSelectElement) return;
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (by === undefined) return;
  event.preventDefault();
  hands.by(by);
}

/** Space plays, except where it already means something. */
export function spacePlays(root: HTMLElement, toggle: () => void, owns: () => boolean): void {
  const meant = "button, a, input:not([type=range]), select, textarea, summary, [role=button]";
  const heard = (event: KeyboardEvent): void => {
    const target = event.target as Element;
    if (event.key !== " " || event.ctrlKey || event.metaKey || event.altKey || target.closest?.(meant)) return;
    event.preventDefault();
    toggle();
  };
  (owns() ? document : root).addEventListener("keydown", heard as EventListener);
}
