// Make blueprints/plugins/admin/console/vendor/ of the packages that `npm ci` has installed: one module for each entry, and
// their licences. With --check compare it with what is there, and fail if it differs.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const output = join(here, "../blueprints/plugins/admin/console/vendor");
const ENTRIES = ["preact", "forms", "editor", "csv"];

/** Give every bundle the one Preact of preact.js, also in place of React; forms.js brings its compat layer. */
const onePreact = {
  name: "one-preact",
  setup(context) {
    const compat = (name) => ({ path: join(here, "node_modules/preact/compat/dist", name) });
    context.onResolve({ filter: /^react(-dom)?$/ }, () => compat("compat.mjs"));
    context.onResolve({ filter: /^react\/jsx-runtime$/ }, () => ({
      path: join(here, "node_modules/preact/jsx-runtime/dist/jsxRuntime.mjs"),
    }));
    context.onResolve({ filter: /^markdown-to-jsx/ }, () => ({ path: join(here, "entries/markdown.js") }));
    context.onResolve({ filter: /^preact(\/hooks)?$/ }, () => ({ path: "./preact.js", external: true }));
  },
};

/** Return the bundle of an entry, and the packages in it. */
async function bundle(entry) {
  const result = await build({
    entryPoints: [join(here, "entries", `${entry}.js`)],
    bundle: true,
    format: "esm",
    target: "es2022",
    minify: true,
    legalComments: "none",
    write: false,
    metafile: true,
    absWorkingDir: here,
    banner: {
      js: `// ${entry}.js: made by \`make vendor\`. The packages in it and their licences are in LICENSES.txt.`,
    },
    define: { "process.env.NODE_ENV": '"production"' },
    plugins: entry === "preact" ? [] : [onePreact],
  });
  const names = Object.keys(result.metafile.inputs).map((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1]);
  return { text: result.outputFiles[0].text, packages: names.filter((name) => name !== undefined) };
}

/** Return name, version and licence of a package. */
function licence(name) {
  const folder = join(here, "node_modules", name);
  const description = JSON.parse(readFileSync(join(folder, "package.json"), "utf-8"));
  const file = ["LICENSE", "LICENSE.md", "LICENSE.txt", "license"].map((each) => join(folder, each)).find(existsSync);
  const text = file === undefined ? `Licence: ${description.license}` : readFileSync(file, "utf-8").trim();
  return `${name} ${description.version} (${description.license})\n\n${text}\n`;
}

const files = new Map();
const packages = new Set();
for (const entry of ENTRIES) {
  const made = await bundle(entry);
  files.set(`${entry}.js`, made.text);
  for (const name of made.packages) packages.add(name);
}
files.set(
  "LICENSES.txt",
  [...packages]
    .sort()
    .map(licence)
    .join(`\n${"-".repeat(80)}\n\n`),
);

mkdirSync(output, { recursive: true });
for (const [name, text] of files) {
  const file = join(output, name);
  if (!process.argv.includes("--check")) writeFileSync(file, text);
  else if (!existsSync(file) || readFileSync(file, "utf-8") !== text) {
    console.error(`${name} is not what \`make vendor\` makes.`);
    process.exitCode = 1;
  }
}
