// The sentence about the cluster, and each finding with its effect and what to do.

import { useEffect, useState } from 'preact/hooks';
import type { LiveState } from '../../src/api/ui/live-feed.ts';
import { durationText, timeText } from './format.ts';
import { Shape } from './state-badge.tsx';

type Summary = LiveState['summary'];

export function SummaryPanel({ summary, now }: { readonly summary: Summary; readonly now: number }) {
  const { level, text, findings } = summary;
  return (
    <section class={`summary ${level}`} aria-label="Condition of the cluster" data-level={level}>
      <h1>
        <Shape kind={level} />
        <span data-testid="sentence">{text}</span>
      </h1>
      {findings.length === 0 ? null : (
        <ul class="findings">
          {findings.map((finding) => (
            <li key={finding.key}>
              <p class="finding-title">
                <span class={`state ${finding.severity}`}>
                  <Shape kind={finding.severity} />
                  {finding.title}
                </span>
                <span class="finding-detail">{finding.detail}</span>
                {finding.sinceMs === null ? null : (
                  <span class="since">
                    since {timeText(finding.sinceMs, now)} ({durationText(now - finding.sinceMs)})
                  </span>
                )}
              </p>
              <dl>
                <dt>Effect</dt>
                <dd>{finding.effect}</dd>
                <dt>What to do</dt>
                <dd>{finding.action}</dd>
              </dl>
            </li>
          ))}
        </ul>
      )}
      <Announcement summary={summary} />
    </section>
  );
}

/** Read out when findings come and go; not with every record that is written. */
function Announcement({ summary }: { readonly summary: Summary }) {
  const key = `${summary.level} ${summary.findings.map((finding) => finding.key).join()}`;
  const [announced, announce] = useState('');
  useEffect(() => announce(summary.text), [key]);
  return (
    <p class="hidden" role="status">
      {announced}
    </p>
  );
}
