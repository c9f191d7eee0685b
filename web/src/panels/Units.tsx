// The heads, channels or features of one layer, strongest first.

import { shownAt } from "../values";
import { widthsOf, type View } from "../view";
import { Bars } from "../parts/Bars";
import { largest } from "../numbers";

const MOST = 24;

export function Units(view: View) {
  const { scene, state, change } = view;
  const withUnits = scene.layers.filter((l) => l.units && l.group !== "input");
  if (!withUnits.length) return null;
  const wanted = scene.layers[state.layer];
  const layer = wanted?.units && wanted.group !== "input" ? wanted : nearest(view, withUnits);
  const first = layer.first + layer.rows * layer.columns;
  const limit = largest((view.traced ?? view.whole).subarray(first, first + layer.units));
  const bars = Array.from({ length: layer.units }, (_, i) => ({
    node: first + i,
    name: `${layer.unit} ${i}`,
    ...shownAt(view.whole, view.traced, first + i, limit * 0.005),
  })).sort((a, b) => Number(a.faded) - Number(b.faded) || Math.abs(b.amount) - Math.abs(a.amount));
  return (
    <section class={`panel ${widthsOf(scene).units}`} aria-label="units">
      <h2>
        {plural(layer.unit)} of{" "}
        <select
          aria-label="layer"
          value={scene.layers.indexOf(layer)}
          onChange={(e) => {
            const index = Number(e.currentTarget.value);
            change({ layer: index, group: scene.layers[index].group });
          }}
        >
          {withUnits.map((l) => (
            <option value={scene.layers.indexOf(l)}>{l.name}</option>
          ))}
        </select>
      </h2>
      <Bars
        bars={bars.slice(0, MOST)}
        limit={limit}
        label={`${layer.unit}s of ${layer.name}`}
        on={state.trail.slice(-1)}
        pick={view.trace}
        hover={view.setHover}
      />
      {bars.length > MOST && <div class="quiet">{bars.length - MOST} weaker ones are not shown</div>}
    </section>
  );
}

const plural = (unit: string) => `${unit[0].toUpperCase()}${unit.slice(1)}s`;

/** Return the layer with units that comes last up to the chosen one. */
function nearest({ state, scene }: View, withUnits: View["scene"]["layers"]) {
  const before = withUnits.filter((l) => scene.layers.indexOf(l) <= state.layer);
  return before[before.length - 1] ?? withUnits[0];
}
