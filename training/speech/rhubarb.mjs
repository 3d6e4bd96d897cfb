// Prints the mouth shapes that Rhubarb Lip Sync hears in each sound, as JSON.
// node rhubarb.mjs PACKAGE FILE...   FILE: 16-bit mono samples at 16 kHz without a header
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [folder, ...files] = process.argv.slice(2);
const { Rhubarb } = await import(pathToFileURL(`${folder}/dist/index.js`).href);
const said = [];
for (const file of files) {
  said.push((await Rhubarb.getLipSync(readFileSync(file))).mouthCues);
}
process.stdout.write(JSON.stringify(said), () => process.exit(0));
