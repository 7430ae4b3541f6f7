/** ISO 8601 without fractions, as Kubernetes writes times; from milliseconds since the epoch. */
export const timeText = (ms: number): string => new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z')
