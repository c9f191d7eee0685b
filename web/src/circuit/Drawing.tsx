// The drawing of a circuit: one tab stop, arrow keys go from component to component.

import { useState } from "preact/hooks";
import { signed } from "../numbers";
import type { Hover } from "./CircuitApp";
import { weakerEdges } from "./CircuitApp";
import { fullName, isMove, shortName, strongestScore, type Circuit } from "./data";
import { BOX, endsOf, MARGIN, pathOf, type Band, type Layout } from "./layout";

interface Props {
  circuit: Circuit;
  layout: Layout;
  shown: number[];
  chosen: number;
  onPath: Set<number> | null;
  hover: Hover;
  setHover: (h: Hover) => void;
  pick: (place: number) => void;
}

export function Drawing(props: Props) {
  const { circuit, layout, setHover } = props;
  const order = [...layout.boxes.keys()];
  const [cursor, setCursor] = useState(-1);
  const at = order.includes(cursor) ? cursor : (order[0] ?? -1);
  const press = (event: KeyboardEvent) => {
    const next = nextOf(layout, at, event.key);
    if (next !== undefined) {
      setCursor(next);
      setHover({ place: next });
    } else if (event.key === "Enter" && at >= 0) props.pick(at);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <svg
      width={layout.width}
      height={layout.height}
      viewBox={`0 0 ${layout.width} ${layout.height}`}
      tabIndex={0}
      role="application"
      aria-label={`circuit of ${order.length} components. Arrow keys move, Enter traces.`}
      data-mode={layout.mode}
      onKeyDown={press}
      onFocus={() => at >= 0 && setHover({ place: at })}
      onMouseLeave={() => setHover(null)}
    >
      <Names circuit={circuit} layout={layout} />
      <Edges {...props} />
      {order.map((i) => (
        <Component key={i} {...props} place={i} pick={(p) => (setCursor(p), props.pick(p))} />
      ))}
    </svg>
  );
}

const AHEAD: Record<string, [number, number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

/** Return the nearest component in the direction of an arrow key. */
function nextOf(layout: Layout, from: number, key: string): number | undefined {
  const way = AHEAD[key];
  const here = layout.boxes.get(from);
  if (!way || !here) return undefined;
  let best = from;
  let least = Infinity;
  for (const [i, box] of layout.boxes) {
    const [dx, dy] = [box.x - here.x, box.y - here.y];
    const along = dx * way[0] + dy * way[1];
    const off = Math.abs(dx * way[1]) + Math.abs(dy * way[0]);
    if (along > 1 && along + 2 * off < least) {
      least = along + 2 * off;
      best = i;
    }
  }
  return best;
}

function Edges({ circuit, layout, shown, onPath, hover, setHover }: Props) {
  const largest = strongestScore(circuit);
  const rank = new Map(layout.layers.filter((b) => b.used).map((b, k) => [b.members[0], k]));
  const rowOf = (i: number) => rank.get(circuit.places[i].row)!;
  return (
    <g>
      {[...shown].reverse().map((i) => {
        const l = circuit.lines[i];
        const move = isMove(l);
        const [from, to] = move ? sides(layout, l.source, l.target) : endsOf(layout, l.source, l.target, l.input);
        const d = pathOf(layout, from, to, move ? 0 : rowOf(l.target) - rowOf(l.source) - 1);
        const off = onPath && !(onPath.has(l.source) && onPath.has(l.target));
        const sign = move ? "moves" : l.score < 0 ? "against" : "for";
        const on = hover && "edge" in hover && hover.edge === i;
        return (
          <path
            key={i}
            d={d}
            class={`edge ${sign}${off ? " off" : ""}${on ? " on" : ""}`}
            stroke-width={move ? 1.2 : 0.8 + 7 * Math.sqrt(Math.abs(l.score) / largest)}
            onMouseEnter={() => setHover({ edge: i })}
          >
            <title>
              {`${fullName(circuit, l.source)} → ${fullName(circuit, l.target)}`}
              {move ? "" : ` as ${l.input}: ${signed(l.score)}`}
            </title>
          </path>
        );
      })}
    </g>
  );
}

/** Where a move of attention, within one layer, leaves and enters. */
function sides(layout: Layout, source: number, target: number): [[number, number], [number, number]] {
  const [a, b] = [layout.boxes.get(source)!, layout.boxes.get(target)!];
  if (layout.mode === "flow") {
    const down = b.y > a.y;
    return [
      [a.x + BOX.width / 2, a.y + (down ? BOX.height : 0)],
      [b.x + BOX.width / 2, b.y + (down ? 0 : BOX.height)],
    ];
  }
  return [
    [a.x + BOX.width, a.y + BOX.height / 2],
    [b.x, b.y + BOX.height / 2],
  ];
}

function Component(props: Props & { place: number }) {
  const { circuit, layout, place, chosen, onPath, hover } = props;
  const { x, y } = layout.boxes.get(place)!;
  const p = circuit.places[place];
  const inputs = new Set(
    props.shown.map((i) => circuit.lines[i]).filter((l) => l.target === place).map((l) => l.input),
  );
  const ports = ["q", "k", "v"].filter((name) => inputs.has(name));
  const weaker = weakerEdges(circuit, place, props.shown);
  const flow = layout.mode === "flow";
  const on = place === chosen || (hover && "place" in hover && hover.place === place);
  return (
    <g
      transform={`translate(${x},${y})`}
      class={`place ${p.kind}${onPath && !onPath.has(place) ? " off" : ""}${on ? " on" : ""}`}
      data-place={place}
      onMouseEnter={() => props.setHover({ place })}
      onClick={() => props.pick(place)}
    >
      <rect width={BOX.width} height={BOX.height} rx={p.kind === "attention" ? 8 : 2} />
      <text x={BOX.width / 2 + (flow && ports.length ? 4 : 0)} y={BOX.height / 2 - (!flow && ports.length ? 4 : 0)}>
        {shortName(p)}
      </text>
      {ports.map((name) => {
        const k = { q: -1, k: 0, v: 1 }[name]!;
        return flow ? (
          <text class="port" x={6} y={BOX.height / 2 + 8.5 * k}>
            {name}
          </text>
        ) : (
          <text class="port" x={BOX.width / 2 + 15 * k} y={BOX.height - 5}>
            {name}
          </text>
        );
      })}
      {weaker > 0 && (
        <text class="port more" x={BOX.width} y={-6}>
          +{weaker}
        </text>
      )}
    </g>
  );
}

const LONGEST = 13;
const clip = (text: string) => (text.length > LONGEST ? `${text.slice(0, LONGEST - 1)}…` : text);

function Names({ circuit, layout }: { circuit: Circuit; layout: Layout }) {
  const flow = layout.mode === "flow";
  const along = (band: Band) => band.at + band.size / 2;
  const word = (band: Band) =>
    band.used ? circuit.tokens[band.members[0]] : `… ${band.members.length} word${band.members.length > 1 ? "s" : ""}`;
  const bottom = layout.height - MARGIN.bottom;
  return (
    <g class="names">
      {layout.words.map((band) =>
        flow ? (
          <text class={band.used ? "used" : ""} x={layout.left - 12} y={MARGIN.top + along(band)} text-anchor="end">
            {clip(word(band))}
          </text>
        ) : (
          <text class={band.used ? "used" : ""} x={layout.left + along(band)} y={bottom + 18} text-anchor="middle">
            {band.used ? clip(word(band)) : "…"}
          </text>
        ),
      )}
      {layout.layers
        .filter((band) => band.used)
        .map((band) =>
          flow ? (
            <text x={layout.left + along(band)} y={12} text-anchor="middle">
              {circuit.rows[band.members[0]]}
            </text>
          ) : (
            <text x={layout.left - 12} y={bottom - along(band)} text-anchor="end">
              {circuit.rows[band.members[0]]}
            </text>
          ),
        )}
      {flow &&
        layout.words
          .filter((band) => band.used)
          .map((band) => (
            <line
              x1={layout.left - 6}
              x2={layout.width}
              y1={MARGIN.top + band.at + band.size + 8}
              y2={MARGIN.top + band.at + band.size + 8}
            />
          ))}
    </g>
  );
}
