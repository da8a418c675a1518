// How does a question reach the library?  a question -> frames, by socket, by notebook, or out of the data in the file.
import { type Message, unpack, unpackAll } from "./wire";
import type { Asked } from "./newest";

export type Status = "connecting" | "open" | "closed";

export interface Transport {
  ask(question: Asked): void;
  on(handler: (message: Message) => void): void;
  onStatus(handler: (status: Status) => void): void;
  /** False where the answers are in the file: nothing new can be computed. */
  readonly computes: boolean;
}

/** What anywidget gives a widget. */
export interface Model {
  get(name: string): unknown;
  set(name: string, value: unknown): void;
  save_changes(): void;
  send(content: unknown): void;
  on(event: string, handler: (...given: never[]) => void): void;
  off?(event: string, handler: (...given: never[]) => void): void;
}

const SLOWEST = 5000; // ms between two attempts to reach the server

/** Reconnects for ever, first at once, then more and more patiently. */
export function socket(address: string): Transport {
  let handler: (message: Message) => void = () => {};
  let told: (status: Status) => void = () => {};
  let open: WebSocket | null = null;
  let patience = 250;

  function connect(): void {
    const link = new WebSocket(address);
    link.binaryType = "arraybuffer";
    link.onopen = () => {
      open = link;
      patience = 250;
      told("open");
    };
    link.onmessage = (event: MessageEvent<ArrayBuffer>) => handler(unpack(event.data));
    link.onclose = () => {
      open = null;
      told("closed");
      setTimeout(connect, patience);
      patience = Math.min(SLOWEST, patience * 2);
    };
  }
  return {
    ask: (question) => open?.send(JSON.stringify(question)),
    on: (given) => void (handler = given),
    onStatus(given) {
      told = given;
      connect();
    },
    computes: true,
  };
}

export function widget(model: Model): Transport {
  const view = Math.random().toString(36).slice(2); // a widget may be shown twice, and both count their questions from one
  return {
    ask: (question) => model.send({ ...question, view }),
    on: (handler) =>
      model.on("msg:custom", ((content: { view?: string }, buffers: (DataView | ArrayBuffer)[]) => {
        const first = buffers?.[0];
        if (first && content?.view === view) handler(unpack(bufferOf(first)));
      }) as (...given: never[]) => void),
    onStatus: (told) => queueMicrotask(() => told("open")),
    computes: true,
  };
}

function bufferOf(given: DataView | ArrayBuffer): ArrayBuffer {
  if (given instanceof ArrayBuffer) return given;
  return given.buffer.slice(given.byteOffset, given.byteOffset + given.byteLength) as ArrayBuffer;
}

const ANSWERS: Record<string, string> = {
  hello: "welcome", descend: "scene", surface: "surface", verdict: "verdicts", rates: "rates", range: "range", find: "found",
};

/** The answers are already there; what is not there is answered with "absent". */
export function embedded(base64: string): Transport {
  const messages = unpackAll(Uint8Array.from(atob(base64.trim()), (letter) => letter.charCodeAt(0)).buffer);
  let handler: (message: Message) => void = () => {};
  const answer = (question: Asked): Message => {
    const kept = messages.find((message) => message.kind === ANSWERS[question.ask]);
    return kept ? { ...kept, seq: question.seq } : { kind: "absent", seq: question.seq, ask: question.ask };
  };
  return {
    ask: (question) => queueMicrotask(() => handler(answer(question))),
    on: (given) => void (handler = given),
    onStatus: (told) => queueMicrotask(() => told("open")),
    computes: false,
  };
}
