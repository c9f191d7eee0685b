// Use the explorer's pages in Chromium as a reader would, and fail on the first thing that is wrong.
//   node test/browse.mjs FOLDER ADDRESS [PICTURES]
// FOLDER holds text.html, image.html, saved.html, circuit.html; ADDRESS is that of a served page
// whose nodes were not traced beforehand.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { chromium } from "playwright-core";

const axe = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const [folder, address, pictures] = process.argv.slice(2);
const executablePath = ["/usr/bin/chromium", "/usr/bin/google-chrome"].find(existsSync);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });

/** Open a page, use it, and require that it asked for nothing, said nothing, and fits. */
async function visit(name, width, colorScheme, use) {
  const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });
  page.setDefaultTimeout(20_000);
  const faults = [];
  page.on("console", (m) => faults.push(`console: ${m.text()}`));
  page.on("pageerror", (e) => faults.push(`error: ${e.message}`));
  page.on("request", (r) => {
    const own = name === "live" && r.url().startsWith(address);
    if (!own && !/^(file|data|blob):/.test(r.url())) faults.push(`request: ${r.url()}`);
  });
  await page.goto(name === "live" ? address : `file://${resolve(folder, name)}.html`);
  await page.waitForSelector("h1");
  await use(page);
  if (pictures) {
    const path = resolve(pictures, `${name}-${width}-${colorScheme}.png`);
    await page.screenshot({ path, fullPage: true });
  }
  const { nodes, wide } = await page.evaluate(() => ({
    nodes: document.querySelectorAll("*").length,
    wide: document.documentElement.scrollWidth,
  }));
  assert.deepEqual(faults, []);
  await page.addScriptTag({ path: axe });
  const { violations } = await page.evaluate(() => axe.run());
  const told = violations.map((v) => `${name}, ${v.id}: ${v.help}: ${v.nodes[0].html}`);
  assert.deepEqual(told, []);
  assert.ok(nodes <= 3000, `${nodes} nodes`);
  assert.ok(wide <= width, `the page is ${wide} wide, the window ${width}`);
  await page.close();
}

// The page draws after an event, not during it: everything is waited for.

/** Wait until the address says what is wanted of one thing; "" if it says nothing. */
const says = (page, name, wanted) =>
  page.waitForFunction(
    ([what, pattern]) =>
      new RegExp(pattern).test(new URLSearchParams(location.hash.slice(1)).get(what) ?? ""),
    [name, wanted.source],
  );
const trailIs = (page, wanted) => says(page, "trail", wanted);
const detailsSay = (page, wanted) =>
  page.locator("[aria-label=details]").filter({ hasText: wanted }).waitFor();
const countIs = (page, selector, wanted) =>
  page.waitForFunction(
    ([what, count]) => document.querySelectorAll(what).length === count,
    [selector, wanted],
  );

async function useText(page) {
  // Texts of the model's own are texts, not markup.
  await page.getByRole("button", { name: /<b>nurse<\/b>/ }).hover();
  await detailsSay(page, /<b>nurse<\/b>.*[+−]\d/s);

  await page.getByRole("button", { name: /<b>nurse<\/b>/ }).click();
  await trailIs(page, /^1$/);
  await page.getByRole("heading", { name: /^Through ids, “<b>nurse<\/b>”/ }).waitFor();
  await page.getByRole("button", { name: "attention", exact: true }).click();
  await page.getByRole("button", { name: /^head 1/ }).click();
  await trailIs(page, /^1\.\d+$/);
  const first = await page.evaluate(() => location.href);
  await page.keyboard.press("Backspace");
  await trailIs(page, /^1$/);
  await page.keyboard.press("Escape");
  await trailIs(page, /^$/);

  // An address shows what it was taken from.
  await page.goto(first);
  await page.reload();
  await page.getByRole("heading", { name: /head 1/ }).waitFor();
  await page.keyboard.press("Escape");

  // Keys alone: the grid is one tab stop, arrows move, Enter traces.
  await page.locator("canvas[role=application]").first().focus();
  await page.keyboard.press("ArrowLeft");
  await detailsSay(page, /“<\/script>”/);
  await page.keyboard.press("Enter");
  await trailIs(page, /^\d+$/);
  await page.keyboard.press("t");
  await page.keyboard.press("s");
  await page.keyboard.press("[");
  await says(page, "target", /^1$/);
  await says(page, "scale", /^all$/);
  await says(page, "threshold", /^2$/);
  await page.keyboard.press("?");
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });

  // A contrast, and the ops behind a cause.
  await page.locator("#minus").selectOption({ index: 1 });
  await page.getByRole("heading", { name: /rather than/ }).waitFor();
  await page.getByRole("button", { name: /bias/ }).click();
  await page.getByText(/ops that took/).waitFor();
  await page.keyboard.press("/");
  await page.keyboard.type("nurse");
  await page.keyboard.press("Enter");
  await trailIs(page, /\.1$/);
}

async function useImage(page) {
  const map = page.locator("canvas[role=application]").last();
  const box = await map.boundingBox();
  await page.getByRole("button", { name: "module 2" }).click();
  await page.locator("canvas[aria-label^='relevance at module 2']").click({ position: { x: 20, y: 20 } });
  assert.ok(box.width > 100);
  await trailIs(page, /^\d+$/);
  await page.getByRole("heading", { name: /^Through module 2, row 0, column 0/ }).waitFor();
  await page.getByRole("button", { name: /^channel 1/ }).click();
  await trailIs(page, /^\d+\.\d+$/);
  await page.locator("h1").click();
  await page.keyboard.press(" ");
}

async function useLive(page) {
  await page.getByRole("button", { name: /<b>nurse<\/b>/ }).click();
  await page.getByRole("heading", { name: /^Through ids, “<b>nurse<\/b>”/ }).waitFor();
  await page.locator("#minus").selectOption({ index: 1 });
  await page.getByText(/What passes through it is shown/).waitFor();
}

async function useSaved(page) {
  await page.getByText(/Nothing can be traced/).waitFor();
  await page.getByText(/explained/).first().waitFor();
}

async function useCircuit(page) {
  await page.getByRole("heading", { name: "a <b>circuit</b>" }).waitFor();
  const edges = "#drawing path.edge:not(.moves)";
  await countIs(page, edges, 6);
  const boxes = await page.locator("[data-place] > rect").evaluateAll((all) =>
    all.map((r) => r.getBoundingClientRect()).map((b) => [b.left, b.top, b.right, b.bottom]),
  );
  for (const a of boxes)
    for (const b of boxes)
      assert.ok(a === b || a[2] <= b[0] || b[2] <= a[0] || a[3] <= b[1] || b[3] <= a[1], "boxes overlap");
  const wide = Math.max(...boxes.map((b) => b[2])) - Math.min(...boxes.map((b) => b[0]));
  const room = await page.locator("#drawing").evaluate((e) => e.clientWidth);
  assert.ok(wide >= 0.6 * room, `${wide} of ${room} used`);

  await page.locator("[data-place='4']").click();
  await detailsSay(page, /m0, mlp 0, at “to”.*writes \+0.5.*model\.m0/s);
  await countIs(page, ".place.off", 1); // the head that no path joins with it
  await page.keyboard.press("Escape");
  await countIs(page, ".place.off", 0);
  await page.locator("#share").fill("50");
  await page.locator("#share").press("Enter");
  await countIs(page, "[data-place]", 6);
  await countIs(page, edges, 4);
  await page.locator("svg[role=application]").focus();
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Enter");
  await says(page, "share", /^0\.500$/);
  await says(page, "at", /^\d$/);
  await page.locator("#cut").focus();
  await page.keyboard.press("ArrowLeft");
  await says(page, "share", /^0\.49/);
}

for (const [width, scheme] of [[1280, "light"], [375, "dark"]]) {
  await visit("text", width, scheme, useText);
  await visit("image", width, scheme, useImage);
  await visit("saved", width, scheme, useSaved);
  await visit("circuit", width, scheme, useCircuit);
}
if (address) await visit("live", 1280, "light", useLive);
await browser.close();
console.log("all pages work");
