// The way of the traces so far, and why one is missing.

import { nameOf } from "../state";
import type { View } from "../view";

interface Props extends View {
  missing: boolean;
  waiting: boolean;
  problem: string;
}

export function Crumbs({ scene, state, change, traced, whole, missing, waiting, problem }: Props) {
  const { trail } = state;
  return (
    <nav class="crumbs" aria-label="traces">
      {trail.length === 0 ? (
        <span class="quiet">
          {scene.untraced
            ? `Nothing can be traced: ${scene.untraced}.`
            : "Click a token, pixel, head or channel to see where its relevance came from and went."}
        </span>
      ) : (
        <>
          <button type="button" onClick={() => change({ trail: [] })}>
            all relevance
          </button>
          {trail.map((node, i) => (
            <>
              <span aria-hidden="true">›</span>
              <button
                type="button"
                aria-current={i === trail.length - 1 ? "step" : undefined}
                aria-pressed={i === trail.length - 1}
                onClick={() => change({ trail: trail.slice(0, i + 1) })}
              >
                <bdi>{nameOf(scene, node)}</bdi>
              </button>
            </>
          ))}
        </>
      )}
      <span role="status" class="quiet">
        {waiting && "computing…"}
        {problem && `It could not be traced: ${problem}`}
        {missing && !scene.untraced && whole[trail[trail.length - 1]] === 0
          ? "No relevance passes through it."
          : missing && !scene.live && !scene.untraced &&
          "This node was not traced beforehand: run lrp view with --serve."}
        {missing && scene.untraced && scene.untraced}
        {traced && "What passes through it is shown; the rest is faded."}
      </span>
    </nav>
  );
}
