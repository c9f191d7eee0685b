// Where components are drawn. Only what is shown takes room: words and layers without any shrink.

import { isMove, type Circuit } from "./data";

export interface Box {
  x: number;
  y: number;
}

export interface Band {
  at: number;
  size: number;
  /** The words or layers of it: one that is used, or a run of unused ones. */
  members: number[];
  used: boolean;
}

export interface Layout {
  /** flow: layers rightward, a band per word; grid: layers upward, a column per word. */
  mode: "flow" | "grid";
  boxes: Map<number, Box>;
  words: Band[];
  layers: Band[];
  /** Where the drawing begins, right of the names. */
  left: number;
  width: number;
  height: number;
}

export const BOX = { width: 52, height: 28 };
export const MARGIN = { top: 34, bottom: 30 };
const GAP = { word: 24, layer: 10, beside: 12, between: 16, most: 90 };
const LANE = { least: 44, most: 96 };
const SWEEPS = 8;

type Cells = Map<string, number[]>;
const key = (position: number, row: number) => `${position}/${row}`;

function cellsOf(circuit: Circuit, used: number[]): Cells {
  const cells: Cells = new Map();
  for (const i of used) {
    const { position, row } = circuit.places[i];
    const cell = key(position, row);
    cells.set(cell, [...(cells.get(cell) ?? []), i]);
  }
  for (const inside of cells.values())
    inside.sort((a, b) => circuit.places[a].name.localeCompare(circuit.places[b].name));
  return cells;
}

/** Order what shares a cell by where its neighbours lie, so that fewer edges cross. */
function sweep(circuit: Circuit, shown: number[], cells: Cells): void {
  const beside = new Map<number, number[]>();
  for (const i of shown) {
    const { source, target } = circuit.lines[i];
    if (isMove(circuit.lines[i])) continue;
    beside.set(source, [...(beside.get(source) ?? []), target]);
    beside.set(target, [...(beside.get(target) ?? []), source]);
  }
  const place = (i: number) => {
    const { position, row } = circuit.places[i];
    const inside = cells.get(key(position, row))!;
    return position + (inside.indexOf(i) + 0.5) / inside.length;
  };
  for (let k = 0; k < SWEEPS; k++)
    for (const inside of cells.values()) {
      const mean = new Map(
        inside.map((i) => {
          const near = beside.get(i) ?? [];
          return [i, near.length ? near.reduce((s, n) => s + place(n), 0) / near.length : place(i)];
        }),
      );
      inside.sort((a, b) => mean.get(a)! - mean.get(b)!);
    }
}

/** Return bands of words or layers: full size where something is shown, a gap for runs without. */
function bandsOf(count: number, sizeOf: (i: number) => number, gap: number, between: number): Band[] {
  const bands: Band[] = [];
  for (let i = 0; i < count; i++) {
    const size = sizeOf(i);
    const last = bands[bands.length - 1];
    if (size === 0 && last && !last.used) last.members.push(i);
    else bands.push({ at: 0, size: size || gap, members: [i], used: size > 0 });
  }
  let at = 0;
  for (const band of bands) {
    band.at = at;
    at += band.size + (band.used ? between : 0);
  }
  return bands;
}

const endOf = (bands: Band[]) => Math.max(0, ...bands.map((b) => b.at + b.size));

/** Move bands apart until they end at a length. */
function stretch(bands: Band[], length: number): void {
  const used = bands.filter((b) => b.used);
  const extra = length - endOf(bands);
  if (extra <= 0 || used.length < 2) return;
  const step = extra / (used.length - 1);
  let moved = -1;
  for (const band of bands) {
    if (band.used) moved += 1;
    const inside = !band.used && moved >= 0 && moved < used.length - 1;
    band.at += step * Math.max(0, moved) + (inside ? step / 2 : 0);
  }
}

interface Sizes {
  words: Band[];
  layers: Band[];
}

function bandsFor(circuit: Circuit, cells: Cells, mode: Layout["mode"], lane: number): Sizes {
  const across = mode === "flow" ? BOX.height : BOX.width;
  const along = mode === "flow" ? BOX.width : BOX.height;
  const rows = circuit.rows.map((_, row) => row);
  const fullest = (t: number) => Math.max(0, ...rows.map((row) => cells.get(key(t, row))?.length ?? 0));
  const usedRow = (row: number) => circuit.tokens.some((_, t) => cells.has(key(t, row)));
  const word = (t: number) => {
    const most = fullest(t);
    return most && most * across + (most - 1) * GAP.beside;
  };
  return {
    words: bandsOf(circuit.tokens.length, word, GAP.word, GAP.between),
    layers: bandsOf(rows.length, (row) => (usedRow(row) ? along : 0), GAP.layer, lane),
  };
}

/** Return the layout of shown edges that draws them larger in a window of this size. */
export function layOut(circuit: Circuit, shown: number[], width: number, height: number): Layout {
  const ends = shown.flatMap((i) => [circuit.lines[i].source, circuit.lines[i].target]);
  const cells = cellsOf(circuit, [...new Set(ends)]);
  sweep(circuit, shown, cells);
  const left = width < 500 ? 78 : 100;
  const inner = { width: width - left - 12, height: height - MARGIN.top - MARGIN.bottom };
  const fit = (mode: Layout["mode"]) => {
    const { words, layers } = bandsFor(circuit, cells, mode, LANE.least);
    const [wide, high] = mode === "flow" ? [layers, words] : [words, layers];
    return Math.min(1, inner.width / endOf(wide), inner.height / endOf(high));
  };
  const mode = fit("grid") > fit("flow") ? "grid" : "flow";
  const { words, layers } = bandsFor(circuit, cells, mode, LANE.least);
  if (mode === "flow") {
    stretch(layers, inner.width);
    const gaps = words.filter((b) => b.used).length - 1;
    stretch(words, Math.min(inner.height, endOf(words) + gaps * GAP.most));
  } else {
    stretch(words, inner.width);
    const lanes = layers.filter((b) => b.used).length - 1;
    const room = Math.min(inner.height, endOf(layers) + lanes * (LANE.most - LANE.least));
    stretch(layers, room);
  }
  return placed(circuit, cells, { mode, words, layers, left });
}

type Frame = Omit<Layout, "boxes" | "width" | "height">;

function placed(circuit: Circuit, cells: Cells, frame: Frame): Layout {
  const { words, layers, left } = frame;
  const flow = frame.mode === "flow";
  // Edges that bow out of the outer bands need room as well.
  const high = MARGIN.top + endOf(flow ? words : layers) + MARGIN.bottom + (flow ? 24 : 0);
  const across = flow ? BOX.height : BOX.width;
  const find = (bands: Band[], i: number) => bands.find((b) => b.members.includes(i))!;
  const boxes = new Map<number, Box>();
  for (const inside of cells.values())
    inside.forEach((i, k) => {
      const { position, row } = circuit.places[i];
      const [word, layer] = [find(words, position), find(layers, row)];
      const length = inside.length * across + (inside.length - 1) * GAP.beside;
      const start = word.at + (word.size - length) / 2 + k * (across + GAP.beside);
      boxes.set(
        i,
        flow
          ? { x: left + layer.at, y: MARGIN.top + start }
          : { x: left + start, y: high - MARGIN.bottom - layer.at - BOX.height },
      );
    });
  return { ...frame, boxes, width: left + endOf(flow ? layers : words) + 12, height: high };
}

export type Point = [number, number];

/** Return where an edge leaves and enters; queries, keys and values have ports of their own. */
export function endsOf(layout: Layout, source: number, target: number, input: string): [Point, Point] {
  const [a, b] = [layout.boxes.get(source)!, layout.boxes.get(target)!];
  const port = { q: -1, k: 0, v: 1 }[input] ?? 0;
  if (layout.mode === "flow")
    return [
      [a.x + BOX.width, a.y + BOX.height / 2],
      [b.x, b.y + BOX.height / 2 + port * 8.5],
    ];
  return [
    [a.x + BOX.width / 2, a.y],
    [b.x + BOX.width / 2 + port * 15, b.y + BOX.height],
  ];
}

/** Return the path of an edge; one that skips layers bows outward, around what lies between. */
export function pathOf(layout: Layout, from: Point, to: Point, skipped: number): string {
  const flow = layout.mode === "flow";
  const [x1, y1] = from;
  const [x2, y2] = to;
  const bow = skipped > 0 ? Math.min(110, 22 + 16 * skipped) : 0;
  if (flow) {
    const reach = Math.max(24, (x2 - x1) * 0.45);
    const out = (y1 + y2) / 2 < layout.height / 2 ? -bow : bow;
    return `M${x1},${y1}C${x1 + reach},${y1 + out} ${x2 - reach},${y2 + out} ${x2},${y2}`;
  }
  const reach = Math.max(24, (y1 - y2) * 0.45);
  const out = (x1 + x2) / 2 < layout.width / 2 ? -bow : bow;
  return `M${x1},${y1}C${x1 + out},${y1 - reach} ${x2 + out},${y2 + reach} ${x2},${y2}`;
}
