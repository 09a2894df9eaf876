// How full something is.

interface MeterProps {
  readonly label: string;
  readonly value: number;
  readonly max: number;
}

export function Meter({ label, value, max }: MeterProps) {
  const share = Math.max(0, Math.min(1, value / max));
  return (
    <div
      class="meter"
      role="meter"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={max}
      aria-valuenow={Math.max(0, Math.min(value, max))}
    >
      <i style={{ width: `${100 * share}%` }} />
    </div>
  );
}
