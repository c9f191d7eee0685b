// The colours of relevance, those of lrp_engine/show/colours.py: a test compares them.

export const STOPS = {
  light: ["#0b3c7d", "#2f79b9", "#9cc7e0", "#ffffff", "#f4ae90", "#cf4a41", "#7f0a1f"],
  dark: ["#9fd0f5", "#4f97d3", "#234f7c", "#15181c", "#7c2f2a", "#d8675c", "#ffc0ab"],
};
export const LINES = {
  light: { for: "#b3362f", against: "#1f66a8", absorbed: "#6b7280" },
  dark: { for: "#f08a7c", against: "#7ab8ee", absorbed: "#6b7280" },
};
export type Theme = keyof typeof STOPS;
export type Rgb = [number, number, number];

const parse = (hex: string): Rgb => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)) as Rgb;
const PARSED = { light: STOPS.light.map(parse), dark: STOPS.dark.map(parse) };

/** Return the colour of a number from -1 to 1; beyond, the colours end. */
export function colour(part: number, theme: Theme): Rgb {
  const stops = PARSED[theme];
  const place = ((Math.max(-1, Math.min(1, part)) + 1) / 2) * (stops.length - 1);
  const below = Math.min(Math.floor(place), stops.length - 2);
  const [a, b] = [stops[below], stops[below + 1]];
  return a.map((x, i) => Math.round(x + (b[i] - x) * (place - below))) as Rgb;
}

export const css = ([r, g, b]: Rgb, alpha = 1) => `rgba(${r},${g},${b},${alpha})`;

/** Return the colour a text needs on another: black or white, whichever contrasts more. */
export function inkOn(rgb: Rgb): string {
  const [r, g, b] = rgb.map((x) => {
    const s = x / 255;
    return s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000000" : "#ffffff";
}

/** Return a colour faded into the page's background. */
export function fade(rgb: Rgb, share: number, theme: Theme): Rgb {
  const back: Rgb = theme === "light" ? [255, 255, 255] : [21, 24, 28];
  return rgb.map((x, i) => Math.round(back[i] + (x - back[i]) * share)) as Rgb;
}
