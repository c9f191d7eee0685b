// A circuit on one page: threshold, paths through a component, numbers under the pointer.

import { useEffect, useMemo, useState } from "preact/hooks";
import { percent, signed } from "../numbers";
import { useWidth } from "../parts/width";
import { Drawing } from "./Drawing";
import {
  fullName,
  isMove,
  pathsThrough,
  shownEdges,
  startShare,
  strongestScore,
  type Circuit,
} from "./data";
import { layOut } from "./layout";

export type Hover = { place: number } | { edge: number } | null;

const DELAY = 150;
const TABLE = 200;

interface State {
  share: number;
  chosen: number;
}

function readState(circuit: Circuit): State {
  const given = new URLSearchParams(location.hash.slice(1));
  const share = Number(given.get("share"));
  const chosen = Number(given.get("at") ?? NaN);
  return {
    share: share > 0 && share <= 1 ? share : startShare(circuit),
    chosen: Number.isInteger(chosen) && chosen >= 0 && chosen < circuit.places.length ? chosen : -1,
  };
}

export function CircuitApp({ circuit }: { circuit: Circuit }) {
  const [state, setState] = useState(() => readState(circuit));
  const [laid, setLaid] = useState(state.share);
  const [hover, setHover] = useState<Hover>(null);
  const [ref, width] = useWidth();
  const { share, chosen } = state;
  const change = (c: Partial<State>) => setState((s) => ({ ...s, ...c }));

  useEffect(() => {
    const said = new URLSearchParams({ share: share.toPrecision(3) });
    if (chosen >= 0) said.set("at", String(chosen));
    history.replaceState(null, "", `#${said}`);
    const wait = setTimeout(() => setLaid(share), DELAY); // the layout follows the slider at rest
    return () => clearTimeout(wait);
  }, [share, chosen]);
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (/^(INPUT|SELECT)$/.test((event.target as HTMLElement).tagName)) return;
      if (event.key === "Escape" || event.key === "Backspace") change({ chosen: -1 });
      else if (event.key === "[") change({ share: Math.min(1, share * 1.3) });
      else if (event.key === "]") change({ share: Math.max(1e-4, share / 1.3) });
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, [share]);

  const edges = circuit.lines.filter((l) => !isMove(l)).length;
  const all = useMemo(() => shownEdges(circuit, laid, chosen), [laid, chosen]);
  const layout = useMemo(() => layOut(circuit, all, width, 760), [all, width]);
  const shown = useMemo(
    () => all.filter((i) => shownEdges(circuit, Math.max(share, laid), chosen).includes(i)),
    [all, share],
  );
  const onPath = useMemo(
    () => (chosen < 0 ? null : pathsThrough(circuit, shown, chosen)),
    [shown, chosen],
  );
  const count = shown.filter((i) => !isMove(circuit.lines[i])).length;
  return (
    <>
      <h1>{circuit.title}</h1>
      {circuit.notes.map((note) => (
        <p class="quiet" style={{ margin: "2px 0" }}>
          {note}
        </p>
      ))}
      <Prompt circuit={circuit} shown={shown} />
      <Tools share={share} change={(s) => change({ share: s })} count={count} edges={edges} circuit={circuit} />
      <div class="panel circuit" ref={ref} id="drawing">
        <div class="scroll">
          <Drawing
            circuit={circuit}
            layout={layout}
            shown={shown}
            chosen={chosen}
            onPath={onPath}
            hover={hover}
            setHover={setHover}
            pick={(place) => {
              setHover(null); // what was under the pointer moves away
              change({ chosen: place === chosen ? -1 : place });
            }}
          />
        </div>
      </div>
      <Details circuit={circuit} hover={hover} chosen={chosen} shown={shown} />
      <Table circuit={circuit} shown={shown} />
    </>
  );
}

function Prompt({ circuit, shown }: { circuit: Circuit; shown: number[] }) {
  const used = new Set(
    shown.flatMap((i) => [circuit.lines[i].source, circuit.lines[i].target]).map((p) => circuit.places[p].position),
  );
  return (
    <p class="prompt" aria-label="prompt">
      {circuit.tokens.map((word, t) => (
        <bdi class={used.has(t) ? "" : "quiet"} style={{ fontWeight: used.has(t) ? 700 : 400 }}>
          {word}{" "}
        </bdi>
      ))}
    </p>
  );
}

interface ToolsProps {
  circuit: Circuit;
  share: number;
  change: (share: number) => void;
  count: number;
  edges: number;
}

function Tools({ circuit, share, change, count, edges }: ToolsProps) {
  // The slider is logarithmic, from a ten-thousandth of the strongest edge to itself.
  const place = Math.round(1000 * (1 + Math.log10(share) / 4));
  const set = (percentage: number) => {
    if (percentage > 0 && percentage <= 100) change(percentage / 100);
  };
  const full = () => {
    if (document.fullscreenElement) void document.exitFullscreen();
    else void document.getElementById("drawing")!.requestFullscreen();
  };
  return (
    <div class="tools" style={{ margin: "8px 0" }}>
      <label>
        edges from this share of the strongest on
        <input
          id="cut"
          type="range"
          min={0}
          max={1000}
          value={place}
          aria-valuetext={percent(share)}
          onInput={(e) => change(10 ** ((Number(e.currentTarget.value) / 1000 - 1) * 4))}
        />
      </label>
      <label>
        in %
        <input
          id="share"
          type="number"
          min={0.01}
          max={100}
          step="any"
          value={Number((100 * share).toPrecision(3))}
          onChange={(e) => set(Number(e.currentTarget.value))}
          style={{ width: "6em" }}
        />
      </label>
      <button type="button" onClick={full}>
        full screen
      </button>
      <span role="status" class="quiet">
        {count} of {edges} edges, |score| ≥ {(share * strongestScore(circuit)).toPrecision(2)}
      </span>
      <Key />
    </div>
  );
}

function Key() {
  return (
    <span class="quiet keys">
      <svg width="34" height="10" aria-hidden="true">
        <path d="M1 5H33" class="edge for" stroke-width="4" />
      </svg>{" "}
      for{" "}
      <svg width="34" height="10" aria-hidden="true">
        <path d="M1 5H33" class="edge against" stroke-width="4" />
      </svg>{" "}
      against{" "}
      <svg width="34" height="10" aria-hidden="true">
        <path d="M1 5H33" class="edge moves" />
      </svg>{" "}
      attention moves
    </span>
  );
}

interface DetailsProps {
  circuit: Circuit;
  hover: Hover;
  chosen: number;
  shown: number[];
}

function Details({ circuit, hover, chosen, shown }: DetailsProps) {
  const at = hover ?? (chosen >= 0 ? { place: chosen } : null);
  return (
    <section class="panel details" aria-label="details" aria-live="polite" style={{ marginTop: "12px" }}>
      {at === null && (
        <p class="quiet">
          Hover over a component or an edge to read its numbers; click a component to see all paths through it.
        </p>
      )}
      {at && "edge" in at && <EdgeText circuit={circuit} edge={at.edge} />}
      {at && "place" in at && <PlaceText circuit={circuit} place={at.place} shown={shown} />}
    </section>
  );
}

function EdgeText({ circuit, edge }: { circuit: Circuit; edge: number }) {
  const l = circuit.lines[edge];
  const what = isMove(l) ? "attention carries it there" : `read as ${l.input}: ${signed(l.score)}`;
  return (
    <p>
      <bdi>{fullName(circuit, l.source)}</bdi> → <bdi>{fullName(circuit, l.target)}</bdi>, {what}
    </p>
  );
}

function PlaceText({ circuit, place, shown }: { circuit: Circuit; place: number; shown: number[] }) {
  const p = circuit.places[place];
  const weaker = weakerEdges(circuit, place, shown);
  return (
    <>
      <p>
        <b>
          <bdi>{fullName(circuit, place)}</bdi>
        </b>
        {p.kind === "logits" ? "" : `: writes ${signed(p.score)}`}
        {weaker ? `, and ${weaker} weaker edges` : ""}
      </p>
      <p class="quiet">{p.own}</p>
    </>
  );
}

/** How many edges of a component are too weak to be shown. */
export function weakerEdges(circuit: Circuit, place: number, shown: number[]): number {
  const known = new Set(shown);
  return circuit.lines.filter(
    (l, i) => !isMove(l) && !known.has(i) && (l.source === place || l.target === place),
  ).length;
}

function Table({ circuit, shown }: { circuit: Circuit; shown: number[] }) {
  const rows = shown
    .map((i) => circuit.lines[i])
    .filter((l) => !isMove(l))
    .sort((a, b) => Math.abs(b.score) - Math.abs(a.score))
    .slice(0, TABLE);
  return (
    <details>
      <summary>the edges as a table</summary>
      <div class="scroll">
        <table>
          <tr>
            <th scope="col">from</th>
            <th scope="col">to</th>
            <th scope="col">read as</th>
            <th scope="col">score</th>
          </tr>
          {rows.map((l) => (
            <tr>
              <th scope="row">{fullName(circuit, l.source)}</th>
              <td>{fullName(circuit, l.target)}</td>
              <td>{l.input}</td>
              <td>{signed(l.score)}</td>
            </tr>
          ))}
        </table>
      </div>
    </details>
  );
}
