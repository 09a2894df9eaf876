// The composition root: builds the subsystems of a gateway and connects them.

import { readinessOf } from '../api/admin/health.ts';
import type { Config } from '../config/config.ts';
import { CurrentTerm } from '../coordination/current-term.ts';
import { Knowledge } from '../coordination/knowledge.ts';
import { sleep } from '../util/clock.ts';
import { buildAlerts } from './alerts.ts';
import { buildCaches } from './caches.ts';
import { buildDataPlane } from './data-plane.ts';
import { Departure } from './departure.ts';
import { depsOf, type GatewayParts } from './deps.ts';
import { buildHistory } from './history.ts';
import { Lifecycle } from './lifecycle.ts';
import { buildListeners, statusSource } from './listeners.ts';
import { buildMetrics } from './metrics.ts';
import { buildObservation } from './observation.ts';
import { buildReplication } from './replication.ts';
import { buildStorage } from './storage.ts';
import { withTraces } from './traces.ts';

export type { GatewayParts } from './deps.ts';

export interface Gateway {
  readonly url: string;
  readonly dashboardUrl: string;
  /** Resolves once it serves requests, or when it is stopped. */
  ready(): Promise<void>;
  /** The server at this address ends at each start: it is emptied if its files are damaged and other nodes have all of it. */
  serverFails(url: string, reason: string): void;
  stop(): Promise<void>;
}

// Longer than the longest of its parts: the listener has 10 s to finish requests in flight.
const STOP_DEADLINE_MS = 15_000;
const READY_POLL_MS = 25;

/**
 * Starts a gateway and resolves once it listens. Throws StartupError when it cannot. It is built anew, on the same address,
 * when it must forget what it has seen of the log.
 */
export async function startGateway(config: Config, parts: GatewayParts = {}): Promise<Gateway> {
  let running: Promise<BuiltGateway>;
  let isStopped = false;
  const restart = (): void => {
    if (isStopped) return;
    running = running.then(async (before) => {
      await before.stop();
      return isStopped ? before : build();
    });
    running.catch((error: unknown) => parts.onFailure?.(error));
  };
  const build = (): Promise<BuiltGateway> => buildGateway(config, parts, restart);
  const first = await build();
  running = Promise.resolve(first);
  return {
    url: first.url,
    dashboardUrl: first.dashboardUrl,
    ready: async () => (await running).ready(),
    serverFails: (url, reason) =>
      // One that could not be built anew was reported.
      void running.then((gateway) => gateway.serverFails(url, reason)).catch(() => undefined),
    async stop() {
      isStopped = true;
      const last = await running.catch(() => null);
      await last?.leave();
      await last?.stop();
    },
  };
}

interface BuiltGateway extends Gateway {
  /** Serves for STOP_DELAY_MS more, unless it has failed. */
  leave(): Promise<void>;
}

async function buildGateway(config: Config, parts: GatewayParts, restart: () => void): Promise<BuiltGateway> {
  const untraced = depsOf(config, parts);
  const { clock, logger } = untraced;
  const departure = new Departure(clock, config.STOP_DELAY_MS);
  const onFailure = (error: unknown): void => {
    departure.fail();
    untraced.onFailure(error);
  };
  const life = new Lifecycle({ clock, logger, stopDeadlineMs: STOP_DEADLINE_MS });
  try {
    const deps = await withTraces(config, { ...untraced, onFailure }, life);
    const storage = await buildStorage(config, deps, life);
    const current = new CurrentTerm();
    const knowledge = new Knowledge(clock, config.LEASE_MS);
    const caches = buildCaches(config, storage, { current, knowledge });
    const observation = buildObservation(config, { deps, storage }, life);
    const { log } = observation;
    const replication = buildReplication(config, { deps, storage, caches, current, knowledge, log }, life);
    const dataPlane = buildDataPlane(config, { deps, storage, caches, replication }, life);
    const metrics = buildMetrics({ deps, storage, caches, replication, dataPlane, observation });
    const built = { deps, storage, replication, dataPlane, observation, metrics, restart };
    const alerts = buildAlerts(config, built, life);
    const history = buildHistory(config, built, life);
    const status = statusSource(config, { ...built, history, departure });
    const listeners = buildListeners(config, { ...built, caches, history, status, alerts, departure }, life);
    await life.start();
    const stopped = new AbortController();
    return {
      url: listeners.url(),
      dashboardUrl: listeners.dashboardUrl(),
      async ready() {
        while (!readinessOf(status).ready && !stopped.signal.aborted)
          await sleep(deps.clock, READY_POLL_MS, stopped.signal);
      },
      serverFails: (url, reason) => replication.failing.ends(url, reason),
      leave: () => departure.begin(),
      async stop() {
        await life.stop();
        stopped.abort();
      },
    };
  } catch (error) {
    await life.stop();
    throw error;
  }
}
