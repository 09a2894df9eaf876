import { healthOf, statusOf, walStatusOf, type StatusSource } from './status.ts';

/** An answer of the control plane, in the shape the server takes. */
interface JsonAnswer {
  readonly status: number;
  readonly body: string;
  readonly headers: Record<string, string>;
}

const json = (value: unknown, status = 200): JsonAnswer => ({
  status,
  body: JSON.stringify(value),
  headers: { 'content-type': 'application/json' },
});

type AdminHandler = () => Promise<JsonAnswer>;

export function adminRoutes(source: StatusSource): {
  health: AdminHandler;
  status: AdminHandler;
  wal_status: AdminHandler;
} {
  return {
    health: async () => {
      const { healthy, reason } = healthOf(source);
      return json(healthy ? { status: 'ok' } : { status: 'unavailable', reason }, healthy ? 200 : 503);
    },
    status: async () => json(statusOf(source)),
    wal_status: async () => json(walStatusOf(source)),
  };
}
