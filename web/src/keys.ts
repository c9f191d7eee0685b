// The keys that work everywhere on the page; arrows belong to the panel that has the focus.

import type { Scene } from "./scene";
import type { Change, State } from "./state";

export const KEYS: [string, string][] = [
  ["← →", "the token, pixel or word beside"],
  ["↑ ↓", "the layer, row or bar above and below"],
  ["Enter", "trace through it"],
  ["Backspace", "one trace back"],
  ["Esc", "no trace"],
  ["T", "next target"],
  ["S", "scale of its own, or one for all layers"],
  ["[ ]", "hide weaker cells, show them again"],
  ["Space", "the image alone, or with relevance"],
  ["/", "search a word, layer or module"],
  ["?", "this list"],
];

/** Return whether a key belongs to a field that text or a choice is entered in. */
export function isTyping(event: KeyboardEvent): boolean {
  const at = event.target as HTMLElement;
  const field = /^(INPUT|SELECT|TEXTAREA)$/.test(at.tagName) || at.closest("dialog") !== null;
  return field || event.ctrlKey || event.metaKey || event.altKey;
}

/** Return what a key changes; undefined if it is none of ours. */
export function actionOf(
  event: KeyboardEvent,
  scene: Scene,
  s: State,
): Change | "help" | "search" | undefined {
  const step = (by: number) => ({ threshold: Math.max(0, Math.min(0.5, s.threshold + by)) });
  switch (event.key) {
    case "Backspace":
      return { trail: s.trail.slice(0, -1) };
    case "Escape":
      return { trail: [], cause: "" };
    case "t":
    case "T": {
      const target = (s.target + 1) % scene.targets.length;
      return { target, minus: s.minus === target ? -1 : s.minus };
    }
    case "s":
    case "S":
      return { scale: s.scale === "own" ? "all" : "own" };
    case "[":
      return step(0.02);
    case "]":
      return step(-0.02);
    case " ":
      return scene.image && !(event.target as HTMLElement).closest("button, summary")
        ? { imageOnly: !s.imageOnly }
        : undefined;
    case "/":
      return "search";
    case "?":
      return "help";
    default:
      return undefined;
  }
}
