// What every panel is given.

import type { Theme } from "./colours";
import type { Scene } from "./scene";
import type { Change, State } from "./state";

export interface View {
  scene: Scene;
  state: State;
  theme: Theme;
  /** Relevance of every node. */
  whole: Float32Array;
  /** What passes through the traced node; null if none is traced, or it is unknown. */
  traced: Float32Array | null;
  hover: number | null;
  change: (c: Change) => void;
  trace: (node: number) => void;
  setHover: (node: number | null) => void;
}

/** The class that says how wide each panel is, of 12 columns, by what the page has. */
export function widthsOf(scene: Scene): Record<"input" | "grids" | "units" | "ledger", string> {
  const inner = scene.layers.filter((l) => l.group !== "input");
  const maps = inner.some((l) => l.rows > 0);
  const units = inner.some((l) => l.units > 0);
  if (scene.kind === "text" && units) return { input: "wide", grids: "w6", units: "w3", ledger: "w3" };
  if (scene.kind === "text" && maps) return { input: "wide", grids: "w8", units: "", ledger: "w4" };
  if (maps) return { input: "w5", grids: "w7", units: "w6", ledger: units ? "w6" : "wide" };
  return { input: units ? "w5" : "w8", grids: "", units: "w4", ledger: units ? "w3" : "w4" };
}
