import type { Scene } from "../scene";

const made = new WeakMap<Scene, HTMLCanvasElement>();

/** Return the input image as a canvas of its own size; null if the page has none. */
export function imageOf(scene: Scene): HTMLCanvasElement | null {
  if (!scene.image) return null;
  const known = made.get(scene);
  if (known) return known;
  const { width, height, pixels } = scene.image;
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const paint = canvas.getContext("2d")!;
  const data = paint.createImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    data.data.set(pixels.subarray(3 * i, 3 * i + 3), 4 * i);
    data.data[4 * i + 3] = 255;
  }
  paint.putImageData(data, 0, 0);
  made.set(scene, canvas);
  return canvas;
}
