// Horizontal bars around zero, one tab stop for all of them.

import { useState } from "preact/hooks";
import { largest, signed } from "../numbers";

export interface Bar {
  node: number;
  name: string;
  amount: number;
  title?: string;
  faded?: boolean;
}

interface Props {
  bars: Bar[];
  label: string;
  on: number[];
  limit?: number;
  pick: (node: number) => void;
  hover: (node: number | null) => void;
}

export function Bars({ bars, label, on, limit, pick, hover }: Props) {
  const [at, setAt] = useState(0);
  const most = limit ?? largest(bars.map((bar) => bar.amount));
  const stop = Math.min(at, bars.length - 1);
  const move = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const next = Math.max(0, Math.min(bars.length - 1, stop + step));
    setAt(next);
    (event.currentTarget as HTMLElement).querySelectorAll("button")[next]?.focus();
  };
  return (
    <div class="bars" role="group" aria-label={label} onKeyDown={move}>
      {bars.map((bar, i) => (
        <button
          type="button"
          key={bar.node}
          class={`bar${on.includes(bar.node) ? " on" : ""}${bar.faded ? " faded" : ""}`}
          tabIndex={i === stop ? 0 : -1}
          title={bar.title ?? bar.name}
          onClick={() => (setAt(i), pick(bar.node))}
          onFocus={() => hover(bar.node)}
          onMouseEnter={() => hover(bar.node)}
          onMouseLeave={() => hover(null)}
        >
          <span>
            <bdi>{bar.name}</bdi>
          </span>
          <Track amount={bar.amount} limit={most} />
          <span class="number">{signed(bar.amount)}</span>
        </button>
      ))}
    </div>
  );
}

function Track({ amount, limit }: { amount: number; limit: number }) {
  const share = Math.min(1, Math.abs(amount) / limit) * 50;
  const left = amount < 0 ? 50 - share : 50;
  return (
    <span class="track" aria-hidden="true">
      <i hidden={!amount} class={amount < 0 ? "against" : "for"} style={{ left: `${left}%`, width: `${share}%` }} />
    </span>
  );
}
