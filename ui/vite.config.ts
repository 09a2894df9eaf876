// Builds the dashboard into ui/dist, from where src/api/ui/files.ts serves it. `npx vite ui` serves it from source, with the
// data of a gateway on port 8000.

import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

const GATEWAY = 'http://127.0.0.1:8000';

export default defineConfig(({ command }) => ({
  root: fileURLToPath(new URL('.', import.meta.url)),
  // Relative, so that it works below any path of a reverse proxy.
  base: command === 'build' ? './' : '/ui/',
  build: {
    outDir: 'dist',
    emptyOutDir: true,
    // The first releases that know light-dark() of CSS, from 2024.
    target: ['chrome123', 'firefox120', 'safari17.5'],
    // The policy of the page allows no inline script, and nothing is loaded later.
    modulePreload: false,
    assetsInlineLimit: 0,
    // Of the packages in the bundle.
    license: { fileName: 'licenses.md' },
    reportCompressedSize: false,
  },
  // Types and pure functions of src/ are shared.
  server: { fs: { allow: ['..'] }, proxy: { '^/(ui/(live|collections)|admin)\\b': GATEWAY } },
}));
