// Where the explained number went: a waterfall, and the ops behind each cause.

import { useState } from "preact/hooks";
import { short, signed } from "../numbers";
import type { Ledger } from "../scene";
import { ledgerOf } from "../values";
import { widthsOf, type View } from "../view";

const MOST_OPS = 12;

interface Row {
  name: string;
  amount: number;
  start: number;
  kind: "whole" | "arrived" | "absorbed" | "residual";
}

function rowsOf(ledger: Ledger): Row[] {
  const rows: Row[] = [{ name: "explained", amount: ledger.explained, start: 0, kind: "whole" }];
  let at = ledger.explained;
  const take = (name: string, amount: number, kind: Row["kind"]) => {
    at -= amount;
    rows.push({ name, amount, start: at, kind });
  };
  Object.entries(ledger.arrived).forEach(([name, amount]) => take(name, amount, "arrived"));
  Object.entries(ledger.absorbed)
    .filter(([, amount]) => amount)
    .sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]))
    .forEach(([name, amount]) => take(name, amount, "absorbed"));
  if (!ledger.balances) take("does not balance", ledger.residual, "residual");
  return rows;
}

export function LedgerPanel(view: View) {
  const ledger = ledgerOf(view.scene, view.state);
  const [stop, setStop] = useState(0);
  if (!ledger) return null;
  const rows = rowsOf(ledger);
  const ends = rows.flatMap((r) => [r.start, r.start + r.amount]);
  const [low, high] = [Math.min(0, ...ends), Math.max(0, ...ends)];
  const x = (n: number) => (100 * (n - low)) / (high - low || 1);
  const { cause } = view.state;
  const move = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = Math.max(0, Math.min(rows.length - 1, stop + step));
    setStop(next);
    (event.currentTarget as HTMLElement).querySelectorAll("button")[next]?.focus();
  };
  return (
    <section class={`panel ${widthsOf(view.scene).ledger}`} aria-label="ledger">
      <h2>Where it went</h2>
      <div class="bars" role="group" aria-label="ledger" onKeyDown={move}>
        {rows.map((row, i) => (
          <button
            type="button"
            class={`bar${row.name === cause ? " on" : ""}`}
            tabIndex={i === Math.min(stop, rows.length - 1) ? 0 : -1}
            aria-expanded={row.kind === "absorbed" ? row.name === cause : undefined}
            onClick={() => {
              setStop(i);
              if (row.kind === "absorbed") view.change({ cause: row.name === cause ? "" : row.name });
            }}
            title={row.kind === "absorbed" ? "show its ops" : row.name}
          >
            <span>
              {row.kind === "absorbed" ? `▸ ${row.name}` : row.kind === "arrived" ? `at ${row.name}` : row.name}
            </span>
            <span class="track from0" style={{ "--zero": `${x(0)}%` }} aria-hidden="true">
              <i
                class={row.kind === "absorbed" || row.kind === "residual" ? "hatch" : row.amount < 0 ? "against" : "for"}
                style={{
                  left: `${x(Math.min(row.start, row.start + row.amount))}%`,
                  width: `${x(Math.abs(row.amount)) - x(0)}%`,
                }}
              />
            </span>
            <span class="number">{row.kind === "whole" ? short(row.amount) : signed(row.amount)}</span>
          </button>
        ))}
      </div>
      {cause && <Ops ledger={ledger} cause={cause} />}
      {view.traced && <p class="quiet">of all relevance, not of the traced part</p>}
    </section>
  );
}

function Ops({ ledger, cause }: { ledger: Ledger; cause: string }) {
  const ops = ledger.ops.filter((op) => op.absorbed[cause]);
  const most = ops.sort((a, b) => Math.abs(b.absorbed[cause]) - Math.abs(a.absorbed[cause])).slice(0, MOST_OPS);
  const more = ops.length - most.length + ledger.left_out;
  return (
    <>
      <div class="quiet">ops that took “{cause}”</div>
      <ol class="ops" tabIndex={0} aria-label={`ops that took ${cause}`}>
        {most.map((op) => (
          <li title={`${op.op}, rule ${op.rule}, ${op.place}`}>
            <b>{signed(op.absorbed[cause])}</b> of {short(op.received)} at {op.node}
            <div class="quiet">{op.place.split(" (")[0]}</div>
          </li>
        ))}
      </ol>
      {more > 0 && <div class="quiet">and {more} more</div>}
    </>
  );
}
