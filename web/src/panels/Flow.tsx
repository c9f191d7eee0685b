// Where the relevance of the traced node came from and where it went, strongest first.

import { percent, signed } from "../numbers";
import { nameOf, placeOf } from "../state";
import type { View } from "../view";
import { Bars, type Bar } from "../parts/Bars";

const MOST = 8;

/** Return the layers that a layer is computed from, however far. */
function before(view: View, index: number): Set<number> {
  const found = new Set<number>();
  const open = [...view.scene.layers[index].reads];
  while (open.length) {
    const next = open.pop()!;
    if (found.has(next)) continue;
    found.add(next);
    open.push(...view.scene.layers[next].reads);
  }
  return found;
}

export function Flow(view: View) {
  const { scene, state, traced, whole } = view;
  const node = state.trail[state.trail.length - 1];
  if (!traced || node === undefined) return null;
  const { index } = placeOf(scene, node);
  const earlier = before(view, index);
  const layers = scene.layers.map((_, i) => i).filter((i) => i !== index);
  const from = strongest(view, traced, layers.filter((i) => earlier.has(i)));
  const into = strongest(view, traced, layers.filter((i) => before(view, i).has(index)));
  return (
    <section class="panel wide" aria-label="flow">
      <h2>
        Through <bdi>{nameOf(scene, node)}</bdi> pass {signed(whole[node])} {scene.unit}
      </h2>
      <div style={{ display: "grid", gridTemplateColumns: "repeat(auto-fit, minmax(260px, 1fr))", gap: "8px 24px" }}>
        <Side title="from the output, through" bars={into} view={view} of={whole[node]} />
        <Side title="on to, towards the input" bars={from} view={view} of={whole[node]} />
      </div>
    </section>
  );
}

function Side({ title, bars, view, of }: { title: string; bars: Bar[]; view: View; of: number }) {
  if (!bars.length) return null;
  const told = bars.map((bar) => ({ ...bar, title: `${bar.name}: ${percent(bar.amount / of)} of it` }));
  return (
    <div>
      <div class="quiet">{title}</div>
      <Bars bars={told} pick={view.trace} hover={view.setHover} label={title} on={[]} />
    </div>
  );
}

function strongest({ scene }: View, traced: Float32Array, layers: number[]): Bar[] {
  const found: Bar[] = [];
  for (const i of layers) {
    const layer = scene.layers[i];
    const count = layer.rows * layer.columns + layer.units;
    for (let n = layer.first; n < layer.first + count; n++)
      if (traced[n]) found.push({ node: n, name: nameOf(scene, n), amount: traced[n] });
  }
  return found.sort((a, b) => Math.abs(b.amount) - Math.abs(a.amount)).slice(0, MOST);
}
