// A circuit: components at positions, and the edges between them.

export interface Component {
  name: string;
  position: number;
  row: number;
  kind: "input" | "attention" | "mlp" | "logits";
  score: number;
  own: string;
}

export interface Edge {
  source: number;
  target: number;
  input: string;
  score: number;
}

export interface Circuit {
  kind: "circuit";
  title: string;
  notes: string[];
  places: Component[];
  lines: Edge[];
  rows: string[];
  tokens: string[];
}

export const START = { share: 0.02, most: 60 };

export const isMove = (edge: Edge) => edge.input === "moves";

export function strongestScore(circuit: Circuit): number {
  return Math.max(1e-30, ...circuit.lines.map((l) => Math.abs(l.score)));
}

/** The share of the strongest edge from which edges are shown at first. */
export function startShare(circuit: Circuit): number {
  const sizes = circuit.lines
    .filter((l) => !isMove(l))
    .map((l) => Math.abs(l.score) / strongestScore(circuit))
    .sort((a, b) => b - a);
  return Math.max(START.share, sizes[START.most] === undefined ? 0 : sizes[START.most - 1]);
}

/** Return the edges to show: those strong enough, those of a chosen component, and moves between. */
export function shownEdges(circuit: Circuit, share: number, chosen: number): number[] {
  const least = share * strongestScore(circuit) * (1 - 1e-9);
  const strong = circuit.lines
    .map((l, i) => ({ l, i }))
    .filter(({ l }) => !isMove(l))
    .filter(({ l }) => Math.abs(l.score) >= least || l.source === chosen || l.target === chosen);
  const read = new Set(strong.filter(({ l }) => "kv".includes(l.input)).map(({ l }) => l.target));
  const wrote = new Set(strong.map(({ l }) => l.source));
  const moves = circuit.lines
    .map((l, i) => ({ l, i }))
    .filter(({ l }) => isMove(l) && read.has(l.source) && wrote.has(l.target));
  return [...strong, ...moves].map(({ i }) => i);
}

/** Return the components on any path through one, itself included. */
export function pathsThrough(circuit: Circuit, shown: number[], at: number): Set<number> {
  const edges = shown.map((i) => circuit.lines[i]);
  const walk = (from: (e: Edge) => number, to: (e: Edge) => number) => {
    const found = new Set([at]);
    const open = [at];
    while (open.length) {
      const here = open.pop()!;
      for (const e of edges)
        if (from(e) === here && !found.has(to(e))) {
          found.add(to(e));
          open.push(to(e));
        }
    }
    return found;
  };
  const ahead = walk((e) => e.source, (e) => e.target);
  const behind = walk((e) => e.target, (e) => e.source);
  return new Set([...ahead, ...behind]);
}

export function shortName(place: Component): string {
  if (place.kind === "input") return "in";
  return place.kind === "attention" ? place.name.split(".").pop()! : place.name;
}

export function fullName(circuit: Circuit, i: number): string {
  const p = circuit.places[i];
  return `${shortName(p)}, ${circuit.rows[p.row]}, at “${circuit.tokens[p.position]}” (${p.position})`;
}
