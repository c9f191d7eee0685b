// The colours of relevance. colours.json holds those of lrp_engine/show/colours.py: a test compares.

import themes from "./colours.json";

export type Theme = keyof typeof themes;
export type Rgb = [number, number, number];

const parse = (hex: string): Rgb => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)) as Rgb;
const PARSED = { light: themes.light.scale.map(parse), dark: themes.dark.scale.map(parse) };

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
  const back = parse(themes[theme].paper);
  return rgb.map((x, i) => Math.round(back[i] + (x - back[i]) * share)) as Rgb;
}

/** Return the same colours as variables for style sheets. */
export function variables(theme: Theme): string {
  const t = themes[theme];
  return (
    `--for:${t.speaks_for};--against:${t.speaks_against};--absorbed:${t.absorbed};` +
    `--ink:${t.ink};--quiet:${t.quiet};--back:${t.paper};`
  );
}
