// The page's data: the words are JSON, the numbers half floats, both compressed in one text.

import type { Circuit } from "./circuit/data";

export interface Layer {
  name: string;
  group: string;
  rows: number;
  columns: number;
  units: number;
  unit: string;
  module: string;
  node: string;
  op: string;
  rule: string;
  line: string;
  shape: string;
  reads: number[];
  pooled: [number, number];
  /** The first of its nodes. */
  first: number;
}

export interface OpLine {
  node: string;
  op: string;
  rule: string;
  place: string;
  received: number;
  passed: number;
  absorbed: Record<string, number>;
}

export interface Ledger {
  explained: number;
  arrived: Record<string, number>;
  absorbed: Record<string, number>;
  residual: number;
  balances: boolean;
  ops: OpLine[];
  left_out: number;
}

export interface Target {
  label: string;
  question: string;
  explained: number;
  probability: number | null;
  relevance: Float32Array;
  ledger: Ledger | null;
  traces: Map<number, Float32Array>;
}

export interface Scene {
  kind: "text" | "image" | "table" | "series";
  title: string;
  subtitle: string;
  preset: string;
  unit: string;
  words: string[];
  features: [string, string][];
  notes: string[];
  untraced: string;
  layers: Layer[];
  targets: Target[];
  image: { height: number; width: number; pixels: Uint8Array } | null;
  /** Where a server answers for nodes that were not traced; "" for a saved page. */
  live: string;
}

interface Packed {
  at: number;
  size: number;
  scale: number;
}

interface PackedTraces {
  nodes: number[];
  amounts: Packed[];
}

const HALF = 1024;

/** Return the number that 16 bits stand for. */
export function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  if (exponent === 0) return (sign * fraction * 2 ** -14) / HALF;
  return sign * 2 ** (exponent - 15) * (1 + fraction / HALF);
}

async function unzip(text: string): Promise<ArrayBuffer> {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

interface Opened {
  words: any;
  read: (place: Packed) => Float32Array;
  rest: (numbers: number) => Uint8Array;
}

function open(buffer: ArrayBuffer): Opened {
  const view = new DataView(buffer);
  const length = view.getUint32(0, true);
  const words = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const start = 4 + length;
  const read = ({ at, size, scale }: Packed) => {
    const found = new Float32Array(size);
    for (let i = 0; i < size; i++)
      found[i] = fromHalf(view.getUint16(start + 2 * (at + i), true)) * scale;
    return found;
  };
  return { words, read, rest: (numbers) => new Uint8Array(buffer, start + 2 * numbers) };
}

function readTraces(packed: PackedTraces | null, opened: Opened): Map<number, Float32Array> {
  const found = new Map<number, Float32Array>();
  packed?.nodes.forEach((node, i) => found.set(node, opened.read(packed.amounts[i])));
  return found;
}

/** Read what a page shows. */
export async function readPage(text: string, live: string): Promise<Scene | Circuit> {
  const opened = open(await unzip(text));
  return opened.words.kind === "circuit" ? opened.words : readScene(opened, live);
}

function readScene(opened: Opened, live: string): Scene {
  const { words: w } = opened;
  let first = 0;
  for (const layer of w.layers) {
    layer.first = first;
    first += layer.rows * layer.columns + layer.units;
  }
  const targets = w.targets.map((t: any) => ({
    ...t,
    relevance: opened.read(t.relevance),
    traces: readTraces(t.traces, opened),
  }));
  const image = w.image && {
    height: w.image[0],
    width: w.image[1],
    pixels: opened.rest(w.numbers),
  };
  return { ...w, targets, image, live };
}

/** Ask the server for the trace through a node; it is remembered. */
export async function fetchTrace(scene: Scene, target: number, node: number): Promise<void> {
  const answer = await fetch(`${scene.live}trace?target=${target}&node=${node}`);
  const text = await answer.text();
  if (!answer.ok) throw new Error(text || answer.statusText);
  const opened = open(await unzip(text));
  for (const [n, amounts] of readTraces(opened.words, opened))
    scene.targets[target].traces.set(n, amounts);
}
