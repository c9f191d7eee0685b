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
