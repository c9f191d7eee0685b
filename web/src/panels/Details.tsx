// All that is known of the node under the pointer or the keys.

import { percent, short, signed } from "../numbers";
import { nameOf, placeOf } from "../state";
import { explainedOf, ledgerOf } from "../values";
import type { View } from "../view";

export function Details({ scene, state, hover, whole, traced }: View) {
  const node = hover ?? state.trail[state.trail.length - 1];
  if (node === undefined)
    return (
      <section class="panel wide details" aria-label="details">
        <p class="quiet">Hover over anything, or move to it with the arrow keys, to read its numbers.</p>
        {scene.notes.map((note) => (
          <p class="note">{note}</p>
        ))}
      </section>
    );
  const { layer } = placeOf(scene, node);
  const account = ledgerOf(scene, state)?.ops.find((op) => op.node === layer.node);
  const absorbed = account && Object.values(account.absorbed).reduce((a, b) => a + b, 0);
  const share = whole[node] / explainedOf(scene, state);
  const facts = [layer.module, layer.op, layer.rule && `rule ${layer.rule}`, layer.line];
  return (
    <section class="panel wide details" aria-label="details" aria-live="polite">
      <p>
        <b>
          <bdi>{nameOf(scene, node)}</bdi>
        </b>
        : {[signed(whole[node]), scene.unit].filter(Boolean).join(" ")}, {percent(share)} of what is
        explained
        {traced && <>; through the traced node {signed(traced[node])}</>}
      </p>
      <p class="quiet">{facts.filter(Boolean).join(" · ")}</p>
      {account && (
        <p class="quiet">
          the whole op received {short(account.received)}, passed on {short(account.passed)}, absorbed{" "}
          {short(absorbed!)}
        </p>
      )}
    </section>
  );
}
