// Reads what others have changed into the catalog, for requests that the log has refused meanwhile.

import { PolychromeError } from '../../errors.ts';

/** Throws log_unavailable: without PostgreSQL it is not known what exists. */
export async function refreshed(catalog: { refresh(): Promise<void> }): Promise<void> {
  try {
    await catalog.refresh();
  } catch (cause) {
    throw new PolychromeError(
      'log_unavailable',
      'PostgreSQL cannot be asked for what exists at present. Nothing was changed. Try again.',
      { cause },
    );
  }
}
