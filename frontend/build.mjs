// Which files does the page consist of?  src -> ../src/surefoot/lab/page/{lab.js, lab.css, index.html}, the same bytes every time.
import { build } from "esbuild";
import { copyFile, readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const here = dirname(fileURLToPath(import.meta.url));
const page = join(here, "..", "src", "surefoot", "lab", "page");
const most = 150 * 1024; // bytes gzipped, all three files: what a slow classroom network carries in a moment

const shared = { bundle: true, minify: true, charset: "utf8", legalComments: "none", absWorkingDir: here, logLevel: "warning" };
await build({ ...shared, entryPoints: ["src/main.ts"], outfile: join(page, "lab.js"), format: "esm", target: "es2022" });
await build({ ...shared, entryPoints: ["src/style.css"], outfile: join(page, "lab.css"), target: ["chrome105", "firefox110", "safari16"] });
await copyFile(join(here, "src", "index.html"), join(page, "index.html"));

const files = ["lab.js", "lab.css", "index.html"].map((name) => join(page, name));
const weights = await Promise.all(files.map(async (file) => gzipSync(await readFile(file)).length));
const weight = weights.reduce((sum, each) => sum + each, 0);
const plain = (await Promise.all(files.map(async (file) => (await stat(file)).size))).reduce((sum, each) => sum + each, 0);
console.log(`page: ${(plain / 1024).toFixed(1)} KB, gzipped ${(weight / 1024).toFixed(1)} KB`);
if (weight > most) throw new Error(`the page weighs ${weight} bytes gzipped, more than ${most}`);
