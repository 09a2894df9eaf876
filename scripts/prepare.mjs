// Runs after `npm ci` and before `npm pack`: builds the dashboard into ui/dist. Without the development dependencies
// (npm ci --omit=dev) there is nothing to build it with; everything else works without it.

import { fileURLToPath } from 'node:url';

const vite = await import('vite').catch((error) => {
  if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
  console.log('The dashboard was not built: the development dependencies are not installed.');
  return null;
});
await vite?.build({
  configFile: fileURLToPath(new URL('../ui/vite.config.ts', import.meta.url)),
  logLevel: 'warn',
});
