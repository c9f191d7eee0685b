// Layers: a grid of layer by token, or one map per layer.

import { useEffect, useRef } from "preact/hooks";
import { colour, fade, type Theme } from "../colours";
import { largest, signed } from "../numbers";
import type { Layer } from "../scene";
import { groupsOf } from "../state";
import { shownAt } from "../values";
import { widthsOf, type View } from "../view";
import { Legend } from "../parts/Legend";
import { Matrix } from "../parts/Matrix";
import { Twin } from "../parts/Twin";
import { useWidth } from "../parts/width";

const WINDOW = 400;

export function Grids(view: View) {
  const { scene, state, change } = view;
  const groups = groupsOf(scene).filter((g) => g !== "input" || scene.kind === "text");
  const layers = scene.layers.filter((l) => l.group === state.group);
  if (!scene.layers.some((l) => l.rows > 0 && (l.group !== "input" || scene.kind === "text"))) return null;
  const grid = layers.length > 0 && layers.every((l) => l.rows === 1) && scene.kind === "text";
  return (
    <section class={`panel ${widthsOf(scene).grids}`} aria-label="layers">
      {groups.length > 1 && (
        <div class="tabs" role="group" aria-label="which layers">
          {groups.map((group) => (
            <button
              type="button"
              aria-pressed={group === state.group}
              onClick={() => change({ group, layer: scene.layers.map((l) => l.group).lastIndexOf(group) })}
            >
              {TITLES[group] ?? group}
            </button>
          ))}
        </div>
      )}
      {grid ? <TokenGrid view={view} layers={layers} /> : <Maps view={view} layers={layers} />}
    </section>
  );
}

const TITLES: Record<string, string> = {
  stream: "residual stream",
  attention: "attention",
  mlp: "MLP",
  input: "input",
};

function limits(view: View, layers: Layer[]) {
  const shown = view.traced ?? view.whole;
  const all = view.state.scale === "all" ? view.scene.layers : layers;
  const limit = largest(
    all.map((l) => largest(shown.subarray(l.first, l.first + (l.rows * l.columns || l.units)))),
  );
  const at = (node: number) => shownAt(view.whole, view.traced, node, limit * 0.005);
  return { limit, at };
}

function TokenGrid({ view, layers }: { view: View; layers: Layer[] }) {
  const { scene, state, theme } = view;
  const [ref, width] = useWidth();
  const { limit, at } = limits(view, layers);
  const ordered = [...layers].reverse();
  const columns = Math.min(WINDOW, layers[0].columns);
  const names = ordered.map((l) => l.name);
  const labels = 10 + 6.5 * Math.max(...names.map((n) => n.length));
  const cell = Math.max(16, Math.min(64, Math.floor((width - labels - 26) / columns)));
  const pick = (node: number) => {
    const layer = scene.layers.findIndex((l) => node >= l.first && node < l.first + l.columns);
    view.change({ layer });
    view.trace(node);
  };
  const cells = {
    rows: ordered.length,
    columns,
    node: (row: number, column: number) => ordered[row].first + column,
    at,
  };
  return (
    <div ref={ref}>
      <Matrix
        cells={cells}
        limit={limit}
        threshold={state.threshold}
        theme={theme}
        label={`relevance by layer and token, ${TITLES[state.group] ?? state.group}`}
        size={[cell, 26]}
        rowNames={names}
        columnNames={scene.words.slice(0, columns)}
        on={state.trail.slice(-1)}
        hover={view.hover}
        pick={pick}
        setHover={view.setHover}
      />
      {columns < layers[0].columns && (
        <div class="quiet">the first {columns} of {layers[0].columns} tokens</div>
      )}
      <Legend limit={limit} theme={theme} note={view.traced ? "through the traced node" : undefined} />
      <Twin
        head={scene.words.slice(0, columns)}
        rows={ordered.map((l) => [l.name, Array.from(view.whole.subarray(l.first, l.first + columns), signed)])}
      />
    </div>
  );
}

function Maps({ view, layers }: { view: View; layers: Layer[] }) {
  const { scene, state, change } = view;
  const [ref, width] = useWidth();
  const layer = layers.find((l) => l === scene.layers[state.layer]) ?? layers[layers.length - 1];
  const { limit, at } = limits(view, state.scale === "all" ? layers : [layer]);
  const side = Math.max(2, Math.min(Math.floor((width - 16) / (layer.columns || 1)), Math.floor(340 / (layer.rows || 1))));
  const size: [number, number] =
    layer.rows === 1 ? [Math.max(2, (width - 16) / layer.columns), 44] : [side, side];
  return (
    <div ref={ref}>
      <div class="layers" role="group" aria-label="choose a layer">
        {layers.map((l) => (
          <button
            type="button"
            aria-pressed={l === layer}
            onClick={() => change({ layer: scene.layers.indexOf(l) })}
          >
            <Thumb view={view} layer={l} />
            {l.name}
          </button>
        ))}
      </div>
      {layer.rows > 0 ? (
        <>
          <div class="map">
            <Matrix
              key={layer.first}
              cells={{
                rows: layer.rows,
                columns: layer.columns,
                node: (row, column) => layer.first + row * layer.columns + column,
                at,
              }}
              limit={limit}
              threshold={state.threshold}
              theme="light"
              label={`relevance at ${layer.name}`}
              size={size}
              on={state.trail.slice(-1)}
              hover={view.hover}
              pick={view.trace}
              setHover={view.setHover}
            />
          </div>
          <Legend limit={limit} theme="light" note={poolNote(layer)} />
        </>
      ) : (
        <p class="quiet">{layer.name} has no map: its {layer.unit}s are beside.</p>
      )}
    </div>
  );
}

const poolNote = (l: Layer) =>
  l.pooled[0] > 1 || l.pooled[1] > 1
    ? `a cell sums over ${l.pooled[0]}×${l.pooled[1]} places`
    : undefined;

function Thumb({ view, layer }: { view: View; layer: Layer }) {
  const ref = useRef<HTMLCanvasElement>(null);
  const rows = layer.rows || 1;
  const columns = layer.columns || layer.units;
  useEffect(() => paintThumb(ref.current!, view, layer, rows, columns, "light"));
  const scale = Math.min(48 / rows, 48 / columns);
  const style = { width: `${Math.max(8, columns * scale)}px`, height: `${Math.max(8, rows * scale)}px` };
  return <canvas ref={ref} width={columns} height={rows} style={style} aria-hidden="true" />;
}

function paintThumb(
  canvas: HTMLCanvasElement,
  view: View,
  layer: Layer,
  rows: number,
  columns: number,
  theme: Theme,
): void {
  const paint = canvas.getContext("2d")!;
  const data = paint.createImageData(columns, rows);
  const { limit, at } = limits(view, [layer]);
  for (let i = 0; i < rows * columns; i++) {
    const { amount, faded } = at(layer.first + i);
    const rgb = colour(amount / limit, theme);
    data.data.set([...(faded ? fade(rgb, 0.15, theme) : rgb), 255], 4 * i);
  }
  paint.putImageData(data, 0, 0);
}
