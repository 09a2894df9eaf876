// Asks a node's server what it can do.

import { CapabilitiesError, capabilitiesFrom, type Capabilities } from '../protocol/capabilities.ts';
import { openApiPath, preflightPath } from '../protocol/paths.ts';
import type { NodeClient } from './node-client.ts';

/** Makes two reads, each within `deadlineMs`. Throws NodeError, CapabilitiesError. */
export async function probeCapabilities(client: NodeClient, deadlineMs = 5000): Promise<Capabilities> {
  const preflight = await readBody(client, preflightPath, deadlineMs);
  const openApi = await readBody(client, openApiPath, deadlineMs);
  return capabilitiesFrom(preflight, openApi);
}

async function readBody(client: NodeClient, path: string, deadlineMs: number): Promise<Buffer> {
  const { status, body } = await client.read({ method: 'GET', path, deadlineMs });
  if (status !== 200) throw new CapabilitiesError(`${path} failed with status ${status}`);
  return body;
}
