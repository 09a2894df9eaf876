// Clients, gateway, log and nodes, with what flows between them.

import { Fragment } from 'preact';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { LiveState } from '../../src/api/ui/live-feed.ts';
import { countText, durationText, millisText, shortText } from './format.ts';
import { serves } from './live.ts';
import { isBroken, StateBadge } from './state-badge.tsx';

type NodeStatus = LiveState['status']['nodes'][number];

interface TopologyProps {
  readonly state: LiveState;
  readonly onManage: (node: string) => void;
}

export function Topology({ state, onManage }: TopologyProps) {
  const { status, traffic, gateway, log } = state;
  const box = useRef<HTMLDivElement>(null);
  const lines = useLines(box, status.nodes.length);
  return (
    <section class="panel" aria-labelledby="topology-title">
      <div class="section-head">
        <h2 id="topology-title">Cluster</h2>
        <span class="note">
          <i class="swatch" style={{ background: 'var(--reads)' }} /> reads{' '}
          <i class="swatch" style={{ background: 'var(--writes)' }} /> writes, through the log
        </span>
      </div>
      <div class="topology" ref={box}>
        <div class="sources">
          <div class="block" data-source="gateway">
            <h3>Gateway</h3>
            <p class="block-name" title={gateway}>
              {gateway}
            </p>
            <dl>
              <dt>{status.leader === null ? 'does not lead' : 'leads'}</dt>
              <dd>{status.epoch === null ? '' : `epoch ${status.epoch}`}</dd>
              <dt>reads</dt>
              <dd>{shortText(traffic?.reads.perSecond ?? null)}/s</dd>
              <dt>writes</dt>
              <dd>{shortText(traffic?.writes.perSecond ?? null)}/s</dd>
            </dl>
          </div>
          <div class="block" data-source="log">
            <h3>Log</h3>
            <p class="block-name">PostgreSQL</p>
            <dl>
              <dt>head</dt>
              <dd>{countText(status.head)}</dd>
              <dt>appended</dt>
              <dd>{shortText(traffic?.appendedPerSecond ?? null)}/s</dd>
              <dt>waiting</dt>
              <dd>{countText(log.waiting.append + log.waiting.acknowledgement)}</dd>
            </dl>
          </div>
        </div>
        <Flows lines={lines} state={state} />
        <table class="nodes">
          <caption class="hidden">Nodes</caption>
          <thead>
            <tr>
              <th scope="col">Node</th>
              <th scope="col">State</th>
              <th scope="col" class="number">
                Checkpoint
              </th>
              <th scope="col" class="number">
                Behind
              </th>
              <th scope="col" class="number">
                Calls/s
              </th>
              <th scope="col">
                <span class="hidden">Actions</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {status.nodes.map((node) => (
              <NodeRow key={node.id} node={node} state={state} onManage={onManage} />
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function NodeRow({ node, state, onManage }: { readonly node: NodeStatus } & TopologyProps) {
  const { id, role, checkpoint, lag } = node;
  const calls = state.traffic?.nodes[id]?.calls ?? null;
  const remark = remarkOf(node, state.at);
  const kind = isBroken(node.state) ? 'is-out' : '';
  return (
    <Fragment>
      <tr data-node={id} class={`${kind} ${remark === null ? '' : 'has-remark'}`}>
        <th scope="row">
          <span class="node-id">{id}</span>
          {role === 'primary' ? <span class="tag">primary</span> : null}
        </th>
        <td data-label="State">
          <StateBadge state={node.state} />
          <span class="since">{durationText(state.at - Date.parse(node.since))}</span>
        </td>
        <td class="number" data-label="Checkpoint">
          {countText(checkpoint)}
        </td>
        <td class="number" data-label="Behind">
          {lag.entries === 0 ? '0' : countText(lag.entries)}
          {lag.entries > 0 && lag.ms !== null ? <span class="since">{millisText(lag.ms)}</span> : null}
        </td>
        <td class="number" data-label="Calls/s">
          {shortText(calls)}
        </td>
        <td class="row-action">
          <button type="button" class="quiet" onClick={() => onManage(id)} aria-label={`Manage ${id}`}>
            Manage
          </button>
        </td>
      </tr>
      {remark === null ? null : (
        <tr class={`remark-row ${kind}`}>
          <td colSpan={6}>{remark}</td>
        </tr>
      )}
    </Fragment>
  );
}

/** What the node does that takes long, or why it does not serve. */
function remarkOf(node: NodeStatus, now: number): string | null {
  const { reason, work, failing, verification, suspects } = node;
  if (!serves(node.state) && reason !== null) return reason;
  if (failing !== null)
    return `LSN ${countText(failing.lsn)} failed ${failing.attempts} times: ${failing.error}`;
  if (verification !== null)
    return `verified ${verification.verified} of ${verification.shards} collections in ${durationText(now - verification.since)}`;
  if (work !== null && work.ms >= 500)
    return `call in flight for ${millisText(work.ms)}, about ${millisText(work.remainingMs)} left`;
  if (suspects.length > 0)
    return `${suspects.length} suspect ${suspects.length === 1 ? 'collection' : 'collections'}`;
  return null;
}

interface Lines {
  readonly width: number;
  readonly height: number;
  readonly gateway: number;
  readonly log: number;
  /** The middle of each row. */
  readonly nodes: readonly number[];
}

const NO_LINES: Lines = { width: 0, height: 0, gateway: 0, log: 0, nodes: [] };

/** Where the lines begin and end, from where the boxes are. */
function useLines(box: { readonly current: HTMLDivElement | null }, nodes: number): Lines {
  const [lines, setLines] = useState(NO_LINES);
  useLayoutEffect(() => {
    const element = box.current;
    if (element === null) return undefined;
    const measure = (): void => {
      const flows = element.querySelector('.flows')?.getBoundingClientRect();
      if (flows === undefined) return;
      const middle = (of: Element | null): number => {
        const { top = 0, height = 0 } = of?.getBoundingClientRect() ?? {};
        return Math.round(top + height / 2 - flows.top);
      };
      setLines({
        width: Math.round(flows.width),
        height: Math.round(flows.height),
        gateway: middle(element.querySelector('[data-source=gateway]')),
        log: middle(element.querySelector('[data-source=log]')),
        nodes: Array.from(element.querySelectorAll('tr[data-node]'), middle),
      });
    };
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    for (const row of element.querySelectorAll('tbody tr')) observer.observe(row);
    return () => observer.disconnect();
  }, [nodes]);
  return lines;
}

function Flows({ lines, state }: { readonly lines: Lines; readonly state: LiveState }) {
  const { width, height } = lines;
  const { nodes } = state.status;
  // Reads arrive above the middle of a row, writes below it.
  const apart = 5;
  return (
    <svg
      class="flows"
      aria-hidden="true"
      viewBox={`0 0 ${width || 1} ${height || 1}`}
      preserveAspectRatio="none"
    >
      {lines.nodes.map((y, at) => {
        const node = nodes[at];
        if (node === undefined) return null;
        const { calls = 0, applied = 0 } = state.traffic?.nodes[node.id] ?? {};
        const isOut = !serves(node.state);
        const follows = !isOut || node.state === 'catching_up' || node.state === 'drained';
        return (
          <g key={node.id}>
            <Flow
              path={curve(lines.gateway, y - apart, width)}
              kind="reads"
              isCut={isOut}
              lines={2 * nodes.length}
              perSecond={isOut ? 0 : Math.max(0, calls - applied)}
            />
            <Flow
              path={curve(lines.log, y + apart, width)}
              kind="writes"
              isCut={!follows}
              perSecond={applied}
              lines={2 * nodes.length}
            />
          </g>
        );
      })}
    </svg>
  );
}

function curve(from: number, to: number, width: number): string {
  const half = width / 2;
  return `M0 ${from} C ${half} ${from}, ${half} ${to}, ${width} ${to}`;
}

interface FlowProps {
  readonly path: string;
  readonly kind: 'reads' | 'writes';
  /** Nothing can flow. */
  readonly isCut: boolean;
  readonly perSecond: number;
  /** Of the whole picture. */
  readonly lines: number;
}

// On all lines together: each is an animation.
const DOTS_MAX = 24;
const SECONDS = 1.8;

function Flow({ path, kind, isCut, perSecond, lines }: FlowProps) {
  const wanted = perSecond < 0.05 ? 0 : 1 + Math.floor(Math.log10(1 + perSecond) * 1.5);
  const dots = Math.min(wanted, Math.max(1, Math.floor(DOTS_MAX / lines)));
  // The types of Preact do not know this attribute of SVG.
  const along = { path };
  return (
    <>
      <path class={`flow ${kind}${isCut ? ' is-cut' : ''}${dots > 0 ? ' is-active' : ''}`} d={path} />
      {Array.from({ length: dots }, (_each, at) => (
        <circle key={at} class={`dot ${kind}`} r="2.5">
          <animateMotion
            dur={`${SECONDS}s`}
            repeatCount="indefinite"
            {...along}
            begin={`${(-SECONDS * at) / dots}s`}
          />
        </circle>
      ))}
    </>
  );
}
