// The numbers that are shown: of one target, or of one less another; whole, or through one node.

import type { Ledger, Scene } from "./scene";
import type { State } from "./state";

function less(a: Float32Array, b: Float32Array | undefined): Float32Array {
  return b ? a.map((x, i) => x - b[i]) : a;
}

/** Relevance at every node. It is linear in the target, so a contrast is a difference. */
export function relevanceOf(scene: Scene, s: State): Float32Array {
  return less(scene.targets[s.target].relevance, scene.targets[s.minus]?.relevance);
}

/** What passes through the last node of the trail; null if there is none, or it is unknown. */
export function traceOf(scene: Scene, s: State): Float32Array | null {
  const node = s.trail[s.trail.length - 1];
  if (node === undefined) return null;
  const own = scene.targets[s.target].traces.get(node);
  if (s.minus < 0) return own ?? null;
  const other = scene.targets[s.minus].traces.get(node);
  return own && other ? less(own, other) : null;
}

export function explainedOf(scene: Scene, s: State): number {
  return scene.targets[s.target].explained - (scene.targets[s.minus]?.explained ?? 0);
}

export function questionOf(scene: Scene, s: State): string {
  const { label, question } = scene.targets[s.target];
  return s.minus < 0 ? question : `why “${label}” rather than “${scene.targets[s.minus].label}”?`;
}

function lessRows(a: Record<string, number>, b: Record<string, number> = {}) {
  const names = [...new Set([...Object.keys(a), ...Object.keys(b)])];
  return Object.fromEntries(names.map((n) => [n, (a[n] ?? 0) - (b[n] ?? 0)]));
}

/** The ledger, or the difference of two; null if the page has none. */
export function ledgerOf(scene: Scene, s: State): Ledger | null {
  const own = scene.targets[s.target].ledger;
  const other = scene.targets[s.minus]?.ledger;
  if (!own || (s.minus >= 0 && !other)) return null;
  if (!other) return own;
  const before = new Map(other.ops.map((op) => [op.node, op]));
  return {
    explained: own.explained - other.explained,
    arrived: lessRows(own.arrived, other.arrived),
    absorbed: lessRows(own.absorbed, other.absorbed),
    residual: own.residual - other.residual,
    balances: own.balances && other.balances,
    left_out: Math.max(own.left_out, other.left_out),
    ops: own.ops
      .filter((op) => before.has(op.node))
      .map((op) => ({
        ...op,
        received: op.received - before.get(op.node)!.received,
        passed: op.passed - before.get(op.node)!.passed,
        absorbed: lessRows(op.absorbed, before.get(op.node)!.absorbed),
      })),
  };
}

/** A number to show, and whether it is the traced part or the faded rest. */
export interface Shown {
  amount: number;
  faded: boolean;
}

/** Return what is shown at a node: what passes through the traced one; the rest is faded. */
export function shownAt(
  whole: Float32Array,
  traced: Float32Array | null,
  node: number,
  least: number,
): Shown {
  if (!traced) return { amount: whole[node], faded: false };
  const part = traced[node];
  return Math.abs(part) > least ? { amount: part, faded: false } : { amount: whole[node], faded: true };
}
