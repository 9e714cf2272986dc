// What the browser does of it: boxes and lines at first sight, and as each closed box opens, in CPU ms.
//
//     node tests/benchmarks/structure_layout.mjs GRAPH.json     {graph, first_sight}, as `structure` answers
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const js = resolve(dirname(fileURLToPath(import.meta.url)), "../../js");
const { build } = createRequire(`${js}/package.json`)("esbuild");
const bundled = await build({
  stdin: {
    contents: 'export { Layouts } from "./src/graph/layout"; export { viewOf } from "./src/graph/view";',
    resolveDir: js,
  },
  ...{ bundle: true, write: false, format: "esm", platform: "node" },
  banner: { js: 'import { createRequire } from "node:module"; const require = createRequire("/");' },
});
const source = Buffer.from(bundled.outputFiles[0].contents).toString("base64");
const { Layouts, viewOf } = await import(`data:text/javascript;base64,${source}`);

const { graph, first_sight } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const size = ({ label, isOpen }) => ({ width: 60 + 6 * label.length, height: isOpen ? 0 : 36 });
const layouts = new Layouts(size, (words) => 5 + 5 * words.length);

function milliseconds(opened) {
  const before = process.cpuUsage();
  const view = viewOf(graph, opened);
  layouts.layout(view);
  const { user, system } = process.cpuUsage(before);
  return { view, taken: (user + system) / 1000 };
}

const first = milliseconds(first_sight);
const closed = first.view.boxes.filter(({ parts, isOpen }) => parts > 0 && !isOpen);
const opening = closed.map(({ id }) => milliseconds([...first_sight, id]).taken).sort((a, b) => a - b);
console.log(
  JSON.stringify({
    first: first.taken,
    opened: opening.length,
    median: opening[opening.length >> 1] ?? 0,
    most: opening.at(-1) ?? 0,
  }),
);
