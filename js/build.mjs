// One ESM bundle and one style sheet an explorer, into the Python package.
import { readdir, readFile } from "node:fs/promises";
import { dirname, parse, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import * as esbuild from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const outdir = resolve(here, "../explain_widgets/static");
const explorers = (await readdir(resolve(here, "src/explorers"))).filter((name) => name.endsWith(".tsx"));
const watch = process.argv.includes("--watch");

const options = {
  absWorkingDir: here,
  entryPoints: explorers.map((name) => ({ in: `src/explorers/${name}`, out: parse(name).name })),
  outdir,
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  charset: "utf8",
  legalComments: "none",
  jsx: "automatic",
  jsxImportSource: "preact",
  metafile: true,
  logLevel: "info",
};

if (watch) {
  const context = await esbuild.context(options);
  await context.watch();
} else {
  const { metafile } = await esbuild.build(options);
  for (const file of Object.keys(metafile.outputs)) {
    const bytes = await readFile(resolve(here, file));
    console.log(`${file}  ${bytes.length} bytes, ${gzipSync(bytes).length} gzipped`);
  }
}
