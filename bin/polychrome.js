#!/usr/bin/env node
// Starts the command line, once it is certain that this Node.js can load it. Nothing here needs more than Node.js 14, and
// the import is dynamic, so that an older release reads no newer syntax before it is refused.

const NEEDED = 24;
const version = process.versions.node;

if (Number(version.split('.')[0]) >= NEEDED) {
  await import('../dist/main.js');
} else {
  console.error(
    `polychrome: Node.js ${NEEDED} or later is needed; this is ${version} (${process.execPath}).`,
  );
  process.exitCode = 1;
}
