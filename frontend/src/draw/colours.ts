// Which colour is it on this paper?  name or number 0..1 + theme -> CSS colour; style -> dashes.

import type { Colour, Limits, Scale, Style } from "./marks";
import { VIRIDIS } from "./scales";

export type RGB = readonly [number, number, number];
export type Theme = { dark: boolean; ink: string; paper: string };

// After Okabe and Ito, "Color Universal Design" (2008), darker on white and brighter on black where theirs have less than 3:1.
const LIGHT: Record<string, string> = {
  grey: "#767676",
  blue: "#005fa3",
  orange: "#b86f00",
  green: "#00865f",
  red: "#d0202e",
  purple: "#b0508a",
  sky: "#3a93cc",
  brown: "#7a4b1e",
};
const DARK: Record<string, string> = {
  grey: "#8f949c",
  blue: "#4a9ee0",
  orange: "#e69f00",
  green: "#1fb58a",
  red: "#f4606b",
  purple: "#d58ab6",
  sky: "#8fd3f7",
  brown: "#b98350",
};
// The part of the scale that is still seen as a line, with 3:1 against the paper.
const SEEN: Record<"light" | "dark", Limits> = { light: [0, 0.59], dark: [0.36, 1] };
const MAP = VIRIDIS; // as surefoot/figures/artists.py: the page and its downloads show the same colours
const DASHES: Record<Style, number[]> = { solid: [], dashed: [7, 4], dotted: [1.5, 3.5], dashdot: [8, 3, 2, 3] };

export const NAMES = ["ink", ...Object.keys(LIGHT)];
export const FAINT = 0.45; // how much is left of what stands behind

/** A colour of the marks on this paper; an unknown name is the ink. */
export function painted(colour: Colour, theme: Theme): string {
  if (typeof colour === "string") return (theme.dark ? DARK : LIGHT)[colour] ?? theme.ink;
  const [low, high] = SEEN[theme.dark ? "dark" : "light"];
  return css(onScale(low + (high - low) * colour));
}

/** The colour at 0..1 of the scale; outside, that of the nearest end. */
export function onScale(share: number, map = MAP): RGB {
  const step = Math.max(0, Math.min(255, Math.floor((Number.isNaN(share) ? 0 : share) * 256)));
  const value = parseInt(map.slice(6 * step, 6 * step + 6), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

/** Where a value is between the limits of a scale of colours, 0..1. */
export function share(value: number, limits: Limits, scale: Scale): number {
  const [low, high] = limits;
  const cut = Math.max(low, Math.min(high, value));
  const found = scale === "log" ? Math.log(cut / low) / Math.log(high / low) : (cut - low) / (high - low);
  return Number.isFinite(found) ? found : 0;
}

export function dashes(style: Style): number[] {
  return DASHES[style] ?? [];
}

export function css([red, green, blue]: RGB): string {
  return `rgb(${red},${green},${blue})`;
}

/** #rgb, #rrggbb or rgb(...) as numbers 0..255; null: something else, or see-through. */
export function parsed(colour: string): RGB | null {
  const hex = /^#([0-9a-f]{3}|[0-9a-f]{6})$/i.exec(colour.trim())?.[1];
  if (hex) {
    const full = hex.length === 3 ? hex.replace(/./g, "$&$&") : hex;
    return [0, 2, 4].map((at) => parseInt(full.slice(at, at + 2), 16)) as unknown as RGB;
  }
  const parts = /^rgba?\(([^)]*)\)$/
    .exec(colour.trim())?.[1]
    ?.split(/[\s,/]+/)
    .filter(Boolean)
    .map(Number);
  if (!parts || parts.length < 3 || parts[3] === 0 || parts.some(Number.isNaN)) return null;
  return [parts[0]!, parts[1]!, parts[2]!];
}

/** Relative luminance, 0 to 1 (WCAG 2.2). */
export function luminance(colour: RGB): number {
  const [red, green, blue] = colour.map((part) => {
    const value = part / 255;
    return value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** 1 to 21 (WCAG 2.2). */
export function contrast(one: string, other: string): number {
  const [low, high] = [luminance(parsed(one) ?? [0, 0, 0]), luminance(parsed(other) ?? [255, 255, 255])].sort((a, b) => a - b) as [
    number,
    number,
  ];
  return (high + 0.05) / (low + 0.05);
}

/** What sets a line off from areas of any colour: white around dark lines, black around bright ones. */
export function rim(colour: string): string {
  return luminance(parsed(colour) ?? [0, 0, 0]) > 0.4 ? "rgba(0,0,0,0.75)" : "rgba(255,255,255,0.85)";
}

/** The ink and the paper of an element now: of the nearest one around it that is not see-through. */
export function themeOf(element: Element): Theme {
  let paper: string | null = null;
  for (let at: Element | null = element; at && !paper; at = around(at)) {
    const colour = getComputedStyle(at).backgroundColor;
    paper = parsed(colour) ? colour : null;
  }
  const found = paper ?? "rgb(255,255,255)";
  return { dark: luminance(parsed(found)!) < 0.3, ink: getComputedStyle(element).color, paper: found };
}

function around(element: Element): Element | null {
  const root = element.getRootNode();
  return element.parentElement ?? (root instanceof ShadowRoot ? root.host : null);
}

/** Calls back when the theme may have changed; returns how to stop. */
export function onTheme(changed: () => void): () => void {
  const asked = matchMedia("(prefers-color-scheme: dark)");
  const seen = new MutationObserver(changed);
  for (const element of [document.documentElement, document.body])
    seen.observe(element, { attributes: true, attributeFilter: ["class", "style", "data-theme", "data-jp-theme-light"] });
  asked.addEventListener("change", changed);
  return () => {
    seen.disconnect();
    asked.removeEventListener("change", changed);
  };
}
