// What is seen beside what?  scene, surface, rates + moment -> the grid of linked pictures.
import type { Context } from "./context";
import { h, show } from "./dom";
import { multiples, type Multiples } from "./draw/multiples";
import { relief, type Relief } from "./draw/relief";
import { samples, type Samples as Grid } from "./draw/samples";
import { drawing, pane, type Drawing, type Pane } from "./pane";
import { fieldRow, fitLost, fitPaint, mapPaint, momentPaint, placeOn, ratePaint, trailPaint, trails, withField, type Trail } from "./paths";
import { PANES } from "./words";
import type { Found, Picture, RangeTest, Rates, Samples, Scene, Surface } from "./wire";

export interface Panes {
  element: HTMLElement;
  scene(scene: Scene, moment: number): void;
  surface(surface: Surface | null): void;
  progress(ask: string, text: string): void;
  /** A recorded run is shown: what was not recorded must be computed first. */
  recorded(): void;
  rates(rates: Rates): void;
  range(range: RangeTest): void;
  found(found: Found): void;
  moment(moment: number): void;
  view(azimuth: number, elevation: number): void;
  hide(names: string[]): void;
  /** The loss picture of a run that is followed; null: back to the scene. */
  live(picture: Picture | null): void;
  repaint(): void;
  /** The picture of a pane as it is drawn; null where it is not shown. */
  png(name: string): Promise<Blob> | null;
}

/** What a click on a picture asks for. */
export interface Clicked {
  start(point: number[]): void;
  lr(lr: number): void;
  step(step: number): void;
  view(azimuth: number, elevation: number): void;
  compute(): void;
  range(): void;
  again(): void;
}

type Name = "data" | "loss" | "rates" | "surface" | "contour" | "map";
const NAMES: Name[] = ["data", "loss", "rates", "surface", "contour", "map"];
const DRAWN = ["data", "loss", "rates", "contour", "map"] as const;
const WAITING = "Computing…";

/** All that the functions below share. */
interface Inner {
  context: Context; clicked: Clicked; grid: HTMLElement; all: Record<Name, Pane>; drawn: Record<(typeof DRAWN)[number], Drawing>;
  hill: Relief; wall: HTMLElement; images: Grid; tabs: Tabs; ways: Tabs; side: HTMLElement; beside: Multiples;
  scene: Scene | null; surface: Surface | null; trails: Trail[]; moment: number; hidden: string[]; following: boolean; row: number;
  tests: { trials?: Picture; range?: Picture; find?: Picture };
}

export function panes(context: Context, clicked: Clicked): Panes {
  const it = inner(context, clicked);
  return {
    element: it.grid,
    scene: (scene, moment) => setScene(it, scene, moment),
    surface: (surface) => setSurface(it, surface),
    progress: (ask, text) => wait(it, ask, text),
    recorded: () => recorded(it),
    rates: (rates) => setRates(it, rates),
    range: (range) => ((it.tests.range = range.picture), drawRates(it)),
    found: (found) => setFound(it, found),
    moment: (moment) => ((it.moment = moment), drawMoment(it)),
    view: (azimuth, elevation) => it.hill.view(azimuth, elevation),
    hide: (names) => ((it.hidden = names), layOut(it)),
    live: (picture) => setLive(it, picture),
    repaint: () => repaint(it),
    png: (name) => (it.all[name as Name]?.element.hidden === false ? (name === "surface" ? it.hill.toPNG() : it.drawn[name as "loss"].single.toPNG()) : null),
  };
}

function inner(context: Context, clicked: Clicked): Inner {
  const all = Object.fromEntries(NAMES.map((name) => [name, pane(name)])) as Record<Name, Pane>;
  const grid = h("div", { class: "panes" }, ...NAMES.map((name) => all[name].element));
  const drawn = Object.fromEntries(DRAWN.map((name) => [name, drawing(all[name].host, "", false)])) as Inner["drawn"];
  const [wall, side] = [h("div", { class: "host" }), h("div", { class: "host" })];
  all.data.host.after(wall);
  all.contour.host.after(side);
  const it: Inner = {
    context, clicked, grid, all, drawn, hill: relief(all.surface.host), wall, images: samples(wall), side, beside: multiples(side, { label: "Every descent by itself" }),
    tabs: tabsOf(all.rates, "What is shown against the rate", (tab) => changedTab(it, tab)),
    ways: tabsOf(all.contour, "How the descents are shown", () => drawLandscape(it)),
    scene: null, surface: null, trails: [], moment: 0, hidden: [], following: false, row: -1, tests: {},
  };
  it.tabs.only(["trials", "range"]);
  it.ways.only([]);
  listen(it);
  return it;
}

function listen(it: Inner): void {
  const { clicked, drawn } = it;
  const start = (point: number[]): void => void (it.scene && it.scene.problem.dims > 0 && clicked.start(point.slice(0, it.scene.problem.dims)));
  drawn.loss.single.onClick((x) => !it.following && clicked.step(x));
  drawn.rates.single.onClick((x) => x > 0 && clicked.lr(x));
  drawn.map.single.onClick((x) => x > 0 && clicked.lr(x));
  drawn.contour.single.onClick((x, y) => start([x, y]));
  it.hill.onClick((x, y) => start([x, y]));
  it.beside.onClick((x, y) => start([x, y]));
  it.hill.onView(clicked.view);
}

function setScene(it: Inner, scene: Scene, moment: number): void {
  if (it.scene?.problem.name !== scene.problem.name || it.scene.problem.dims !== scene.problem.dims) forget(it);
  const before = it.scene;
  Object.assign(it, { scene, trails: trails(scene, it.surface), moment });
  it.all.data.title(scene.samples ? "Samples" : (PANES.data as string));
  show(it.wall, scene.samples !== null);
  show(it.all.data.host, scene.samples === null);
  layOut(it);
  if (scene.samples && !sameImages(before?.samples ?? null, scene.samples)) it.images.set(readable(scene.samples));
  it.ways.only(it.trails.length > 1 && it.trails[0]?.dims === 2 ? ["together", "apart"] : []);
  drawLandscape(it);
  if (!it.following) it.drawn.loss.set(scene.pictures.loss);
  it.row = -1;
  if (scene.pictures.data && !scene.field && (before === null || before.keys.data !== scene.keys.data)) it.drawn.data.set(scene.pictures.data);
  for (const name of ["surface", "contour"] as const) it.all[name].element.classList.toggle("stale", it.surface !== null && it.surface.key !== scene.keys.surface);
  drawMoment(it);
  drawSettings(it);
}

/** The surface of another problem says nothing about this one. */
function forget(it: Inner): void {
  it.surface = null;
  it.tests = {};
  it.tabs.only(["trials", "range"]);
  for (const name of ["surface", "contour", "rates", "map"] as const) {
    it.all[name].instead(WAITING);
    it.all[name].caption("");
  }
}

function sameImages(one: Samples | null, other: Samples): boolean {
  return one !== null && one.caption === other.caption && one.images.length === other.images.length && one.images.every((value, index) => value === other.images[index]);
}

/** Rows of images, such as before and after; the caption names the rows. */
function readable(given: Samples): Samples {
  if (given.shown !== "rows") return given;
  const count = given.images.length / (given.width * given.height);
  return { ...given, shown: "images", truth: Array.from({ length: count }, () => "") };
}

function setSurface(it: Inner, surface: Surface | null): void {
  it.surface = surface;
  for (const name of ["surface", "contour"] as const) it.all[name].instead(surface ? null : "No surface was kept.");
  if (!surface || !it.scene) return;
  it.trails = trails(it.scene, surface);
  layOut(it);
  it.drawn.contour.set(surface.picture);
  drawLandscape(it);
  if (surface.dims === 2) it.hill.set(surface);
  it.all.contour.title(surface.dims === 1 ? `Loss over ${surface.names[0]}` : (PANES.contour as string));
  for (const name of ["surface", "contour"] as const) it.all[name].element.classList.remove("stale");
  it.all.surface.caption(surface.exact ? "" : surface.text.join(" "));
  drawMoment(it);
}

function apart(it: Inner): boolean {
  return it.ways.chosen() === "apart" && it.surface !== null;
}

/** All descents on one landscape, or each of them on its own. */
function drawLandscape(it: Inner): void {
  show(it.side, apart(it));
  show(it.all.contour.host, !apart(it));
  if (apart(it) && it.surface) it.beside.set(it.surface.picture, it.trails);
  drawMoment(it);
}

function wait(it: Inner, ask: string, text: string): void {
  const places: Record<string, Name[]> = { surface: it.surface ? [] : ["surface", "contour"], rates: ["rates", "map"], range: ["rates"] };
  for (const name of places[ask] ?? []) it.all[name].instead(text);
}

function recorded(it: Inner): void {
  forget(it);
  it.trails = it.scene ? trails(it.scene, null) : [];
  for (const name of ["surface", "contour", "rates", "map"] as const) it.all[name].instead("This is not part of a recorded run.", { text: "Descend again", onclick: it.clicked.again });
}

function setRates(it: Inner, rates: Rates): void {
  it.tests = { trials: rates.picture ?? undefined }; // a test of other settings says nothing about these
  if (it.tabs.chosen() === "range") it.clicked.range();
  else it.tabs.choose("trials");
  it.tabs.only(["trials", "range"]);
  const compute = it.context.computes ? { text: "Compute", onclick: it.clicked.compute } : undefined;
  if (it.tabs.chosen() === "trials") {
    drawRates(it);
    if (!rates.picture) it.all.rates.instead(rates.note, compute);
  }
  it.all.map.instead(rates.map ? null : rates.picture ? "There is no map of this problem." : rates.note, rates.picture ? undefined : compute);
  if (rates.map) it.drawn.map.set(rates.map);
  layOut(it);
  drawSettings(it);
}

function setFound(it: Inner, found: Found): void {
  it.tests.find = found.picture;
  it.tabs.only(["trials", "range", "find"]);
  it.tabs.choose("find");
  drawRates(it);
}

function changedTab(it: Inner, tab: string): void {
  if (tab === "range" && !it.tests.range) it.clicked.range();
  drawRates(it);
}

function drawRates(it: Inner): void {
  const shown = it.tests[it.tabs.chosen() as keyof Inner["tests"]];
  if (shown) it.drawn.rates.set(shown);
  it.all.rates.instead(shown ? null : WAITING);
}

/** What moves with the playhead. */
function drawMoment(it: Inner): void {
  const { scene, moment } = it;
  if (!scene) return;
  const seen = (name: Name): boolean => !it.all[name].element.hidden;
  if (seen("loss")) it.drawn.loss.single.overlay(it.following ? null : momentPaint(scene.racers, moment));
  if (seen("data") && scene.pictures.data) {
    it.drawn.data.single.overlay(fitPaint(scene.racers, moment, scene.pictures.data.y_limits));
    it.all.data.caption(fitLost(scene.racers[0], moment, scene.pictures.data.y_limits));
  }
  if (seen("data")) drawField(it, scene);
  if (seen("contour") && apart(it)) it.beside.steps(it.trails.map((trail) => placeOn(trail, moment)));
  else if (seen("contour")) it.drawn.contour.single.overlay(trailPaint(it.trails, moment, it.surface));
  if (seen("surface")) it.hill.paths(it.trails, it.trails.map((trail) => placeOn(trail, moment)));
  if (scene.samples) it.images.at(scene.samples.predicted[0] ?? null, moment);
}

/** What the network takes each place for, where that has changed. */
function drawField(it: Inner, scene: Scene): void {
  const row = scene.field ? fieldRow(scene.field, it.moment) : -1;
  if (!scene.field || !scene.pictures.data || row === it.row) return;
  it.row = row;
  it.drawn.data.set(withField(scene.pictures.data, scene.field, row));
}

/** What moves with the settings. */
function drawSettings(it: Inner): void {
  const racers = it.scene?.racers ?? [];
  it.drawn.rates.single.overlay(ratePaint(racers));
  it.drawn.map.single.overlay(mapPaint(racers));
}

function setLive(it: Inner, picture: Picture | null): void {
  const changed = it.following !== (picture !== null);
  it.following = picture !== null;
  if (changed) layOut(it);
  if (picture) it.drawn.loss.set(picture);
  else if (changed && it.scene) it.drawn.loss.set(it.scene.pictures.loss);
  if (changed) drawMoment(it);
}

function repaint(it: Inner): void {
  for (const name of DRAWN) it.drawn[name].single.redraw();
  drawMoment(it);
}

function layOut(it: Inner): void {
  const { scene, surface, context, tests } = it;
  const rates = context.computes || Boolean(tests.trials);
  const landscape = context.computes || surface !== null;
  const present: Record<Name, boolean> = {
    data: Boolean(scene?.pictures.data ?? scene?.samples), loss: true, rates, map: rates,
    surface: landscape && (surface?.dims ?? scene?.problem.dims) !== 1, contour: landscape,
  };
  const shown = NAMES.filter((name) => (it.following ? name === "loss" : present[name] && !it.hidden.includes(name)));
  for (const name of NAMES) show(it.all[name].element, shown.includes(name));
  it.grid.dataset.count = String(shown.length);
}

interface Tabs { chosen(): string; choose(tab: string): void; only(tabs: string[]): void }
const TABS: Record<string, string> = { trials: "short trials", range: "range test", find: "as found", together: "together", apart: "side by side" };

/** Which of several pictures is shown in a pane; no choice is no control. */
function tabsOf(place: Pane, name: string, changed: (tab: string) => void): Tabs {
  const choice = h("select", { "aria-label": name });
  place.head.append(choice);
  choice.addEventListener("change", () => changed(choice.value));
  return {
    chosen: () => choice.value,
    choose: (tab) => void (choice.value = tab),
    only(tabs) {
      const before = choice.value;
      show(choice, tabs.length > 0);
      if (tabs.join() === [...choice.options].map((option) => option.value).join()) return;
      choice.replaceChildren(...tabs.map((tab) => h("option", { value: tab }, TABS[tab] ?? tab)));
      choice.value = tabs.includes(before) ? before : (tabs[0] ?? "");
    },
  };
}
