// What happens when something happens?  answers, changes, clicks -> questions and pictures: the wiring of the lab.
import { asking, type Asking } from "./asking";
import type { Context } from "./context";
import { controls, type Controls } from "./controls";
import { calmly, say } from "./dom";
import { downloads, type Downloads } from "./download";
import { glossary } from "./glossary";
import { lessons, offered, type Lessons } from "./lessons";
import { liveRuns, type LiveRuns } from "./live";
import { counters, motion, type Motion } from "./motion";
import { panes, type Panes } from "./panes";
import { playbar, spacePlays, type Playbar } from "./playbar";
import { race, type Race } from "./race";
import { rulePane, type RulePane } from "./rule";
import { sharing, snippet } from "./share";
import { sheets, type Sheets } from "./sheet";
import { shell, type Shell } from "./shell";
import { decode, defaults, encode, same, store, type Store } from "./state";
import { tableSheet, type TableSheet } from "./table";
import type { Model, Status, Transport } from "./transport";
import { verdicts, type Verdicts as VerdictPane } from "./verdict";
import type { Message, Rates, Scene, Surface, Verdicts, Welcome } from "./wire";

export interface Place { page: boolean; model?: Model }

/** What is shown now. */
interface Shown { scene: Scene | null; surface: Surface | null; rates: Rates | null; verdicts: Verdicts | null }

interface Lab {
  context: Context; asks: Asking; shown: Shown; shell: Shell; controls: Controls; panes: Panes; verdict: VerdictPane; rule: RulePane; race: Race;
  motion: Motion; playbar: Playbar; sheets: Sheets; lessons: Lessons; live: LiveRuns; downloads: Downloads; table: TableSheet;
  code: { set(code: string): void }; share: { refresh(): void }; transport: Transport; place: Place;
}

/** Starts the lab in a place; returns how to stop it. */
export function start(root: HTMLElement, transport: Transport, place: Place): () => void {
  counters();
  root.classList.add("surefoot-lab", place.page ? "in-page" : "in-cell");
  dress(root, place, "auto");
  root.textContent = "Waiting for the lab's server…";
  let lab: Lab | null = null;
  const asks: Asking = asking(transport);
  transport.on((message) => {
    if (message.kind === "welcome" && asks.booked(message)) return void (lab ? welcomedAgain(lab) : (lab = welcomed(root, transport, place, asks, message)));
    if (lab) heard(lab, message);
  });
  transport.onStatus((status) => connection(status, asks, lab));
  return () => root.remove();
}

function connection(status: Status, asks: Asking, lab: Lab | null): void {
  lab?.shell.offline(status === "open" ? "" : "The lab's server is not there; trying again. What you see stays.");
  if (status !== "open") return;
  asks.queue.reset();
  asks.ask("hello");
}

function welcomedAgain(lab: Lab): void {
  lab.shown.surface = lab.shown.rates = lab.shown.verdicts = null; // the server may be another one: everything is asked anew
  lab.asks.again();
  if (lab.context.welcome.live) lab.asks.ask("runs", { on: true });
  lab.live.again();
}

function welcomed(root: HTMLElement, transport: Transport, place: Place, asks: Asking, welcome: Welcome): Lab {
  const linked = place.page ? decode(welcome.table, location.hash) : { change: {}, notes: [] };
  const held = place.model ? (place.model.get("state") as Record<string, unknown>) : {};
  const kept = store(welcome.table, { ...defaults(welcome.table), ...welcome.state, ...held, ...linked.change });
  asks.about(kept);
  const lab = build(root, transport, place, asks, welcome, kept);
  if (linked.notes.length > 0) lab.shell.tell(linked.notes.join(" "));
  begin(lab, linked.change);
  return lab;
}

function build(root: HTMLElement, transport: Transport, place: Place, asks: Asking, welcome: Welcome, kept: Store): Lab {
  const context: Context = {
    root, store: kept, welcome, glossary: glossary(root, welcome.glossary), computes: transport.computes,
    ask: (kind, more) => asks.ask(kind, more), tell: (text) => lab.shell.tell(text),
  };
  const sheet = sheets();
  const rivals = race(context);
  const lesson = lessons(context, () => lab.motion.run(), () => predicting(lab));
  const live = liveRuns(context, () => backFromLive(lab));
  const table = tableSheet(context, () => sheet.open("table"));
  const sharer = sharing(context);
  const code = snippet();
  const files = downloads(context, { png: (pane) => lab.panes.png(pane), racers: () => lab.shown.scene?.racers ?? [] });
  const rule = rulePane(context);
  const verdict = verdicts(context);
  const settings = controls(context, rivals, {
    find: () => context.ask("find"),
    stop: () => asks.stop("find"),
    own: () => sheet.open("table"),
    problem: (name) => choose(lab, name),
  });
  const grid = panes(context, clicks(() => lab));
  const mover = motion({
    draw: (moment, playing) => drawn(lab, moment, playing),
    stopped: (at) => kept.set({ step: at }, "motion"),
    ended: () => lab.lessons.ran(),
    speed: () => kept.get().speed as number,
  });
  const bar = playbar({ toggle: mover.toggle, by: mover.by, to: mover.to, speed: (speed) => kept.set({ speed }, "playbar") });
  const lessonKnob = sheet.add({ name: "lessons", title: "Lessons", body: lesson.body, closed: () => context.store.get().lesson && lesson.leave() });
  const liveKnob = sheet.add({ name: "live", title: "Recorded", body: live.body });
  liveKnob.append(live.badge);
  const knobs = [
    lessonKnob, liveKnob, sheet.add({ name: "code", title: "Same in Python", body: code.body }),
    sheet.add({ name: "share", title: "Share", body: sharer.body, opened: sharer.refresh }), sheet.add({ name: "download", title: "Download", body: files.body }),
  ];
  sheet.add({ name: "table", title: "Your own table", body: table.body });
  const frame = shell(context, {
    controls: settings.element, panes: grid.element, verdict: verdict.element, rule: rule.element, playbar: bar.element, sheet: sheet.element,
    banner: live.banner, knobs,
  });
  offered(lessonKnob, context);
  liveKnob.hidden = !welcome.live;
  for (const knob of knobs.slice(3, 4)) knob.hidden = !context.computes || !place.page; // a link to a file on this disk helps nobody
  const lab: Lab = {
    context, asks, transport, place, shown: { scene: null, surface: null, rates: null, verdicts: null }, shell: frame, controls: settings, panes: grid, verdict,
    rule, race: rivals, motion: mover, playbar: bar, sheets: sheet, lessons: lesson, live, downloads: files, table, code, share: sharer,
  };
  return lab;
}

/** The first questions, and who listens to what. */
function begin(lab: Lab, linked: Record<string, unknown>): void {
  const { store: kept, welcome, root } = lab.context;
  kept.subscribe((changed, by) => changes(lab, changed, by));
  spacePlays(root, lab.motion.toggle, () => lab.place.page);
  look(lab, kept.table.map((field) => field.key));
  lab.controls.set();
  lab.motion.to(kept.get().step as number);
  if (lab.place.page) addressed(lab);
  if (lab.place.model) mirrored(lab, lab.place.model);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => look(lab, ["theme"]));
  if (welcome.live) lab.asks.ask("runs", { on: true });
  lab.asks.again();
  const lesson = kept.get().lesson as string;
  if (!lesson || !lab.context.computes) return;
  lab.sheets.open("lessons", false);
  lab.lessons.open(lesson, Object.keys(linked).some((key) => !kept.field(key).seen_only));
}

/** The link in the address is always that of the state; another link there is another state. */
function addressed(lab: Lab): void {
  const { store: kept, welcome } = lab.context;
  let written = "";
  const write = calmly(REWRITE, () => {
    written = `#${encode(kept.table, kept.get(), welcome.state)}`;
    history.replaceState(null, "", location.pathname + query() + (written === "#" ? "" : written));
    if (lab.sheets.shown() === "share") lab.share.refresh();
  });
  kept.subscribe(write);
  write();
  addEventListener("hashchange", () => {
    if (location.hash === written) return;
    const { change, notes } = decode(kept.table, location.hash);
    kept.set({ ...defaults(kept.table), ...welcome.state, ...change }, "link");
    if (notes.length > 0) lab.shell.tell(notes.join(" "));
  });
}

/** The address without the token, which the cookie now holds. */
function query(): string {
  const asked = new URLSearchParams(location.search);
  asked.delete("token");
  return asked.size > 0 ? `?${asked}` : "";
}

const REWRITE = 250; // ms: browsers refuse more than a hundred changes of the address in half a minute

/** The traitlet of the notebook is always the state, and the other way round. */
function mirrored(lab: Lab, model: Model): void {
  const { store: kept } = lab.context;
  const write = calmly(100, () => {
    model.set("state", kept.get()); // whole, as the kernel keeps it: what differs would come back as news
    model.save_changes();
  });
  kept.subscribe((_changed, by) => by !== "cell" && write());
  model.on("change:state", () => kept.set({ ...defaults(kept.table), ...(model.get("state") as Record<string, unknown>) }, "cell"));
}

function changes(lab: Lab, changed: string[], by: string): void {
  const { store: kept } = lab.context;
  lab.controls.set();
  look(lab, changed);
  if (changed.includes("step") && by !== "motion") lab.motion.to(kept.get().step as number);
  if (changed.includes("speed")) lab.playbar.speed(kept.get().speed as number);
  const computed = changed.some((key) => !kept.field(key).seen_only);
  if (!computed || ["server", "recorded"].includes(by)) return;
  lab.live.stop();
  lab.asks.changed();
}

/** What changes only how it looks. */
function look(lab: Lab, changed: string[]): void {
  const state = lab.context.store.get();
  if (changed.includes("theme")) {
    dress(lab.context.root, lab.place, state.theme as string);
    lab.panes.repaint();
  }
  if (changed.includes("hide")) {
    lab.shell.hide(state.hide as string[]);
    lab.panes.hide(state.hide as string[]);
  }
  if (changed.includes("depth")) lab.verdict.depth(state.depth as string);
  if (changed.includes("azimuth") || changed.includes("elevation")) lab.panes.view(state.azimuth as number, state.elevation as number);
  if (changed.includes("speed")) lab.playbar.speed(state.speed as number);
  lab.motion.dirty();
}

function dress(root: HTMLElement, place: Place, theme: string): void {
  const dark = theme === "dark" || (theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
  root.dataset.theme = dark ? "dark" : "light";
  if (place.page) document.documentElement.dataset.theme = root.dataset.theme;
}

function predicting(lab: Lab): void {
  const phase = lab.lessons.phase();
  lab.context.root.classList.toggle("predicting", phase === "predict");
  lab.context.root.classList.toggle("awaiting", phase === "predict" || phase === "run");
  lab.playbar.element.inert = phase === "predict"; // the end of the path would be the answer
}

function backFromLive(lab: Lab): void {
  lab.panes.live(null);
  lab.context.root.classList.remove("live");
  if (lab.shown.scene) judged(lab, lab.shown.scene);
}

/** Another problem: with the settings that are usual for it, and nothing that was meant for the last one. */
function choose(lab: Lab, problem: string): void {
  const { store: kept, welcome } = lab.context;
  const keys = ["lr", "steps", "optimizer", "momentum", "batch", "batch_size", "schedule", "start", "race", "target"];
  const usual = Object.fromEntries(keys.map((key) => [key, kept.field(key).default]));
  kept.set({ ...usual, ...welcome.problems.find((each) => each.name === problem)?.usual, problem, step: -1 }, "control");
}

function clicks(lab: () => Lab): Parameters<typeof panes>[1] {
  const set = (change: Record<string, unknown>): void => {
    if (lab().context.computes) lab().context.store.set(change, "picture");
  };
  return {
    start: (start) => set({ start: start.map((each) => Number(each.toPrecision(4))) }),
    lr: (lr) => set({ lr: Number(lr.toPrecision(3)) }),
    step: (step) => lab().motion.to(step),
    view: (azimuth, elevation) => lab().context.store.set({ azimuth: Math.round(azimuth), elevation: Math.round(elevation) }, "picture"),
    compute: () => lab().asks.compute(),
    range: () => lab().context.ask("range"),
    again: () => lab().asks.changed(),
  };
}

function drawn(lab: Lab, moment: number, playing: boolean): void {
  const step = Math.floor(moment);
  const racers = lab.shown.scene?.racers ?? [];
  lab.panes.moment(moment);
  lab.rule.step(step);
  lab.playbar.set(step, Math.max(0, ...racers.map((racer) => racer.rows)), playing);
}

function heard(lab: Lab, message: Message): void {
  const kind = lab.asks.booked(message);
  if (message.kind === "found" || message.kind === "cancelled" || kind === "find") settled(lab, message);
  if (kind !== null) answer(lab, message, kind);
}

/** A search that ended, however it did, is no longer shown as running. */
function settled(lab: Lab, message: Message): void {
  if (message.kind === "cancelled" && message.what !== "find") return;
  if (message.kind !== "progress") lab.controls.finding(null);
}

function answer(lab: Lab, message: Message, kind: string): void {
  switch (message.kind) {
    case "scene": return kind === "run" ? recorded(lab, message) : scene(lab, message);
    case "surface": return surface(lab, message);
    case "verdicts": return measured(lab, message);
    case "rates": return rates(lab, message);
    case "range": return lab.panes.range(message);
    case "found": lab.controls.found(message); return lab.panes.found(message);
    case "progress": return progress(lab, message.ask, message);
    case "columns": return lab.table.columns(message);
    case "runs": return lab.live.runs(message);
    case "live": return live(lab, message);
    case "file": return lab.downloads.file(message);
    case "refused": return refused(lab, message.ask, message.field, message.text);
    case "raised": return lab.shell.raised(message.text, message.traceback, message.ask !== "descend");
    case "trouble": return lab.shell.tell(`Something went wrong in the lab: ${message.text}`);
    case "absent": return absent(lab, message.ask);
    default: return;
  }
}

function scene(lab: Lab, message: Scene): void {
  const resting = !lab.asks.queue.busy("descend");
  lab.controls.accept();
  lab.shell.raised(null);
  if (message.partial && whole(lab.shown.scene, message)) return; // less than what is seen already, out of the fan
  put(lab, message);
  if (message.partial) return;
  const { store: kept } = lab.context;
  if (resting) kept.set(computedOf(kept, message.state), "server"); // such as steps that were cut
  lab.asks.rested(message, lab.shown, kept.get().hide as string[]);
}

function computedOf(kept: Store, state: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(state).filter(([key]) => kept.table.some((field) => field.key === key && !field.seen_only)));
}

/** Whether all of what is being walked is shown already. */
function whole(shown: Scene | null, message: Scene): boolean {
  return shown !== null && !shown.partial && same(shown.state, message.state);
}

/** The scene of a recorded run: nothing is descended again. */
function recorded(lab: Lab, message: Scene): void {
  lab.context.store.set({ ...computedOf(lab.context.store, message.state), step: -1 }, "recorded");
  put(lab, message);
  lab.shown.surface = lab.shown.rates = null;
  lab.panes.recorded();
}

function put(lab: Lab, message: Scene): void {
  lab.shown.scene = message;
  const rows = Math.max(0, ...message.racers.map((racer) => racer.rows));
  lab.motion.rows(rows);
  lab.controls.scene(message);
  lab.panes.scene(message, lab.motion.moment());
  if (message.racers[0]) lab.rule.set(message.racers[0], message.problem.names);
  lab.code.set(message.code);
  lab.shell.about(message.about ?? "");
  const kind = lab.context.computes ? "lab" : "report";
  if (lab.place.page) say(document.querySelector("title") as Element, `${message.problem.title || message.problem.name} · surefoot ${kind}`);
  judged(lab, message);
}

/** What was measured on the problem says more than the trace alone, where it is about this very descent. */
function judged(lab: Lab, message: Scene): void {
  const known = lab.shown.verdicts?.key === message.keys.verdict ? lab.shown.verdicts : null;
  const all = known?.verdicts ?? message.racers.map((racer) => racer.verdict);
  lab.verdict.set(message.racers, all, known?.forks ?? []);
  lab.race.fared(message.racers, all, message.problem.batches);
}

function surface(lab: Lab, message: Surface): void {
  lab.shown.surface = message;
  lab.panes.surface(message);
}

/** What was found for other settings is no longer marked. */
function rates(lab: Lab, message: Rates): void {
  if (lab.shown.rates && lab.shown.rates.key !== message.key) lab.controls.found(null);
  lab.shown.rates = message;
  lab.panes.rates(message);
}

function measured(lab: Lab, message: Verdicts): void {
  lab.shown.verdicts = message;
  if (lab.shown.scene?.keys.verdict === message.key) judged(lab, lab.shown.scene);
}

function progress(lab: Lab, ask: string, message: Message & { kind: "progress" }): void {
  if (ask === "find") return lab.controls.finding(message);
  const share = message.total > 0 ? ` ${Math.round((100 * message.done) / message.total)} %` : "";
  lab.panes.progress(ask, `${message.what}${share}`);
}

function live(lab: Lab, message: Message & { kind: "live" }): void {
  const line = lab.live.live(message);
  if (line === null) return;
  lab.context.root.classList.add("live");
  if (message.picture) lab.panes.live(message.picture);
  if (message.verdict) lab.verdict.single(message.verdict, line);
}

function refused(lab: Lab, ask: string, field: string | null, text: string): void {
  if (ask === "table") return lab.table.refused(text);
  if (ask === "download") return lab.downloads.refused(text);
  if (["surface", "rates", "range"].includes(ask)) return lab.panes.progress(ask, text);
  lab.controls.refuse(field, text);
  if (field && !lab.shown.scene) withoutField(lab, field, text);
}

/** A link whose value makes no sense for its problem, such as a start: without that value there is something to see, and a control to put it right. */
function withoutField(lab: Lab, field: string, text: string): void {
  const usual = lab.context.store.field(field).default;
  if (same(lab.context.store.get()[field], usual)) return;
  lab.context.store.set({ [field]: usual }, "link");
  lab.shell.tell(text);
}

/** A report holds only what was put into it. */
function absent(lab: Lab, ask: string): void {
  if (ask === "surface") lab.panes.surface(null);
}

