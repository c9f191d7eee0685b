import { render } from "preact";
import { App } from "./App";
import { CircuitApp } from "./circuit/CircuitApp";
import { readPage } from "./scene";
import { variables } from "./colours";
import styles from "./style.css";

const text = (id: string) => document.getElementById(id)!.textContent!;

async function start() {
  const style = document.createElement("style");
  const dark = "@media (prefers-color-scheme: dark)";
  style.textContent = `:root{${variables("light")}}${dark}{:root{${variables("dark")}}}${styles}`;
  document.head.append(style);
  const app = document.getElementById("app")!;
  try {
    const page = await readPage(text("scene"), JSON.parse(text("live")));
    render(page.kind === "circuit" ? <CircuitApp circuit={page} /> : <App scene={page} />, app);
  } catch (error) {
    app.textContent = `This page cannot be shown: ${error}. It needs a browser of 2023 or newer.`;
  }
}

void start();
