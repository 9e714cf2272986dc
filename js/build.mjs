// One ESM bundle and one style sheet an explorer, into the Python package.
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { basename, dirname, parse, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import * as esbuild from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const outdir = resolve(here, "../explain_widgets/static");
const explorers = (await readdir(resolve(here, "src/explorers"))).filter((name) => name.endsWith(".tsx"));
const watch = process.argv.includes("--watch");

/** Several explorers share a page, and with it their style sheets: each applies to its own, and to charts. */
function scoped(file) {
  const { name, ext } = parse(file.path);
  return ext === ".css" ? `@scope (.xw-of-${name}, .xw-chart){${file.text.trim()}}\n` : file.contents;
}

const written = {
  name: "written",
  setup(build) {
    build.onEnd(async ({ outputFiles = [] }) => {
      await mkdir(outdir, { recursive: true });
      for (const file of outputFiles) {
        const contents = scoped(file);
        await writeFile(file.path, contents);
        const bytes = Buffer.from(contents);
        console.log(`${basename(file.path)}  ${bytes.length} bytes, ${gzipSync(bytes).length} gzipped`);
      }
    });
  },
};

/** dagre asks for all of graphlib; its phases that are used need little of it. */
const lean = {
  name: "lean",
  setup(build) {
    const path = resolve(here, "src/graph/graphlib.ts");
    build.onResolve({ filter: /^@dagrejs\/graphlib$/ }, () => ({ path }));
  },
};

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
  write: false,
  plugins: [lean, written],
  logLevel: "info",
};

if (watch) {
  const context = await esbuild.context(options);
  await context.watch();
} else {
  await esbuild.build(options);
}
