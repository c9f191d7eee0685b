// The input, coloured by its relevance: words, an image, features, or a series.

import { useState } from "preact/hooks";
import { colour, css, fade, inkOn } from "../colours";
import { largest, signed } from "../numbers";
import { shownAt } from "../values";
import { widthsOf, type View } from "../view";
import { Bars } from "../parts/Bars";
import { imageOf } from "../parts/image";
import { Legend } from "../parts/Legend";
import { Matrix } from "../parts/Matrix";
import { useWidth } from "../parts/width";

const WINDOW = 400;
const MOST_FEATURES = 40;

export function Input(view: View) {
  const { scene } = view;
  const layer = scene.layers.find((l) => l.group === "input")!;
  const many = scene.layers.filter((l) => l.group === "input").length;
  return (
    <section class={`panel ${widthsOf(scene).input}`} aria-label="input">
      {many > 1 && <h2>{layer.name}</h2>}
      {scene.kind === "text" ? <Words {...view} /> : scene.kind === "table" ? <Features {...view} /> : <Pixels {...view} />}
    </section>
  );
}

function parts(view: View) {
  const layer = view.scene.layers.find((l) => l.group === "input")!;
  const count = layer.rows * layer.columns || layer.units;
  const own = view.whole.subarray(layer.first, layer.first + count);
  const limit = view.traced
    ? largest(view.traced.subarray(layer.first, layer.first + count))
    : largest(own);
  const least = limit * 0.005;
  const at = (node: number) => shownAt(view.whole, view.traced, node, least);
  return { layer, count, limit, at };
}

function Words(view: View) {
  const { scene, theme, state } = view;
  const { layer, count, limit, at } = parts(view);
  const [start, setStart] = useState(0);
  const [stop, setStop] = useState(0);
  const shown = Array.from({ length: Math.min(WINDOW, count - start) }, (_, i) => start + i);
  const move = (event: KeyboardEvent) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = Math.max(0, Math.min(shown.length - 1, stop + step));
    setStop(next);
    (event.currentTarget as HTMLElement).querySelectorAll<HTMLElement>(".chip")[next].focus();
  };
  return (
    <>
      <div class="chips" role="group" aria-label="words" onKeyDown={move}>
        {shown.map((i, k) => {
          const node = layer.first + i;
          const { amount, faded } = at(node);
          const full = colour(amount / limit, theme);
          const rgb = faded ? fade(full, 0.15, theme) : full;
          return (
            <button
              type="button"
              key={i}
              class={`chip${amount < -0.02 * limit ? " against" : ""}${state.trail.at(-1) === node ? " on" : ""}`}
              style={{ background: css(rgb), color: inkOn(rgb) }}
              tabIndex={k === stop ? 0 : -1}
              aria-label={`${scene.words[i]}, ${signed(amount)}`}
              onClick={() => (setStop(k), view.trace(node))}
              onFocus={() => view.setHover(node)}
              onMouseEnter={() => view.setHover(node)}
              onMouseLeave={() => view.setHover(null)}
            >
              <bdi>{scene.words[i]}</bdi>
            </button>
          );
        })}
      </div>
      {count > WINDOW && (
        <div class="tools">
          <button type="button" disabled={start === 0} onClick={() => setStart(Math.max(0, start - WINDOW))}>
            earlier words
          </button>
          <span class="quiet">
            words {start + 1} to {start + shown.length} of {count}
          </span>
          <button type="button" disabled={start + WINDOW >= count} onClick={() => setStart(start + WINDOW)}>
            later words
          </button>
        </div>
      )}
      <Legend limit={limit} theme={theme} note={view.traced ? "through the traced node" : undefined} />
    </>
  );
}

function Features(view: View) {
  const { scene } = view;
  const { layer, count, limit, at } = parts(view);
  const all = Array.from({ length: count }, (_, i) => {
    const [name, value] = scene.features[i] ?? [`feature ${i}`, ""];
    const node = layer.first + i;
    return { node, name: value ? `${name} = ${value}` : name, ...at(node) };
  });
  const bars = all.sort((a, b) => Math.abs(b.amount) - Math.abs(a.amount)).slice(0, MOST_FEATURES);
  return (
    <>
      <Bars bars={bars} limit={limit} label="features" on={view.state.trail.slice(-1)} pick={view.trace} hover={view.setHover} />
      {count > bars.length && <div class="quiet">{count - bars.length} weaker features are not shown</div>}
    </>
  );
}

function Pixels(view: View) {
  const { scene, state } = view;
  const { layer, limit, at } = parts(view);
  const [ref, width] = useWidth();
  const image = imageOf(scene);
  const room = image && width > 420 ? (width - 40) / 2 : width - 14;
  const side = Math.max(2, Math.min(Math.floor(room / layer.columns), Math.floor(280 / layer.rows)));
  const size: [number, number] = layer.rows === 1 ? [Math.max(2, (width - 14) / layer.columns), 44] : [side, side];
  const note = layer.pooled[0] > 1 ? `a cell sums over ${layer.pooled[0]}×${layer.pooled[1]} pixels` : undefined;
  const cells = {
    rows: layer.rows,
    columns: layer.columns,
    node: (row: number, column: number) => layer.first + row * layer.columns + column,
    at,
  };
  const common = { cells, size, theme: "light" as const, threshold: state.threshold };
  return (
    <div ref={ref}>
      <div style={{ display: "flex", flexWrap: "wrap", gap: "12px" }}>
        {image && <Still image={image} wide={layer.columns * side} high={layer.rows * side} />}
        <div class="map">
          <Matrix
            {...common}
            limit={limit}
            label="relevance of the input"
            on={state.trail.slice(-1)}
            hover={view.hover}
            under={image && state.imageOnly ? { image, alone: true } : null}
            pick={view.trace}
            setHover={view.setHover}
          />
        </div>
      </div>
      <Legend limit={limit} theme="light" note={note} />
    </div>
  );
}

function Still({ image, wide, high }: { image: HTMLCanvasElement; wide: number; high: number }) {
  const style = { width: `${wide}px`, height: `${high}px`, imageRendering: "pixelated" as const };
  return (
    <div class="map">
      <img src={image.toDataURL()} alt="the input" style={style} />
    </div>
  );
}
