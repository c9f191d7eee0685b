// The colour scale with its ends.

import { useEffect, useRef } from "preact/hooks";
import { colour, css, type Theme } from "../colours";
import { short } from "../numbers";

export function Legend({ limit, theme, note }: { limit: number; theme: Theme; note?: string }) {
  const ref = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const paint = ref.current!.getContext("2d")!;
    for (let x = 0; x < 140; x++) {
      paint.fillStyle = css(colour(x / 69.5 - 1, theme));
      paint.fillRect(x, 0, 1, 12);
    }
  }, [theme]);
  return (
    <div class="legend">
      <span>against −{short(limit)}</span>
      <canvas ref={ref} width={140} height={12} role="img" aria-label="colour scale" />
      <span>+{short(limit)} for</span>
      {note && <span>{note}</span>}
    </div>
  );
}
