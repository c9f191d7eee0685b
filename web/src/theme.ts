// Light or dark, as the reader's system asks.

import { useEffect, useState } from "preact/hooks";
import type { Theme } from "./colours";

const query = () => matchMedia("(prefers-color-scheme: dark)");

/** Return the theme, and render again when it changes. */
export function useTheme(): Theme {
  const [dark, setDark] = useState(query().matches);
  useEffect(() => {
    const list = query();
    const change = () => setDark(list.matches);
    list.addEventListener("change", change);
    return () => list.removeEventListener("change", change);
  }, []);
  return dark ? "dark" : "light";
}
