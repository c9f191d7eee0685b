// The question, its answer, where it went in short; and what can be chosen.

import { short, percent, signed } from "../numbers";
import { nameOf, nodeCount } from "../state";
import { explainedOf, ledgerOf, questionOf } from "../values";
import type { View } from "../view";

export function Head(view: View & { openHelp: () => void }) {
  const { scene, state, change } = view;
  const value = explainedOf(scene, state);
  const chance = state.minus < 0 ? scene.targets[state.target].probability : null;
  return (
    <header>
      <div class="head">
        <div>
          <h1>
            <bdi>{questionOf(scene, state)}</bdi>{" "}
            {[state.minus < 0 ? short(value) : signed(value), scene.unit].filter(Boolean).join(" ")}
            {chance === null ? "" : `, p ${short(chance)}`}
          </h1>
          <div class="quiet">{scene.subtitle}</div>
        </div>
        <div class="tools">
          <Choice view={view} name="target" title="why" />
          {scene.targets.length > 1 && <Choice view={view} name="minus" title="rather than" />}
          <label>
            scale
            <select
              id="scale"
              value={state.scale}
              onChange={(e) => change({ scale: e.currentTarget.value as "own" | "all" })}
            >
              <option value="own">each layer its own</option>
              <option value="all">one for all layers</option>
            </select>
          </label>
          <Search {...view} />
          <button type="button" onClick={view.openHelp} aria-label="keys" title="keys (?)">
            ?
          </button>
        </div>
      </div>
      <Strip {...view} />
    </header>
  );
}

function Choice({ view, name, title }: { view: View; name: "target" | "minus"; title: string }) {
  const { scene, state, change } = view;
  const pick = (n: number) => {
    if (name === "minus") change({ minus: n });
    else change({ target: n, minus: state.minus === n ? -1 : state.minus });
  };
  return (
    <label>
      {title}
      <select id={name} value={state[name]} onChange={(e) => pick(Number(e.currentTarget.value))}>
        {name === "minus" && <option value={-1}>nothing else</option>}
        {scene.targets.map((t, i) =>
          name === "minus" && i === state.target ? null : (
            <option value={i}>
              {t.label} ({short(t.explained)})
            </option>
          ),
        )}
      </select>
    </label>
  );
}

function Search({ scene, change, state, trace }: View) {
  const find = (text: string) => {
    const wanted = text.trim().toLowerCase();
    if (!wanted) return;
    const count = nodeCount(scene);
    for (let node = 0; node < count; node++)
      if (nameOf(scene, node).toLowerCase().includes(wanted)) return trace(node);
    const layer = scene.layers.findIndex((l) => l.module.toLowerCase().includes(wanted));
    if (layer >= 0) change({ layer, group: scene.layers[layer].group, trail: state.trail });
  };
  return (
    <label>
      search
      <input
        id="search"
        type="search"
        size={12}
        onKeyDown={(e) => {
          if (e.key === "Enter") find(e.currentTarget.value);
          if (e.key === "Escape") e.currentTarget.blur();
        }}
      />
    </label>
  );
}

function Strip({ scene, state }: View) {
  const ledger = ledgerOf(scene, state);
  if (!ledger) return null;
  const arrived = Object.values(ledger.arrived).reduce((a, b) => a + b, 0);
  const parts: [string, number, boolean][] = [
    ["arrived", arrived, false],
    ...Object.entries(ledger.absorbed)
      .filter(([, amount]) => amount)
      .sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]))
      .map(([cause, amount]): [string, number, boolean] => [cause, amount, true]),
  ];
  const shares = parts.map(([, amount]) => amount / ledger.explained);
  const whole = shares.every((share) => share >= 0 && Number.isFinite(share));
  const says = parts
    .map(([name, amount], i) => `${name} ${whole ? percent(shares[i]) : signed(amount)}`)
    .join(" · ");
  return (
    <>
      {whole && (
        <div class="strip" aria-hidden="true">
          {parts.map(([, , absorbed], i) => (
            <i
              class={absorbed ? "hatch" : ""}
              style={{
                width: `${100 * shares[i]}%`,
                ...(absorbed ? {} : { background: "var(--ink)" }),
              }}
            />
          ))}
        </div>
      )}
      <div class="quiet">
        {says}
        {ledger.balances ? "" : " · does not balance"}
      </div>
    </>
  );
}
