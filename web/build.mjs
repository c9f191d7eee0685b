// Bundle the explorer's page script, styles inside, into the Python package.
//   node build.mjs [FILE]   writes FILE (default: ../lrp_engine/explorer/explorer.js)
import { build } from "esbuild";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const target = process.argv[2] ?? resolve(here, "../lrp_engine/explorer/explorer.js");
const LIMIT = 120_000;

const version = JSON.parse(readFileSync(resolve(here, "node_modules/preact/package.json"))).version;
const licence = readFileSync(resolve(here, "node_modules/preact/LICENSE"), "utf8").trim();

const made = await build({
  entryPoints: [resolve(here, "src/main.tsx")],
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2022",
  charset: "ascii",
  jsx: "automatic",
  jsxImportSource: "preact",
  loader: { ".css": "text" },
  legalComments: "none",
  write: false,
  absWorkingDir: here,
});
// A text that closes a script element would end it.
const script = made.outputFiles[0].text.replaceAll("</script", "<\\/script").trimEnd();
const notice = `/*! Sources: web/. Contains preact ${version} (https://preactjs.com):\n\n${licence}\n*/\n`;
const bytes = Buffer.from(`${notice}${script}\n`);
if (bytes.length > LIMIT) throw new Error(`the bundle has ${bytes.length} bytes, more than ${LIMIT}`);
writeFileSync(target, bytes);
console.log(`${target}: ${bytes.length} bytes`);
