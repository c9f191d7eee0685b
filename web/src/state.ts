// What the reader has chosen; the address holds it, so that a link or a reload shows the same.

import type { Layer, Scene } from "./scene";

export type Scale = "own" | "all";

export interface State {
  target: number;
  /** The target that is subtracted, or -1. */
  minus: number;
  group: string;
  layer: number;
  /** The nodes traced so far; the last is shown. */
  trail: number[];
  scale: Scale;
  /** Cells below this share of the limit are left blank. */
  threshold: number;
  imageOnly: boolean;
  cause: string;
}

export type Change = Partial<State>;

const whole = (text: string | null, least: number, below: number, otherwise: number) => {
  const n = Number(text);
  return text !== null && text !== "" && Number.isInteger(n) && n >= least && n < below ? n : otherwise;
};

export function nodeCount(scene: Scene): number {
  return scene.layers.reduce((sum, l) => sum + l.rows * l.columns + l.units, 0);
}

/** Return the groups of layers, those behind the input first. */
export function groupsOf(scene: Scene): string[] {
  const names = [...new Set(scene.layers.map((l) => l.group))];
  return [...names.filter((n) => n !== "input"), ...names.filter((n) => n === "input")];
}

/** Read the state that an address holds; what it does not say, or says wrongly, is as at first. */
export function readState(hash: string, scene: Scene): State {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const groups = groupsOf(scene);
  const group = groups.includes(given.get("group") ?? "") ? given.get("group")! : firstGroup(groups);
  const last = scene.layers.map((l) => l.group).lastIndexOf(group);
  const nodes = nodeCount(scene);
  const trail = (given.get("trail") ?? "").split(".").map((t) => whole(t, 0, nodes, -1));
  return {
    target: whole(given.get("target"), 0, scene.targets.length, 0),
    minus: whole(given.get("minus"), 0, scene.targets.length, -1),
    group,
    layer: whole(given.get("layer"), 0, scene.layers.length, last),
    trail: trail.filter((n) => n >= 0),
    scale: given.get("scale") === "all" ? "all" : "own",
    threshold: whole(given.get("threshold"), 0, 51, 0) / 100,
    imageOnly: false,
    cause: given.get("cause") ?? "",
  };
}

const firstGroup = (groups: string[]) => (groups.includes("stream") ? "stream" : groups[0]);

/** Return the address of a state. */
export function writeState(s: State): string {
  const said = new URLSearchParams();
  if (s.target) said.set("target", String(s.target));
  if (s.minus >= 0) said.set("minus", String(s.minus));
  said.set("group", s.group);
  said.set("layer", String(s.layer));
  if (s.trail.length) said.set("trail", s.trail.join("."));
  if (s.scale !== "own") said.set("scale", s.scale);
  if (s.threshold) said.set("threshold", String(Math.round(100 * s.threshold)));
  if (s.cause) said.set("cause", s.cause);
  return `#${said}`;
}

/** A node as people know it. */
export interface Place {
  layer: Layer;
  index: number;
  unit: boolean;
  /** The cell or the unit within the layer. */
  at: number;
}

export function placeOf(scene: Scene, node: number): Place {
  let index = scene.layers.length - 1;
  while (index > 0 && scene.layers[index].first > node) index -= 1;
  const layer = scene.layers[index];
  const cells = layer.rows * layer.columns;
  const inside = node - layer.first;
  return { layer, index, unit: inside >= cells, at: inside >= cells ? inside - cells : inside };
}

/** Return what a node is called: `attention 3, head 1`, `nurse, layer 2`. */
export function nameOf(scene: Scene, node: number): string {
  const { layer, unit, at } = placeOf(scene, node);
  if (unit) {
    const feature = layer.group === "input" && scene.features[at];
    return feature ? feature[0] : `${layer.name}, ${layer.unit} ${at}`;
  }
  if (layer.rows === 1) {
    const word = scene.words[at];
    return `${layer.name}, ${word === undefined ? `cell ${at}` : `“${word}”`}`;
  }
  return `${layer.name}, row ${Math.floor(at / layer.columns)}, column ${at % layer.columns}`;
}
