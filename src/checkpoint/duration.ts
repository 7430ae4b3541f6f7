const UNIT_MS = {s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000}

/** Milliseconds of `30s`, `10m`, `2h`, `7d`, as the custom resources have them. */
export function durationMs(text: string): number {
  const [, digits, unit] = /^(\d+)([smhd])$/.exec(text) ?? []
  if (digits === undefined || !isUnit(unit)) throw new TypeError(`"${text}" is no duration`)
  return Number(digits) * UNIT_MS[unit]
}

const isUnit = (unit: string | undefined): unit is keyof typeof UNIT_MS =>
  unit !== undefined && unit in UNIT_MS
