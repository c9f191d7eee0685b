// Cells on a canvas: one tab stop, arrow keys, hover and click.

import { useEffect, useRef, useState } from "preact/hooks";
import { colour, css, fade, inkOn, type Theme } from "../colours";
import { short } from "../numbers";
import type { Shown } from "../values";

export interface Cells {
  rows: number;
  columns: number;
  node: (row: number, column: number) => number;
  at: (node: number) => Shown;
}

interface Props {
  cells: Cells;
  limit: number;
  threshold: number;
  theme: Theme;
  label: string;
  size: [number, number];
  rowNames?: string[];
  columnNames?: string[];
  on: number[];
  hover: number | null;
  /** An image under the cells, and whether it is shown alone. */
  under?: { image: CanvasImageSource; alone: boolean } | null;
  pick: (node: number) => void;
  setHover: (node: number | null) => void;
}

const FONT = "12px system-ui, sans-serif";

export function Matrix(props: Props) {
  const { cells, size, rowNames, columnNames, label } = props;
  const ref = useRef<HTMLCanvasElement>(null);
  const [cursor, setCursor] = useState({ row: cells.rows - 1, column: cells.columns - 1 });
  const left = rowNames ? Math.ceil(Math.max(...rowNames.map((n) => widthOf(n)))) + 10 : 0;
  const slanted = columnNames?.some((n) => widthOf(n) > size[0] - 4) ?? false;
  const longest = columnNames ? Math.max(...columnNames.map((n) => widthOf(clip(n)))) : 0;
  const top = !columnNames ? 0 : slanted ? Math.ceil(longest * 0.77) + 16 : 20;
  const wide = left + cells.columns * size[0] + (slanted ? Math.ceil(longest * 0.64) : 0) + 2;
  const high = top + cells.rows * size[1] + 2;

  useEffect(() => {
    draw(ref.current!, props, { left, top, wide, high, slanted });
  });

  const find = (event: MouseEvent) => {
    const box = ref.current!.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left - left) / size[0]);
    const row = Math.floor((event.clientY - box.top - top) / size[1]);
    const inside = row >= 0 && column >= 0 && row < cells.rows && column < cells.columns;
    return inside ? { row, column } : null;
  };
  const press = (event: KeyboardEvent) => {
    const step = STEPS[event.key];
    if (step) {
      const row = Math.max(0, Math.min(cells.rows - 1, cursor.row + step[0]));
      const column = Math.max(0, Math.min(cells.columns - 1, cursor.column + step[1]));
      setCursor({ row, column });
      props.setHover(cells.node(row, column));
    } else if (event.key === "Enter") props.pick(cells.node(cursor.row, cursor.column));
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <div class="scroll">
      <canvas
        ref={ref}
        tabIndex={0}
        role="application"
        aria-roledescription="grid of relevance"
        aria-label={`${label}. Arrow keys move, Enter traces.`}
        style={{ width: `${wide}px`, height: `${high}px`, cursor: "pointer" }}
        onKeyDown={press}
        onFocus={() => props.setHover(cells.node(cursor.row, cursor.column))}
        onMouseMove={(e) => {
          const place = find(e);
          props.setHover(place && cells.node(place.row, place.column));
        }}
        onMouseLeave={() => props.setHover(null)}
        onClick={(e) => {
          const place = find(e);
          if (!place) return;
          setCursor(place);
          props.pick(cells.node(place.row, place.column));
        }}
      />
    </div>
  );
}

const STEPS: Record<string, [number, number]> = {
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
};

const clip = (text: string) => (text.length > 14 ? `${text.slice(0, 13)}…` : text);

let measure: CanvasRenderingContext2D | null = null;
function widthOf(text: string): number {
  measure ??= document.createElement("canvas").getContext("2d")!;
  measure.font = FONT;
  return measure.measureText(clip(text)).width;
}

interface Box {
  left: number;
  top: number;
  wide: number;
  high: number;
  slanted: boolean;
}

function draw(canvas: HTMLCanvasElement, props: Props, box: Box): void {
  const ratio = devicePixelRatio || 1;
  canvas.width = Math.round(box.wide * ratio);
  canvas.height = Math.round(box.high * ratio);
  const paint = canvas.getContext("2d")!;
  paint.setTransform(ratio, 0, 0, ratio, 0, 0);
  paint.font = FONT;
  const { cells, size, under } = props;
  if (under) {
    paint.imageSmoothingEnabled = false;
    paint.drawImage(under.image, box.left, box.top, cells.columns * size[0], cells.rows * size[1]);
  }
  if (!under?.alone) drawCells(paint, props, box);
  drawNames(paint, props, box);
}

function drawCells(paint: CanvasRenderingContext2D, props: Props, box: Box): void {
  const { cells, size, limit, theme, under } = props;
  const gap = Math.min(...size) > 9 && !under ? 1 : 0;
  for (let row = 0; row < cells.rows; row++)
    for (let column = 0; column < cells.columns; column++) {
      const node = cells.node(row, column);
      const { amount, faded } = cells.at(node);
      const [x, y] = [box.left + column * size[0], box.top + row * size[1]];
      const part = amount / limit;
      const blank = Math.abs(part) < props.threshold;
      const full = colour(blank ? 0 : part, theme);
      const rgb = faded ? fade(full, 0.15, theme) : full;
      paint.fillStyle = under ? css(rgb, faded ? 0.5 : 0.35 + 0.6 * Math.min(1, Math.abs(part))) : css(rgb);
      paint.fillRect(x, y, size[0] - gap, size[1] - gap);
      if (size[0] >= 46 && size[1] >= 18 && !faded && !blank && Math.abs(part) > 0.005) {
        paint.fillStyle = inkOn(rgb);
        paint.textAlign = "center";
        paint.textBaseline = "middle";
        paint.fillText(short(amount), x + (size[0] - gap) / 2, y + (size[1] - gap) / 2 + 1);
      }
      if (props.on.includes(node) || node === props.hover) {
        paint.strokeStyle = under || theme === "light" ? "#1f2328" : "#e8eaed";
        paint.lineWidth = props.on.includes(node) ? 2.5 : 1.5;
        paint.strokeRect(x + 1, y + 1, size[0] - gap - 2, size[1] - gap - 2);
      }
    }
}

function drawNames(paint: CanvasRenderingContext2D, props: Props, box: Box): void {
  const { rowNames, columnNames, size } = props;
  const style = getComputedStyle(document.documentElement);
  paint.fillStyle = style.getPropertyValue("--quiet");
  paint.textBaseline = "middle";
  paint.textAlign = "right";
  rowNames?.forEach((name, row) =>
    paint.fillText(clip(name), box.left - 6, box.top + (row + 0.5) * size[1]),
  );
  paint.fillStyle = style.getPropertyValue("--ink");
  columnNames?.forEach((name, column) => {
    const x = box.left + (column + 0.5) * size[0];
    paint.save();
    paint.translate(x, box.top - 8);
    paint.textAlign = box.slanted ? "left" : "center";
    if (box.slanted) paint.rotate(-0.88);
    paint.fillText(clip(name), 0, 0);
    paint.restore();
  });
}
